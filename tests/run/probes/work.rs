//! What may go goes: the clients that people work with, by the variables and without any, to what a policy allows.

use std::fs;

use crate::harness::{
    Answer, Caller, Dns, Ended, Origin, callers, end, eventually,
    hub::{Hub, Wire},
};

/// A web server with TLS of a private authority, which serves `hello` and a repository; it ends with the test.
const SERVER: &str = "
import functools, http.server, ssl, sys
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory='site')
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain('origin.pem', 'origin.key')
server.socket = context.wrap_socket(server.socket, server_side=True)
open('port.new', 'w').write(str(server.server_port))
import os; os.rename('port.new', 'port')
server.serve_forever()
";

/// The server, and the configuration by which `origin.test` is it.
struct Site {
    server: std::process::Child,
    dns: Dns,
    port: u16,
}

impl Site {
    fn start(caller: &Caller) -> Self {
        let prepare = "
            mkdir site && printf hello > site/hello && git init -q -b main w && cd w && echo content > file && git add file &&
            git -c user.name=a -c user.email=a@b.test commit -q -m first && git clone -q --bare . ../site/spoon.git && git -C ../site/spoon.git update-server-info && cd .. &&
            openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj '/CN=a private authority' -keyout ca.key -out ca.pem 2>/dev/null &&
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=origin.test -keyout origin.key -out origin.csr 2>/dev/null &&
            printf 'subjectAltName=DNS:origin.test\\nextendedKeyUsage=serverAuth\\n' > extensions &&
            openssl x509 -req -days 2 -in origin.csr -CA ca.pem -CAkey ca.key -extfile extensions -out origin.pem 2>/dev/null";
        let prepared = end(caller.command("sh").args(["-ec", prepare]), b"");
        assert_eq!(prepared.status, 0, "git and openssl are needed: {prepared:?}");
        let server = caller.command("python3").args(["-c", SERVER]).stderr(std::process::Stdio::null()).spawn().expect("python3 is needed");
        let port = || fs::read_to_string(caller.home().join("port")).ok()?.parse().ok();
        eventually("the server listens", || port().is_some());
        let (port, dns): (u16, _) = (port().unwrap(), Dns::start());
        dns.say("origin.test", Answer::of(&["127.0.0.1"]));
        let policy = format!(
            "allow = [{{ host = \"origin.test:{port}\", tls = true, intercept = true }}]\n[addresses]\nallow = [\"127.0.0.1/32\"]\n"
        );
        caller.write("policy.toml", &policy);
        let config =
            format!("[policy]\nfile = \"policy.toml\"\n[upstream]\nca_file = \"ca.pem\"\n[dns]\nresolver = \"{}\"\n", dns.address());
        caller.write("tidegate.toml", &config);
        Self { server, dns, port }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Each fetches `$0/hello` or what lies beside it.
const CLIENTS: &[(&str, &str)] = &[
    ("curl -sS -m 10 $0/hello", "hello"),
    ("wget -q -T 10 -t 1 -O - $0/hello", "hello"),
    ("python3 -c 'import sys, urllib.request as u; print(u.urlopen(sys.argv[1] + \"/hello\", timeout=10).read().decode())' $0", "hello\n"),
    ("node -e 'fetch(process.argv[1] + \"/hello\").then(r => r.text()).then(console.log)' $0", "hello\n"),
    ("rm -rf spoon && git clone -q $0/spoon.git && cat spoon/file", "content\n"),
];

/// What stands before a client in the two ways that it comes to Tidegate.
const WAYS: &[&str] = &["", "for name in $(env | cut -d= -f1 | grep -i proxy); do unset $name; done; "];

#[test]
fn clients_work_by_variables_and_without() {
    for caller in callers() {
        let site = Site::start(&caller);
        let url = format!("https://origin.test:{}", site.port);
        for (client, said) in CLIENTS {
            for way in WAYS {
                let script = format!("{way}{client}");
                let ended = caller.run(&["--config", "tidegate.toml", "--", "sh", "-c", &script, &url]);
                assert_eq!(ended, Ended { status: 0, out: (*said).into(), err: String::new() }, "{script}");
            }
        }
        assert!(site.dns.asked().iter().all(|(name, _)| name == "origin.test"), "{:?}", site.dns.asked());
    }
}

/// A protocol that nobody knows, at a port that is allowed by number.
#[test]
fn a_plain_protocol_works_where_its_port_is_allowed() {
    for caller in callers() {
        let (dns, origin) = (Dns::start(), Origin::start());
        dns.say("db.test", Answer::of(&["127.0.0.1"]));
        caller.write("policy.toml", &format!("allow = [\"db.test:{}\"]\n[addresses]\nallow = [\"127.0.0.1/32\"]\n", origin.port()));
        caller.write("tidegate.toml", &format!("[policy]\nfile = \"policy.toml\"\n[dns]\nresolver = \"{}\"\n", dns.address()));
        // The origin answers whatever comes, and this is no request of HTTP.
        let script = format!("exec 3<>/dev/tcp/db.test/{}; printf '*1\\r\\n$4\\r\\nPING\\r\\n' >&3; cat <&3 | tail -n 1", origin.port());
        let ended = caller.run(&["--config", "tidegate.toml", "--", "bash", "-c", &script]);
        assert_eq!((ended.status, ended.out.as_str(), ended.err.as_str()), (0, "hello", ""), "{ended:?}");
        let other =
            caller.run(&["--config", "tidegate.toml", "--", "bash", "-c", "exec 3<>/dev/tcp/db.test/6380; printf '*1\\r\\n' >&3; cat <&3"]);
        assert_eq!((other.out.as_str(), origin.asked()), ("", 1), "{other:?}");
        assert!(other.err.contains("tidegate: refused: db.test:6380 (port_not_allowed)"), "{other:?}");
    }
}

/// The names that people clone by, a push that may land and one that may not, by the caller's own credential and never with it.
#[test]
fn a_repository_of_a_server_is_cloned_by_each_name_and_pushed() {
    const WORK: &str = "
        for name in git@github.com:octo/spoon ssh://git@github.com/octo/spoon.git https://github.com/octo/spoon; do
            rm -rf spoon && git clone -q $name spoon && git -C spoon log --oneline | wc -l; done
        cd spoon && git checkout -q -b agent && git -c user.name=a -c user.email=a@b.test commit -q --allow-empty -m theirs
        git push -q origin agent && echo pushed
        git push origin agent:main; echo main $?; git push origin :other; echo other $?; git clone git@github.com:octo/secret; echo secret $?
        env | grep ghp_; git config --list | grep ghp_; cat .git/config | grep ghp_; echo end";
    for caller in callers() {
        let hub = Hub::start(Wire::Plain, Some(REAL));
        let config = format!(
            "[[github]]\nhost = \"github.com\"\ngit_url = \"{}\"\ncredential = {{ env = \"GITHUB_TOKEN\" }}\n[state]\ndir = \"state\"\n",
            hub.url()
        );
        caller.write("tidegate.toml", &config);
        for way in WAYS {
            let before = hub.refs("octo/spoon");
            let script = format!("{way}{WORK}");
            let mut run = caller.tidegate(&["--config", "tidegate.toml", "--repo", "octo/spoon:agent", "--", "sh", "-c", &script]);
            let Ended { status, out, err } = end(run.env("GITHUB_TOKEN", REAL), b"");
            assert_eq!((status, out.as_str()), (0, "3\n3\n3\npushed\nmain 1\nother 1\nsecret 128\nend\n"), "{err}");
            for words in [
                "! [remote rejected] agent -> main",
                "! [remote rejected] other",
                "(repository_not_granted); to allow it: --repo octo/secret\n",
            ] {
                assert!(err.contains(words), "{words}: {err}");
            }
            let mut after = hub.refs("octo/spoon");
            assert_eq!(hub.git("octo/spoon", &["log", "-1", "--format=%s", "agent"]).trim(), "theirs");
            after.remove("refs/heads/agent");
            assert_eq!(after, before);
            assert!(!format!("{out}{err}").contains(REAL), "{out}{err}");
            hub.git("octo/spoon", &["branch", "-D", "agent"]);
        }
        // Without a credential it is asked once a run, before COMMAND starts, whether anybody may read the repository.
        let (anonymous, ours): (Vec<_>, Vec<_>) = hub.seen().into_iter().partition(|seen| seen.header("authorization").is_none());
        assert!(
            anonymous.iter().all(|seen| seen.target == "/octo/spoon/git-upload-pack") && anonymous.len() <= WAYS.len(),
            "{anonymous:#?}"
        );
        assert!(ours.iter().all(|seen| !seen.target.contains("secret")), "{ours:#?}");
    }
}

const REAL: &str = "ghp_0123456789abcdefghijklmnopqrstuvwxyz";
