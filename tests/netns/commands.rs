//! What setup, check and clear do and say.

use crate::harness::{LISTEN, PROXY, Pod, eventually, on_a_machine, program::run, shell};

#[test]
fn setup_may_be_called_again_and_clear_leaves_nothing() {
    on_a_machine("commands::setup_may_be_called_again_and_clear_leaves_nothing", || {
        let pod = Pod::new(1, LISTEN);
        let other = "add table inet other; add chain inet other c { type filter hook output priority 5; }";
        assert!(run(&mut pod.root(&["nft", other]), "nftables").success);
        let before = pod.rules();
        let told = "TCP of all but user 65534 is led to port 3130, names to port 5353; nothing else leaves\n";
        let ran = pod.netns("setup");
        assert_eq!((ran.success, ran.said.trim_end()), (true, told.trim_end()));
        let standing = pod.rules();
        assert!(standing.contains("redirect to :3130") && standing.contains("hook egress device"), "{standing}");
        assert!(pod.netns("setup").success);
        assert_eq!(pod.rules(), standing);
        for _ in 0..2 {
            let ran = pod.netns("clear");
            assert_eq!((ran.success, ran.said.trim()), (true, ""));
            assert_eq!(pod.rules(), before);
        }
    });
}

/// Ports that the file names anew take the place of the old ones.
#[test]
fn the_ports_are_those_of_the_file() {
    on_a_machine("commands::the_ports_are_those_of_the_file", || {
        let pod = Pod::redirected(1);
        let moved = std::fs::read_to_string(pod.home().join("tidegate.toml")).unwrap().replace(":3130", ":4130").replace(":5353", ":4353");
        pod.write("tidegate.toml", &moved);
        let ran = pod.netns("check");
        let line = "FAILS   redirection: rule 2 of chain redirect of table inet tidegate is not the one that is wanted\n";
        assert!(!ran.success && ran.stdout.contains(line), "{}", ran.said);
        assert!(pod.netns("setup").success);
        let rules = pod.rules();
        assert!(rules.contains("redirect to :4130") && rules.contains("redirect to :4353") && !rules.contains(":3130"), "{rules}");
        assert!(pod.netns("check").success);
    });
}

#[test]
fn check_reads_what_the_kernel_has() {
    on_a_machine("commands::check_reads_what_the_kernel_has", || {
        let pod = Pod::new(1, LISTEN);
        let failing = || {
            let ran = pod.netns("check");
            assert!(!ran.success, "{}", ran.said);
            ran.stdout.lines().filter(|line| line.starts_with("FAILS")).map(str::to_owned).collect::<Vec<_>>()
        };
        let nothing = ["FAILS   redirection: there is no table inet tidegate", "FAILS   interfaces: there is no table netdev tidegate"];
        assert_eq!(failing(), nothing);
        let stands = "holds   redirection: TCP of all but user 65534 is led to port 3130, names to port 5353, the rest is refused\n\
                      holds   interfaces: no interface lets out a packet that is not user 65534's, AF_PACKET's included\n";
        for (change, told) in [
            (
                "nft insert rule inet tidegate refuse accept",
                "redirection: chain refuse of table inet tidegate has 13 rules, and 12 are wanted",
            ),
            ("nft flush chain netdev tidegate leave", "interfaces: chain leave of table netdev tidegate has 0 rules, and 6 are wanted"),
            ("nft delete table netdev tidegate", "interfaces: there is no table netdev tidegate"),
            ("nft 'add table inet tidegate { flags dormant; }'", "redirection: table inet tidegate is switched off"),
            (
                "nft 'chain inet tidegate refuse { policy accept; }'",
                "redirection: chain refuse of table inet tidegate is not the one that is wanted",
            ),
            (
                "h=$(nft -a list chain netdev tidegate leave | sed -n 's/.*skuid.*handle //p'); \
                 nft replace rule netdev tidegate leave handle $h meta skuid != 7 drop",
                "interfaces: rule 1 of chain leave of table netdev tidegate is not the one that is wanted",
            ),
            ("nft 'add chain inet tidegate more'", "redirection: table inet tidegate has more chains than are wanted"),
            (
                "ip link add eth1 type veth peer name out9 netns 1",
                "interfaces: chain leave of table netdev tidegate does not hold interface eth1",
            ),
        ] {
            assert!(pod.netns("setup").success);
            let ran = pod.netns("check");
            assert_eq!((ran.success, ran.stdout.as_str()), (true, stands), "{}", ran.said);
            let ran = run(&mut pod.root(&["sh", "-ec", change]), "nftables");
            assert!(ran.success, "{change}: {}", ran.said);
            assert_eq!(failing(), [format!("FAILS   {told}")], "{change}");
        }
        assert!(pod.netns("setup").success && pod.netns("check").success);
    });
}

#[test]
fn check_names_whoever_could_get_around_it() {
    on_a_machine("commands::check_names_whoever_could_get_around_it", || {
        let pod = Pod::redirected(1);
        let _gate = pod.serve();
        let ids = ["setpriv", "--reuid", "61002", "--regid", "61002", "--clear-groups"];
        let raw = [&ids[..], &["--no-new-privs", "--inh-caps=+net_raw", "--ambient-caps=+net_raw"]].concat();
        let mut sleepers = Vec::new();
        for before in [&["setpriv", "--no-new-privs"][..], &raw] {
            sleepers.push(pod.root(&[before, &["sleep", "1000"]].concat()).spawn().unwrap());
        }
        sleepers.push(pod.user(PROXY, &["sleep", "1000"]).spawn().unwrap());
        sleepers.push(pod.user(61002, &["sleep", "1000"]).spawn().unwrap());
        for sleeper in &sleepers {
            let comm = format!("/proc/{}/comm", sleeper.id());
            eventually("it sleeps", || std::fs::read_to_string(&comm).unwrap_or_default() == "sleep\n");
        }
        let ran = pod.netns_with("check", &["--json"]);
        let findings: Vec<serde_json::Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let of = |pid: u32| findings.iter().find(|finding| finding["pid"] == pid).unwrap_or_else(|| panic!("{pid}: {}", ran.stdout));
        assert!(!ran.success);
        let root = of(sleepers[0].id());
        assert!(root["holds"] == false && root["detail"].as_str().unwrap().contains("(sleep) runs as root; holds "), "{root}");
        let raw = of(sleepers[1].id());
        assert_eq!(raw["detail"], format!("{} (sleep) holds CAP_NET_RAW", sleepers[1].id()));
        let mistaken = of(sleepers[2].id());
        let told = format!("{} (sleep) runs as the exempt user, and is no tidegate", sleepers[2].id());
        assert_eq!((&mistaken["holds"], &mistaken["detail"]), (&false.into(), &told.into()));
        assert_eq!((&of(sleepers[3].id())["holds"], &findings[0]["finding"]), (&true.into(), &"redirection".into()));
        let exempt = findings.iter().filter(|finding| finding["detail"].as_str().unwrap().contains("(tidegate) runs as the exempt user"));
        assert_eq!(exempt.count(), 1, "{}", ran.stdout);
        for mut sleeper in sleepers.drain(..3) {
            sleeper.kill().unwrap();
            sleeper.wait().unwrap();
        }
        let ran = pod.netns("check");
        assert!(ran.success, "{}", ran.said);
        for mut sleeper in sleepers {
            sleeper.kill().unwrap();
            sleeper.wait().unwrap();
        }
    });
}

#[test]
fn what_cannot_be_done_is_said_and_changes_nothing() {
    on_a_machine("commands::what_cannot_be_done_is_said_and_changes_nothing", || {
        for (listen, told) in [
            (
                "proxy = \"127.0.0.1:3128\"",
                "[listen] has no \"transparent\", so there is nothing to lead the sandbox to: write transparent = ",
            ),
            ("transparent = \"127.0.0.1:0\"\ndns = \"127.0.0.1:5353\"", "transparent 127.0.0.1:0 has a port that is not known before"),
            ("transparent = [\"127.0.0.1:3130\", 5]", "an element of \"transparent\" must be a string, not an integer"),
        ] {
            let pod = Pod::new(1, listen);
            for command in ["setup", "check"] {
                let ran = pod.netns(command);
                assert!(!ran.success && ran.stdout.is_empty() && ran.said.contains(told), "{command}: {}", ran.said);
            }
            assert_eq!(pod.rules(), "");
            shell("ip netns delete pod1; ip link delete out1 2> /dev/null || true");
        }
        let pod = Pod::new(1, LISTEN);
        let (program, config) = (pod.home().join("tidegate"), pod.home().join("tidegate.toml"));
        let setup = [program.to_str().unwrap(), "netns", "setup", "--config", config.to_str().unwrap(), "--exempt-uid", "65534"];
        let ran = run(&mut pod.user(PROXY, &setup), "util-linux");
        assert!(!ran.success && ran.said.contains("Operation not permitted (os error 1); it takes CAP_NET_ADMIN"), "{}", ran.said);
        assert_eq!(pod.rules(), "");
    });
}

/// As in `unshare --user --net`, where nobody is root outside. Users that such a namespace has no number for are one to the rules.
#[test]
fn an_ordinary_user_closes_a_namespace_of_his_own() {
    on_a_machine("commands::an_ordinary_user_closes_a_namespace_of_his_own", || {
        let pod = Pod::new(1, LISTEN);
        let script = "cd \"$0\"; t() { ./tidegate netns \"$@\"; }; chosen='--config tidegate.toml --exempt-uid'
            t setup $chosen 1337 2>&1; t setup $chosen 65534 && t setup $chosen 65534 && t check $chosen 65534 | grep -v process; t clear && nft list ruleset";
        let mut own = crate::harness::program::program("setpriv");
        own.args([
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
            "unshare",
            "--user",
            "--map-current-user",
            "--keep-caps",
            "--net",
        ]);
        let ran = run(own.args(["sh", "-c", script]).arg(pod.home()), "util-linux");
        let done = "TCP of all but user 65534 is led to port 3130, names to port 5353; nothing else leaves\n";
        let expected = format!(
            "tidegate: tidegate.toml: --exempt-uid 1337: this user namespace has no such user: choose one of /proc/self/uid_map\n{done}{done}\
             holds   redirection: TCP of all but user 65534 is led to port 3130, names to port 5353, the rest is refused\n\
             holds   interfaces: no interface lets out a packet that is not user 65534's, AF_PACKET's included\n"
        );
        assert_eq!((ran.success, ran.stdout.as_str()), (true, expected.as_str()), "{}", ran.said);
    });
}
