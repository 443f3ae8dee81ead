//! A network of a test's own, in which TCP to everywhere but loopback is redirected.

use std::{
    env, fs,
    io::Write,
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use tempfile::NamedTempFile;

use super::program::{program, run_for};

/// Runs the test of this name, which is the caller, in a user, a mount and a network namespace of its own: this program starts anew there, and
/// does nothing but that test.
#[track_caller]
pub(crate) fn isolated(name: &str, test: impl FnOnce()) {
    anew(&["--user", "--map-root-user", "--net", "--mount"], name, test);
}

/// The same in namespaces that options of `unshare` name.
#[track_caller]
pub(crate) fn anew(namespaces: &[&str], name: &str, test: impl FnOnce()) {
    if env::var_os(INSIDE).is_some() {
        bring_up();
        return test();
    }
    let mut anew = program("unshare");
    anew.args(namespaces).arg(env::current_exe().expect("this program"));
    let ran =
        run_for(anew.args(["--exact", name, "--include-ignored", "--nocapture"]).env(INSIDE, "yes"), "util-linux", PATIENCE_WITH_A_TEST);
    // A name that is none would pass without a test.
    assert!(ran.success && ran.stdout.contains("1 passed"), "{name} in namespaces of its own:\n{}", ran.said);
}

/// Every address is at this network's loopback interface.
#[track_caller]
fn bring_up() {
    for command in ["link set lo up", "route add local 0.0.0.0/0 dev lo", "-6 route add local ::/0 dev lo"] {
        let status = Command::new("ip").args(command.split(' ')).status();
        assert!(status.expect("ip is needed: apt-get install iproute2").success(), "ip {command}");
    }
}

/// From now on every connection to elsewhere than loopback comes to `listener`, and whoever asks for a name asks `names`.
#[track_caller]
pub(crate) fn redirect(listener: SocketAddr, names: SocketAddr) {
    let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().expect("nft is needed: apt-get install nftables");
    let rules = RULES.replace("NAMES", &names.port().to_string()).replace("PORT", &listener.port().to_string());
    nft.stdin.take().expect("a pipe").write_all(rules.as_bytes()).expect("rules");
    assert!(nft.wait().expect("its status").success(), "{rules}");
    let resolver = NamedTempFile::new().expect("a file");
    fs::write(resolver.path(), "nameserver 192.0.2.53\n").expect("a file");
    let mount = Command::new("mount").arg("--bind").args([resolver.path(), Path::new("/etc/resolv.conf")]).status();
    assert!(mount.expect("mount").success(), "a resolv.conf of its own");
}

/// Longer than every wait inside, so that it is the test that says what it waited for.
const PATIENCE_WITH_A_TEST: Duration = Duration::from_secs(240);
const INSIDE: &str = "TIDEGATE_TEST_INSIDE";
const RULES: &str = "table inet test {
    chain redirected {
        type nat hook output priority -100;
        ip daddr 127.0.0.0/8 return
        ip6 daddr ::1 return
        udp dport 53 redirect to :NAMES
        meta l4proto tcp redirect to :PORT
    }
}";
