//! A machine with namespaces that a proxy shares with a sandbox.

#[path = "../run/harness/caller.rs"]
mod caller;
#[path = "../run/harness/counter.rs"]
mod counter;
#[path = "../proxy/harness/dns.rs"]
mod dns;
#[path = "../proxy/harness/namespace.rs"]
mod namespace;
#[path = "../proxy/harness/program.rs"]
pub(crate) mod program;
#[path = "../proxy/harness/wait.rs"]
mod wait;

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use serde_json::Value;

pub(crate) use self::{
    caller::our_uid,
    counter::Counter,
    dns::{Answer, Dns},
    program::Ran,
    wait::{eventually, poll},
};
use self::{
    caller::{Caller, user},
    program::{program, run},
};

/// Who the proxy is, and who the sandbox.
pub(crate) const PROXY: u32 = 65534;
pub(crate) const SANDBOX: u32 = 61002;

/// What stands for the internet: addresses of the machine outside.
pub(crate) const OUTSIDE: [&str; 2] = ["203.0.113.10", "2001:db8::10"];

/// Runs the test of this name, which is the caller, on a machine of its own. It takes root, since there are several users.
#[track_caller]
pub(crate) fn on_a_machine(name: &str, test: impl FnOnce()) {
    if our_uid() != 0 {
        eprintln!("NOT TESTED: {name} takes root");
        return;
    }
    namespace::anew(&["--net", "--mount", "--pid", "--fork", "--mount-proc"], name, || {
        shell(
            "mount -t tmpfs tmpfs /run
            ip route del local 0.0.0.0/0 dev lo; ip -6 route del local ::/0 dev lo
            ip address add 203.0.113.10/32 dev lo; ip address add 2001:db8::10/128 dev lo nodad
            echo nameserver 192.0.2.53 > /run/resolv.conf; mount --bind /run/resolv.conf /etc/resolv.conf",
        );
        test();
    });
}

/// Runs a script of root's that has to succeed.
#[track_caller]
pub(crate) fn shell(script: &str) {
    let ran = run(program("sh").args(["-ec", script]), "iproute2");
    assert!(ran.success, "{script}: {}", ran.said);
}

/// A namespace with an interface that leads to the machine, a home for the proxy in it, and names outside.
pub(crate) struct Pod {
    name: String,
    proxy: Caller,
    names: Dns,
}

impl Pod {
    /// The pod of this number: 10.77.NUMBER.2 and `fd77:NUMBER::2`, behind the machine's 10.77.NUMBER.1 and `fd77:NUMBER::1`. Of its proxy's
    /// configuration, these lines are those of `[listen]`.
    #[track_caller]
    pub(crate) fn new(number: u8, listen: &str) -> Self {
        let name = format!("pod{number}");
        shell(&format!(
            "ip netns add {name}
            ip link add out{number} type veth peer name eth0 netns {name}
            ip address add 10.77.{number}.1/24 dev out{number}; ip address add fd77:{number}::1/64 dev out{number} nodad
            ip link set out{number} up
            ip netns exec {name} sh -ec '
                for file in router_solicitations accept_ra; do echo 0 > /proc/sys/net/ipv6/conf/eth0/$file; done
                ip address add 10.77.{number}.2/24 dev eth0; ip address add fd77:{number}::2/64 dev eth0 nodad
                ip link set eth0 up; ip link set lo up
                ip route add default via 10.77.{number}.1; ip -6 route add default via fd77:{number}::1'"
        ));
        let pod = Self { name, proxy: user(), names: Dns::start_at(OUTSIDE[0]) };
        let ips = Answer::of(&OUTSIDE);
        pod.names.say("allowed.test", ips.clone()).say("evil.test", ips);
        let names = pod.names.address();
        let config = format!(
            "[listen]\n{listen}\nsession = \"s{number}\"\nadmin = \"unix:admin.sock\"\n[state]\ndir = \"state\"\n[audit]\nfile = \"audit.jsonl\"\n\
             [dns]\nresolver = \"{names}\"\n[[session]]\nid = \"s{number}\"\npolicy = \"policy.toml\"\n"
        );
        pod.write("tidegate.toml", &config);
        let policy = "allow = [{ host = \"allowed.test\", http = true }]\n[addresses]\nallow = [\"203.0.113.0/24\", \"2001:db8::/32\"]\n";
        pod.write("policy.toml", policy);
        pod
    }

    /// A pod with the usual listeners, redirected to them, and not yet with a proxy.
    #[track_caller]
    pub(crate) fn redirected(number: u8) -> Self {
        let pod = Self::new(number, LISTEN);
        let ran = pod.netns("setup");
        assert!(ran.success, "{}", ran.said);
        pod
    }

    pub(crate) fn home(&self) -> &Path {
        self.proxy.home()
    }

    /// Writes a file of the proxy's.
    pub(crate) fn write(&self, name: &str, content: &str) {
        let path = self.home().join(name);
        fs::write(&path, content).unwrap();
        self.proxy.give(&path);
    }

    /// A program of root's in this network.
    pub(crate) fn root(&self, command: &[&str]) -> Command {
        let mut inside = program("nsenter");
        inside.arg(format!("--net=/run/netns/{}", self.name)).args(command);
        inside
    }

    /// A program of a user without any right.
    pub(crate) fn user(&self, user: u32, command: &[&str]) -> Command {
        let id = user.to_string();
        let nobody =
            ["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"];
        let mut command = self.root(&[&nobody[..], command].concat());
        command.current_dir("/");
        command
    }

    /// Runs a program of the sandbox's to its end.
    #[track_caller]
    pub(crate) fn sandbox(&self, command: &[&str]) -> Ran {
        run(&mut self.user(SANDBOX, command), command[0])
    }

    /// curl in the sandbox: quick to give up, and with the status it got at the end.
    #[track_caller]
    pub(crate) fn curl(&self, arguments: &[&str]) -> Ran {
        let usual = ["curl", "--silent", "--show-error", "--max-time", "20", "--noproxy", "*", "--include"];
        self.sandbox(&[&usual[..], arguments].concat())
    }

    /// A program of Python's, run by a user who holds one capability, or none.
    #[track_caller]
    pub(crate) fn python(&self, capability: Option<&str>, script: &str) -> Ran {
        let id = SANDBOX.to_string();
        let one = capability.map(|name| [format!("--inh-caps=+{name}"), format!("--ambient-caps=+{name}")]);
        let mut command = vec!["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups", "--no-new-privs"];
        command.extend(one.iter().flatten().map(String::as_str));
        run(self.root(&[&command[..], &["/usr/bin/python3", "-c", script]].concat()).current_dir("/"), "python3")
    }

    /// `tidegate netns` as root, with what it has to know.
    #[track_caller]
    pub(crate) fn netns(&self, command: &str) -> Ran {
        self.netns_with(command, &[])
    }

    #[track_caller]
    pub(crate) fn netns_with(&self, command: &str, more: &[&str]) -> Ran {
        let (program, config, user) = (self.proxy.program(), self.home().join("tidegate.toml"), PROXY.to_string());
        let chosen = ["--config", config.to_str().unwrap(), "--exempt-uid", &user];
        let chosen = if command == "clear" { &[][..] } else { &chosen };
        run(&mut self.root(&[&[program.to_str().unwrap(), "netns", command], chosen, more].concat()), "util-linux")
    }

    /// The rules that the kernel has, as `nft` shows them.
    #[track_caller]
    pub(crate) fn rules(&self) -> String {
        let ran = run(&mut self.root(&["nft", "list", "ruleset"]), "nftables");
        assert!(ran.success, "{}", ran.said);
        ran.stdout
    }

    /// Starts the proxy, as its user, and waits until it is ready.
    #[track_caller]
    pub(crate) fn serve(&self) -> Gate {
        let (program, config) = (self.proxy.program(), self.home().join("tidegate.toml"));
        let mut command = self.user(PROXY, &[program.to_str().unwrap(), "serve", "--config", config.to_str().unwrap()]);
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("util-linux is needed");
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let gate = Gate { child };
        let (mut line, mut all) = (String::new(), String::new());
        while line != "ready\n" {
            line.clear();
            assert_ne!(said.read_line(&mut line).unwrap(), 0, "it did not start: {all}");
            all.push_str(&line);
        }
        thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        gate
    }

    /// What was refused, in the audit: door, host, port and reason.
    #[track_caller]
    pub(crate) fn refusals(&self) -> Vec<String> {
        let text = fs::read_to_string(self.home().join("audit.jsonl")).unwrap_or_default();
        let records = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let refused = records.filter(|record| record["verdict"] != "allow" && record["kind"] != "admin");
        let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        refused.map(|record| ["door", "host", "port", "reason"].map(|key| word(&record[key])).join(" ")).collect()
    }

    /// Waits for a refusal.
    #[track_caller]
    pub(crate) fn wait_for_refusal(&self, refusal: &str) {
        let found = poll(|| self.refusals().iter().any(|known| known == refusal).then_some(()));
        assert!(found.is_some(), "no {refusal:?} in {:#?}", self.refusals());
    }

    /// A copy of a program, as a set-user-id one of the proxy's.
    pub(crate) fn set_user_id(&self, program: &str) -> String {
        let copy = self.home().join("set-user-id");
        shell(&format!("cp -L {program} {}", copy.display()));
        self.proxy.give(&copy);
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o4755)).unwrap();
        copy.to_str().unwrap().to_owned()
    }
}

/// A proxy at work, killed when dropped.
pub(crate) struct Gate {
    child: Child,
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Origins at port 80 of both addresses outside, which answer every request for `hello`, and count.
pub(crate) struct Origin(Arc<AtomicUsize>);

impl Origin {
    pub(crate) fn start() -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        for address in OUTSIDE {
            let (listener, asked) = (TcpListener::bind((address, 80)).expect("port 80"), Arc::clone(&asked));
            thread::spawn(move || {
                for mut stream in listener.incoming().flatten() {
                    asked.fetch_add(1, Ordering::Relaxed);
                    thread::spawn(move || {
                        let _ = stream.read(&mut [0; 4096]);
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
                    });
                }
            });
        }
        Self(asked)
    }

    /// Connections so far.
    pub(crate) fn asked(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// What was seen outside, but for what the machine and the pods' kernels say to find their neighbours: ARP for addresses of pods, `ICMPv6`, and
/// reports of groups.
#[track_caller]
pub(crate) fn left(counter: &Counter) -> Vec<String> {
    let between_neighbours = |packet: &String| {
        packet.starts_with("not of IP: \\x00\\x01\\x08\\x00\\x06\\x04") || packet.starts_with("58 ") || packet.ends_with(" > ff02::16")
    };
    counter.packets().into_iter().filter(|packet| !between_neighbours(packet)).collect()
}

pub(crate) const LISTEN: &str = "proxy = \"127.0.0.1:3128\"
git = \"127.0.0.1:3129\"
transparent = [\"127.0.0.1:3130\", \"[::1]:3130\"]
dns = [\"127.0.0.1:5353\", \"[::1]:5353\"]
metrics = \"0.0.0.0:9464\"";
