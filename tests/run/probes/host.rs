//! What else runs on this machine: its services, its sockets, its processes, and what the caller has.

use std::{
    io::{BufRead, BufReader, ErrorKind},
    net::TcpListener,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
    },
    process::{Child, Stdio},
};

use crate::harness::{Caller, Counter, Ended, callers, end, in_a_network, processes_with};

/// A listener at every address of this machine.
fn service() -> (TcpListener, u16) {
    let listener = TcpListener::bind("[::]:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// Asks for a URL directly, by the proxy, and by a tunnel; says what of a reason there was, or how it ended.
const ASK: &str = r#"
for url in "$@"; do
    direct=$(curl -sS -m 5 --noproxy '*' "$url" 2>&1); echo "$url directly: $(echo "$direct" | grep -E -o '"reason":"[a-z_]*"|^curl: .[0-9]*.' | head -1)"
    through=$(curl -sS -m 5 --noproxy '' -x $http_proxy "$url" 2>&1); echo "$url by the proxy: $(echo "$through" | grep -o '"reason":"[a-z_]*"' | head -1)"
    tunnel=$(curl -sSp -v -m 5 --noproxy '' -x $http_proxy "$url" 2>&1); echo "$url by a tunnel: $(echo "$tunnel" | grep -E -i -o 'x-deny-reason: [a-z_]*' | head -1)"
done
"#;

#[test]
fn services_of_the_host_are_out_of_reach_and_those_inside_are_not() {
    in_a_network("probes::host::services_of_the_host_are_out_of_reach_and_those_inside_are_not", || {
        let (service, port) = service();
        let counter = Counter::start();
        let hosts = [
            "127.0.0.1",
            "[::1]",
            "localhost",
            "10.1.2.3",
            "[fd77::1]",
            "0.0.0.0",
            "169.254.169.254",
            "[fd00:ec2::254]",
            "host.docker.internal",
        ];
        let urls: Vec<String> = hosts.iter().map(|host| format!("http://{host}:{port}/")).collect();
        let levels = ["trusted", "none", "full"];
        for (caller, level) in callers().iter().flat_map(|caller| levels.map(|level| (caller, level))) {
            // At the last level a name that is nobody's own is asked for outside.
            let urls = if level == "full" { &urls[..urls.len() - 1] } else { &urls };
            let begin = ["--access", level, "--", "sh", "-c", ASK, "sh"];
            let arguments: Vec<&str> = begin.into_iter().chain(urls.iter().map(String::as_str)).collect();
            let Ended { out, err, .. } = caller.run(&arguments);
            assert_eq!(out.lines().count(), 3 * urls.len(), "{out}");
            for line in out.lines() {
                let (_, how) = line.split_once("/ ").unwrap();
                let refused = ["\"reason\":\"", "x-deny-reason: ", "curl: (7)", "curl: (6)"];
                assert!(refused.iter().any(|refused| how.contains(refused)), "{out}{err}");
            }
            assert_eq!(service.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "{out}");
            counter.assert_silent("services of the host were asked");
            // The same port inside is the sandbox's own.
            let own = "
import socket, sys
for address in '127.0.0.1', '127.9.9.9', '::1':
    family = socket.AF_INET6 if ':' in address else socket.AF_INET
    with socket.create_server((address, int(sys.argv[1])), family=family) as server, socket.create_connection(server.getsockname()[:2]) as client:
        server.accept()[0].sendall(b'from inside\\n')
        print(client.recv(100).decode(), end='')
";
            assert_eq!(caller.python(&[], own, &[&port.to_string()]).printed(), "from inside\n".repeat(3));
            counter.assert_silent("a server ran inside");
        }
        end(callers()[0].command("curl").args(["-s", "-m", "1", &urls[3]]), b"");
        service.accept().unwrap();
    });
}

/// Another proxy on this machine, of the same user.
struct Serving(Child);

impl Serving {
    fn start(caller: &Caller) -> (Self, Vec<String>) {
        let socket = caller.home().join("admin.sock");
        let config = format!(
            "[listen]\nproxy = \"127.0.0.1:0\"\nmetrics = \"127.0.0.1:0\"\nadmin = \"unix:{}\"\n[state]\ndir = \"state\"\n[policy]\nfile = \"full.toml\"\n",
            socket.display()
        );
        caller.write("full.toml", "access = \"full\"\n");
        caller.write("serve.toml", &config);
        let mut serve = caller.command(caller.program());
        serve.args(["serve", "--config", "serve.toml"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = serve.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let listening: Vec<String> = lines.take_while(|line| line != "ready").collect();
        (Self(child), listening)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn threat_127_another_proxy_of_the_same_user_is_out_of_reach() {
    in_a_network("probes::host::threat_127_another_proxy_of_the_same_user_is_out_of_reach", || {
        for caller in callers() {
            let (_serving, listening) = Serving::start(&caller);
            let port = |door: &str| {
                let line =
                    listening.iter().find(|line| line.contains(&format!("listening {door} "))).unwrap_or_else(|| panic!("{listening:?}"));
                line.rsplit(':').next().unwrap().to_owned()
            };
            let (metrics, proxy) = (port("metrics"), port("proxy"));
            let session = format!("{} session list --config serve.toml", caller.program().display());
            let reached = end(caller.command("sh").args(["-c", &format!("curl -s http://127.0.0.1:{metrics}/livez; {session}")]), b"");
            assert_eq!((reached.status, reached.out.is_empty()), (0, false), "{reached:?}");

            let counter = Counter::start();
            let urls = ["127.0.0.1", "localhost", "10.1.2.3", "tidegate.internal"].map(|host| format!("http://{host}:{metrics}/metrics"));
            let script = format!(
                "{ASK}\n{session} || echo no session; curl -sS -m 5 --noproxy '' -x http://127.0.0.1:{proxy} http://1.1.1.1/ || echo no proxy
                 curl -sS -m 5 --unix-socket admin.sock http://x/ || echo no socket; cat state/ca/* 2>&1; ls state"
            );
            let arguments: Vec<&str> =
                ["--config", "serve.toml", "--", "sh", "-c", &script, "sh"].into_iter().chain(urls.iter().map(String::as_str)).collect();
            let Ended { out, err, .. } = caller.run(&arguments);
            assert!(!out.contains("tidegate_") && !out.contains("PRIVATE KEY"), "{out}");
            let rest: Vec<_> = out.lines().skip(3 * urls.len()).collect();
            assert_eq!(rest, ["no session", "no proxy", "no socket", "cat: 'state/ca/*': No such file or directory"], "{out}{err}");
            counter.assert_silent("another proxy was asked");
        }
    });
}

#[test]
fn threat_36_abstract_sockets_and_open_connections_are_out_of_reach() {
    in_a_network("probes::host::threat_36_abstract_sockets_and_open_connections_are_out_of_reach", || {
        let connect = "import socket, sys\none = socket.socket(socket.AF_UNIX)\ntry:\n    one.connect('\\0' + sys.argv[1]); print('connected')\nexcept OSError as error:\n    print(type(error).__name__)";
        let (service, port) = service();
        for caller in callers() {
            let name = format!("tidegate-test-{}", caller.uid());
            let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
            listener.set_nonblocking(true).unwrap();
            let outside = end(caller.command("python3").args(["-c", connect, &name]), b"");
            assert_eq!(outside.printed(), "connected\n");
            listener.accept().unwrap();
            assert_eq!(caller.python(&[], connect, &[&name]).printed(), "ConnectionRefusedError\n");
            assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);

            // A connection that the caller has open.
            let script = format!(
                "exec 5<>/dev/tcp/127.0.0.1/{port} 9>&5; $TIDEGATE run -- bash -c 'for one in 3 4 5 6 7 8 9; do echo out >&$one; done 2>/dev/null; echo done'"
            );
            assert_eq!(end(caller.command("bash").args(["-c", &script]), b"").printed(), "done\n");
            let (connection, _) = service.accept().unwrap();
            assert_eq!(std::io::Read::read(&mut &connection, &mut [0; 16]).unwrap(), 0, "nothing was sent");
        }
    });
}

#[test]
fn processes_outside_are_neither_seen_nor_signalled() {
    for caller in callers() {
        let marker = format!("bystander-{}", caller.uid());
        let mut bystander = caller.command("sh").args(["-c", "while :; do sleep 0.1; done", &marker]).spawn().unwrap();
        for (inside, said) in [
            ("kill -9 $SCRIPT; kill -9 $BYSTANDER; cat /proc/$SCRIPT/environ /proc/$BYSTANDER/environ; echo tried", "tried\nstatus 0\n"),
            ("kill -9 0", "status 137\n"),
            ("kill -9 -1; echo tried", "tried\nstatus 0\n"),
            ("kill -9 1; echo tried", "tried\nstatus 0\n"),
        ] {
            let script =
                format!("export SCRIPT=$$ BYSTANDER={}; $TIDEGATE run -- sh -c '{inside}' 2>/dev/null; echo status $?", bystander.id());
            assert_eq!(end(caller.command("sh").args(["-c", &script]), b"").out, said, "{inside}");
            assert_eq!(processes_with(&marker).len(), 1, "{inside}");
        }
        bystander.kill().unwrap();
        bystander.wait().unwrap();
    }
}

/// Whoever serves a run has its session's CA in memory.
#[test]
fn the_proxy_of_a_run_is_neither_seen_nor_traced() {
    for caller in callers() {
        let script = "export PROXY=$$; exec $TIDEGATE run -- sh -c '
            kill -0 $PROXY && echo seen; cat /proc/$PROXY/environ && echo read; ls /proc | grep -x $PROXY
            python3 -c \"import ctypes, sys; print(ctypes.CDLL(None).ptrace(0x4206, int(sys.argv[1]), 0, 0))\" $PROXY
            grep -rlsI \"PRIVATE KEY\" /run /tmp /dev/shm . /proc/[0-9]*/environ /proc/[0-9]*/cmdline /proc/[0-9]*/fd; echo end' 2>/dev/null";
        assert_eq!(end(caller.command("sh").args(["-c", script]), b"").out, "-1\nend\n");
    }
}

/// With the programs that people have them by.
#[test]
fn what_the_caller_has_for_github_is_out_of_reach() {
    for caller in callers() {
        let script = "mkdir -p .config/gh .ssh && echo 'oauth_token: gho_secret' > .config/gh/hosts.yml
            ssh-keygen -q -t ed25519 -N '' -f .ssh/id_ed25519 && eval $(ssh-agent -a $HOME/.ssh/agent.sock) >/dev/null && ssh-add -q .ssh/id_ed25519
            trap 'kill $SSH_AGENT_PID' EXIT; cp .ssh/id_ed25519.pub .
            export GITHUB_TOKEN=ghp_0123456789abcdefghijklmnopqrstuvwxyz MY_KEY=ghp_0123456789abcdefghijklmnopqrstuvwxyz
            ssh-add -l >/dev/null && test -s .config/gh/hosts.yml && echo there
            $TIDEGATE run -- sh -c 'SSH_AUTH_SOCK=$HOME/.ssh/agent.sock ssh-add -l; ls -A .ssh .config/gh; cat .config/gh/hosts.yml; env | grep -E \"ghp_|SSH_A|GITHUB_TOKEN\"; echo end' 2>/dev/null";
        let Ended { out, err, .. } = end(caller.command("sh").args(["-c", script]), b"");
        assert_eq!(out, "there\n.config/gh:\n\n.ssh:\nend\n", "{err}");
    }
}
