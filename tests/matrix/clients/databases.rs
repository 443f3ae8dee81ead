//! Protocols that are not HTTP.

use crate::client::{CLIENT, Client, Protocol, Server, passes_at_its_port};

/// It refuses to run as root.
const POSTGRESQL: Server = Server {
    script: "if [ $(id -u) = 0 ]; then chown 65534:65534 . && as='setpriv --reuid=65534 --regid=65534 --clear-groups'; else as=; fi
        programs=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1)
        $as $programs/initdb -D data -U postgres -A trust --no-sync >/dev/null
        exec $as $programs/postgres -D data -p 5432 -h 127.0.0.1 -k $PWD -c fsync=off",
    port: 5432,
    protocol: Protocol::Any,
};

pub(crate) const PSQL: Client = Client {
    name: "psql",
    version: "psql --version",
    servers: &[POSTGRESQL],
    fetch: "psql -X -t \"host=$HOST user=postgres dbname=postgres connect_timeout=10\" -c \"select 'from ' || 'nginx'\"",
    expected: passes_at_its_port("could not translate host name", "could not translate host name", "libpq knows of no proxy"),
    ..CLIENT
};

const REDIS: Server =
    Server { script: "exec redis-server --port 6379 --bind 127.0.0.1 --save '' --daemonize no", port: 6379, protocol: Protocol::Any };

pub(crate) const REDIS_CLI: Client = Client {
    name: "redis-cli",
    version: "redis-cli --version",
    servers: &[REDIS],
    fetch: "redis-cli -h $HOST echo 'from redis'",
    shows: "from redis",
    expected: passes_at_its_port("Temporary failure in name resolution", "Temporary failure in name resolution", "it knows of no proxy"),
    ..CLIENT
};

/// As root it wants a directory of its own in `/run`.
const SSHD: Server = Server {
    script: "[ $(id -u) != 0 ] || mkdir -p /run/sshd
        ssh-keygen -q -t ed25519 -N '' -f host && ssh-keygen -q -t ed25519 -N '' -f $SHARED/key
        exec /usr/sbin/sshd -D -e -f /dev/null -h $PWD/host -p 22 -o ListenAddress=127.0.0.1 -o AuthorizedKeysFile=$SHARED/key.pub \
            -o StrictModes=no -o UsePAM=no -o PermitRootLogin=yes -o PidFile=none",
    port: 22,
    protocol: Protocol::Any,
};

pub(crate) const SSH: Client = Client {
    name: "ssh",
    version: "ssh -V 2>&1",
    servers: &[SSHD],
    fetch: "ssh -F none -i $SHARED/key -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=$PWD/known -o ConnectTimeout=20 $HOST echo 'from ssh'",
    shows: "from ssh",
    expected: passes_at_its_port(
        "Could not resolve hostname",
        "Could not resolve hostname",
        "it reads no variable: `ProxyCommand` alone leads it through a proxy",
    ),
    ..CLIENT
};
