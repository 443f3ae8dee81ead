//! What everybody has.

use crate::client::{CLIENT, Client, works};

pub(crate) const CURL: Client = Client {
    name: "curl",
    version: "curl --version",
    fetch: "curl -sS --fail --max-time 20 https://$HOST/hello",
    expected: works("returned error: 403", "Could not resolve host", "returned error: 403"),
    ..CLIENT
};

pub(crate) const WGET: Client = Client {
    name: "wget",
    version: "wget --version",
    fetch: "wget -nv -O - --tries=1 --timeout=20 https://$HOST/hello",
    expected: works("Proxy tunneling failed: Forbidden", "unable to resolve host address", "ERROR 403"),
    ..CLIENT
};

pub(crate) const GIT: Client = Client {
    name: "git",
    version: "git --version",
    serve: "export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
        git init -q -b main spoon && cd spoon && echo 'from nginx' > file && git add file
        git -c user.name=t -c user.email=t@t.test commit -q -m first
        git clone -q --bare . $ROOT/spoon.git && git -C $ROOT/spoon.git update-server-info",
    fetch: "git clone -q https://$HOST/spoon.git && cat spoon/file",
    expected: works("CONNECT tunnel failed, response 403", "Could not resolve host", "returned error: 403"),
    ..CLIENT
};
