//! What the options and a configuration come to.

use std::{fs, path::Path, process::Command};

use crate::harness::{Answer, Caller, Dns, Ended, Origin, callers, end, user};

/// A configuration by which `origin.test` is this origin, and may be reached.
fn configured(caller: &Caller, dns: &Dns, origin: &Origin, more: &str) {
    dns.say("origin.test", Answer::of(&["127.0.0.1"])).say("other.test", Answer::of(&["127.0.0.1"]));
    let policy =
        format!("allow = [{{ host = \"origin.test:{}\", http = true }}]\n[addresses]\nallow = [\"127.0.0.1/32\"]\n", origin.port());
    caller.write("policy.toml", &policy);
    let config = format!("[policy]\nfile = \"policy.toml\"\n[dns]\nresolver = \"{}\"\n{more}", dns.address());
    caller.write("tidegate.toml", &config);
}

fn curl(caller: &Caller, options: &[&str], url: &str) -> Ended {
    caller.run(&[options, &["--", "curl", "-sS", "-m", "5", url]].concat())
}

#[test]
fn a_configuration_is_taken_but_for_where_it_listens() {
    for caller in callers() {
        let (dns, origin) = (Dns::start(), Origin::start());
        // Nothing of this could listen: the port is taken, and the directory is missing.
        let listen = format!("[listen]\nproxy = \"127.0.0.1:{}\"\nadmin = \"unix:/nowhere/admin.sock\"\n", origin.port());
        configured(&caller, &dns, &origin, &listen);
        let url = format!("http://origin.test:{}/", origin.port());
        assert_eq!(curl(&caller, &["--config", "tidegate.toml"], &url).printed(), "hello");
        let denied = curl(&caller, &["--config", "tidegate.toml", "--deny", "origin.test"], &url);
        assert!(
            denied.out.contains("\"reason\":\"host_denied\"") && denied.out.contains("\"rule\":\"origin.test (--deny:1)\""),
            "{denied:?}"
        );
        // The policy is warned of first: its entry has no effect any more.
        assert!(
            denied.err.starts_with("warning: ")
                && denied.err.ends_with(&format!("\ntidegate: refused: origin.test:{} (host_denied)\n", origin.port())),
            "{denied:?}"
        );
        assert_eq!(origin.asked(), 1);
    }
}

#[test]
fn options_go_before_a_configuration() {
    let caller = user();
    let (dns, origin) = (Dns::start(), Origin::start());
    configured(&caller, &dns, &origin, "");
    let (own, other) = (format!("http://origin.test:{}/", origin.port()), format!("http://other.test:{}/", origin.port()));
    let reason = |options: &[&str], url: &str| {
        let Ended { out, .. } = curl(&caller, &[&["--config", "tidegate.toml"], options].concat(), url);
        out.split("\"reason\":\"").nth(1).map_or(out.clone(), |rest| rest.split('"').next().unwrap().to_owned())
    };
    let allow = format!("other.test:{}", origin.port());
    assert_eq!(reason(&[], &other), "host_not_allowed");
    assert_eq!(reason(&["--allow", &allow], &other), "hello");
    assert_eq!(reason(&["--allow", &allow], &own), "hello");
    assert_eq!(reason(&["--access", "none"], &own), "network_disabled");
    caller.write("empty.toml", "access = \"custom\"\n");
    assert_eq!(reason(&["--policy", "empty.toml"], &own), "host_not_allowed");
}

#[test]
fn every_decision_is_recorded_where_the_command_does_not_see_it() {
    for caller in callers() {
        let script = "curl -sS -m 5 https://refused.example; cat audit.jsonl; echo forged > audit.jsonl; rm -f audit.jsonl; true";
        let Ended { status, out, .. } = caller.run(&["--audit", "audit.jsonl", "--", "sh", "-c", script]);
        assert_eq!((status, out.as_str()), (0, ""));
        let records = fs::read_to_string(caller.home().join("audit.jsonl")).unwrap();
        let [record] = records.lines().collect::<Vec<_>>()[..] else { panic!("{records}") };
        for part in ["\"door\":\"proxy\"", "\"verdict\":\"deny\"", "\"reason\":\"host_not_allowed\"", "\"host\":\"refused.example\""] {
            assert!(record.contains(part), "{part}: {record}");
        }
    }
}

#[test]
fn the_caller_s_token_for_github_becomes_one_of_the_session() {
    for caller in callers() {
        let mut command = caller.tidegate(&["--repo", "octo/spoon", "--", "sh", "-c", "echo $GH_TOKEN; env; cat /proc/1/environ"]);
        command.env("GH_TOKEN", "the-real-one").env("GITHUB_TOKEN", "the-other-one");
        let Ended { out, .. } = end(&mut command, b"");
        let token = out.lines().next().unwrap();
        assert!(token.len() >= 32 && token.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{token}");
        assert!(!out.contains("the-real-one") && !out.contains("the-other-one") && !out.contains("GITHUB_TOKEN="), "{out}");
        let again = end(&mut command, b"").out;
        assert_ne!(again.lines().next(), Some(token));
    }
}

#[test]
fn what_a_configuration_holds_and_names_is_out_of_reach() {
    for caller in callers() {
        caller.write("token", "the-real-one\n");
        caller.write("key", "the-other-one\n");
        caller.write("policy.toml", "[[credential]]\nhosts = [\"api.example\"]\nheader = \"x-key\"\nvalue = { file = \"key\" }\n");
        let config = "[policy]\nfile = \"policy.toml\"\n[upstream]\nproxy = \"http://u:hunter2@127.0.0.1:1\"\n[state]\ndir = \"state\"\n\
            [[github]]\nhost = \"github.com\"\ncredential = { file = \"token\" }\n";
        caller.write("tidegate.toml", config);
        caller.command("mkdir").args(["-p", "state/ca"]).status().unwrap();
        caller.write("state/ca/key.pem", "the-key");
        let mut command =
            caller.tidegate(&["--config", "tidegate.toml", "--", "sh", "-c", "cat token key tidegate.toml; ls state; env; echo end"]);
        command.env("SOME_KEY", "the-other-one").env("HARMLESS", "kept");
        let Ended { status, out, err } = end(&mut command, b"");
        assert_eq!(status, 0, "{err}");
        for hidden in ["the-real-one", "the-other-one", "hunter2", "key.pem", "SOME_KEY"] {
            assert!(!out.contains(hidden), "{hidden}: {out}");
        }
        assert!(out.contains("HARMLESS=kept\n") && out.ends_with("end\n"), "{out}");
    }
}

/// A bare repository with one commit.
fn repository(caller: &Caller) {
    let script = "git init -q -b main work && cd work && echo content > file && git add file &&
        git -c user.name=a -c user.email=a@b.test commit -q -m first && git clone -q --bare . ../spoon.git";
    assert_eq!(end(caller.command("sh").args(["-c", script]), b"").status, 0, "git is needed: apt-get install git");
}

/// A repository on disk of which the session may push one branch.
pub(crate) const FROM_DISK: &str = "
[state]
dir = \"state\"
[[github]]
host = \"github.com\"
[[session]]
id = \"s1\"
[[session.repository]]
name = \"octo/spoon\"
access = \"write\"
push = [\"refs/heads/agent\"]
upstream_path = \"spoon.git\"
";

/// `git@github.com:o/r` of the issue, and the way of a push.
#[test]
fn a_granted_repository_is_cloned_by_its_ssh_name_and_pushed() {
    for caller in callers() {
        repository(&caller);
        caller.write("tidegate.toml", FROM_DISK);
        let script = "git clone -q git@github.com:octo/spoon && cd spoon && cat file && git checkout -q -b agent &&
            git -c user.name=a -c user.email=a@b.test commit -q --allow-empty -m second && git push -q origin agent && echo pushed;
            git push origin agent:main; git clone -q ssh://git@github.com/octo/fork; true";
        let Ended { status, out, err } = caller.run(&["--config", "tidegate.toml", "--", "sh", "-c", script]);
        assert_eq!((status, out.as_str()), (0, "content\npushed\n"), "{err}");
        assert!(err.contains("! [remote rejected] agent -> main"), "{err}");
        assert!(err.contains("(repository_not_granted); to allow it: --repo octo/fork\n"), "{err}");
        assert_eq!(head(caller.home(), "agent"), "second\n");
        assert_eq!(head(caller.home(), "main"), "first\n");
    }
}

fn head(home: &Path, branch: &str) -> String {
    let mut git = Command::new("git");
    let git = git.args(["-c", "safe.directory=*", "-C"]).arg(home.join("spoon.git")).args(["log", "-1", "--format=%s", branch]);
    String::from_utf8(git.output().unwrap().stdout).unwrap()
}

#[test]
fn without_walls_it_says_so_and_leads_by_variables_alone() {
    for caller in callers() {
        let (dns, origin) = (Dns::start(), Origin::start());
        configured(&caller, &dns, &origin, "");
        let script = format!("curl -sS http://origin.test:{0}/ && curl -sS --noproxy '*' http://127.0.0.1:{0}/; exit 5", origin.port());
        let Ended { status, out, err } = caller.run(&["--isolation", "env", "--config", "tidegate.toml", "--", "sh", "-c", &script]);
        assert_eq!((status, out.as_str()), (5, "hellohello"), "{err}");
        assert!(err.starts_with("tidegate: WARNING: --isolation env confines NOTHING"), "{err}");
        let walled = caller.run(&["--config", "tidegate.toml", "--", "sh", "-c", &script]);
        assert_eq!((walled.status, walled.out.as_str()), (5, "hello"), "{walled:?}");
    }
}
