//! What `tidegate doctor` says inside real runs, inside none, and with each client told wrong in turn.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, UdpSocket},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    thread,
};

use serde_json::Value;

use crate::harness::{Caller, Ended, callers, end, in_a_network, user};

/// The program as COMMAND starts it.
fn doctor(caller: &Caller) -> String {
    format!("{} doctor", caller.program().display())
}

/// The level, code and places of every finding.
fn findings(said: &Value) -> Vec<(String, String, Vec<String>)> {
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let list = said["findings"].as_array().unwrap().iter();
    list.map(|found| (word(&found["level"]), word(&found["code"]), found["places"].as_array().unwrap().iter().map(word).collect()))
        .collect()
}

/// Only what is wrong, by its code.
fn wrong(said: &Value) -> Vec<String> {
    findings(said).into_iter().filter(|(level, ..)| level == "wrong").map(|(_, code, _)| code).collect()
}

#[track_caller]
fn parsed(ended: &Ended) -> Value {
    serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

#[test]
fn inside_a_run_all_is_well_and_nothing_is_refused_for_asking() {
    for caller in callers() {
        let script = doctor(&caller);
        let said = caller.run(&["--access", "none", "--", "sh", "-c", &script]).printed();
        let [session, doors, wall, verdict] = said.lines().collect::<Vec<_>>()[..] else { panic!("{said}") };
        assert_eq!(session, "session  anonymous, access none, policy --access none");
        assert_eq!(doors, "doors    proxy 127.0.0.1:3128, git 127.0.0.1:3129, names, redirected connections, tidegate.internal");
        assert!(
            wall.starts_with("wall     stands: connections come to the gate, names come to the gate, datagrams are stopped ("),
            "{wall}"
        );
        assert_eq!(verdict, "all well");
        let said = caller.run(&["--", "sh", "-c", &format!("{script} --json")]);
        assert_eq!((said.status, said.err.as_str(), parsed(&said)["well"].as_bool()), (0, "", Some(true)), "{said:?}");
    }
}

#[test]
fn whose_session_it_is_and_what_it_may_do_is_said() {
    let caller = user();
    let mut run = caller.tidegate(&["--repo", "octo/spoon:agent/fix-1", "--repo", "octo/fork", "--", "sh", "-c", &doctor(&caller)]);
    let Ended { status, out, .. } = end(run.env("GH_TOKEN", "the-real-one"), b"");
    assert_eq!(status, 0, "{out}");
    assert!(out.contains("\n         octo/spoon write refs/heads/agent/fix-1\n         octo/fork read\n"), "{out}");
    assert!(!out.contains("the-real-one"), "{out}");
}

/// A variable that is set wrong inside a run, where all others are right: what is said of it.
const VARIABLES: &[(&str, &str, &str)] = &[
    ("HTTPS_PROXY=http://127.0.0.1:9", "wrong", "proxy_elsewhere"),
    ("https_proxy=socks5://127.0.0.1:3128", "wrong", "proxy_unreadable"),
    ("YARN_HTTP_PROXY=http://127.0.0.1:9", "wrong", "proxy_elsewhere"),
    ("CLOUDSDK_PROXY_PORT=9", "wrong", "proxy_elsewhere"),
    ("NO_PROXY=localhost,.example.com", "note", "proxy_bypassed"),
    ("NO_PROXY=*", "note", "proxy_bypassed"),
    ("NODE_USE_ENV_PROXY=0", "note", "proxy_turned_off"),
    ("ALL_PROXY=socks5h://127.0.0.1:9", "wrong", "socks_not_served"),
    ("ALL_PROXY=http://127.0.0.1:9", "wrong", "proxy_elsewhere"),
    ("SSL_CERT_FILE=/nowhere.pem", "wrong", "ca_unreadable"),
    ("PIP_CERT=/dev", "wrong", "ca_unreadable"),
    ("NODE_EXTRA_CA_CERTS=$HOME/empty.pem", "note", "ca_not_trusted"),
    ("JAVA_TOOL_OPTIONS=-Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=9", "wrong", "proxy_elsewhere"),
    ("JAVA_TOOL_OPTIONS=-Djavax.net.ssl.trustStore=/nowhere.p12", "wrong", "ca_unreadable"),
    ("MAVEN_OPTS=-Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=9", "wrong", "proxy_elsewhere"),
];

#[test]
fn each_variable_that_is_wrong_is_named() {
    let caller = user();
    caller.write("empty.pem", "");
    let script: Vec<_> = VARIABLES.iter().map(|(set, ..)| format!("env \"{set}\" {} --json; echo \"$?\"", doctor(&caller))).collect();
    let Ended { out, err, .. } = caller.shell(&script.join("\n"));
    assert_eq!(err, "");
    let said: Vec<Value> = serde_json::Deserializer::from_str(&out).into_iter().map(Result::unwrap).collect();
    assert_eq!(said.len(), 2 * VARIABLES.len(), "{out}");
    for ((set, level, code), said) in VARIABLES.iter().zip(said.chunks(2)) {
        let name = set.split('=').next().unwrap().replace("PROXY_PORT", "PROXY_ADDRESS");
        assert_eq!(findings(&said[0]), [((*level).to_owned(), (*code).to_owned(), vec![name])], "{set}");
        assert_eq!(said[1], u8::from(*level == "wrong"), "{set}");
    }
}

/// A file of a client's own with a setting that is wrong, the variable that goes before that where there is one, and what is said.
const FILES: &[(&str, &str, Option<&str>, &str)] = &[
    (".curlrc", "proxy = \"127.0.0.1:9\"\n", None, "wrong proxy_elsewhere .curlrc:1"),
    (".curlrc", "# mine\n--cacert /nowhere.pem\n", None, "wrong ca_unreadable .curlrc:2"),
    (".curlrc", "noproxy = example.com\n", None, "note proxy_bypassed .curlrc:1"),
    (".wgetrc", "ca_certificate = /nowhere.pem\n", None, "wrong ca_unreadable .wgetrc:1"),
    (".wgetrc", "\nuse_proxy = off\n", None, "note proxy_turned_off .wgetrc:2"),
    ("pip.conf", "[global]\nproxy = http://127.0.0.1:9\n", None, "wrong proxy_elsewhere pip.conf:2"),
    ("pip.conf", "[global]\ncert = /nowhere.pem\n", Some("PIP_CERT"), "wrong ca_unreadable pip.conf:2"),
    (".npmrc", "cafile=/nowhere.pem\n", Some("npm_config_cafile"), "wrong ca_unreadable .npmrc:1"),
    (".npmrc", "https-proxy=http://127.0.0.1:9\n", Some("npm_config_https_proxy"), "wrong proxy_elsewhere .npmrc:1"),
    (
        "gradle.properties",
        "systemProp.https.proxyHost=127.0.0.1\nsystemProp.https.proxyPort=9\n",
        None,
        "wrong proxy_elsewhere gradle.properties",
    ),
    (
        ".gitconfig",
        "[url \"git@github.com:\"]\n\tinsteadOf = https://github.com/\n",
        None,
        "wrong git_over_ssh git's insteadOf (.gitconfig)",
    ),
    (".gitconfig", "[http]\n\tproxy = http://127.0.0.1:9\n", None, "wrong proxy_elsewhere git's http.proxy (.gitconfig)"),
    (".gitconfig", "[http]\n\tsslCAInfo = /nowhere.pem\n", Some("GIT_SSL_CAINFO"), "wrong ca_unreadable git's http.sslcainfo (.gitconfig)"),
    (".gitconfig", "[url \"http://127.0.0.1:9/git/\"]\n\tinsteadOf = https://github.com/\n", None, "wrong git_door_elsewhere"),
];

/// What a variable goes before is passed over as long as that variable is set.
#[test]
fn each_file_that_goes_before_the_variables_is_named() {
    let caller = user();
    let home = format!("{}/", caller.home().display());
    for (number, (_, content, ..)) in FILES.iter().enumerate() {
        caller.write(&format!("case-{number}"), content);
    }
    let doctor = doctor(&caller);
    let script = FILES.iter().enumerate().map(|(number, (file, _, before, _))| {
        let without = before.map_or(String::new(), |name| format!("-u {name}"));
        format!("cp {home}case-{number} {home}{file}; {doctor} --json; env {without} {doctor} --json; rm {home}{file}")
    });
    let places = format!("export PIP_CONFIG_FILE={home}pip.conf GRADLE_USER_HOME={home}; cd /");
    let script: Vec<_> = [places].into_iter().chain(script).collect();
    let Ended { out, err, .. } = caller.shell(&script.join("\n"));
    assert_eq!(err, "");
    let said: Vec<Value> = serde_json::Deserializer::from_str(&out).into_iter().map(Result::unwrap).collect();
    assert_eq!(said.len(), 2 * FILES.len(), "{out}");
    let shown = |said: &Value| {
        let found = findings(said).into_iter().filter(|(_, code, _)| code != "ca_variable_missing");
        let found = found.map(|(level, code, places)| format!("{level} {code} {}", places.join(" ").replace(&home, "")));
        found.map(|found| found.trim().to_owned()).collect::<Vec<_>>()
    };
    for ((file, content, before, expected), said) in FILES.iter().zip(said.chunks(2)) {
        let with_variable = if before.is_some() { vec![] } else { vec![*expected] };
        assert_eq!(shown(&said[0]), with_variable, "{file}: {content}");
        assert_eq!(shown(&said[1]), [*expected], "{file}: {content}, without {before:?}");
    }
}

#[test]
fn a_token_in_the_url_of_a_proxy_is_never_shown() {
    let caller = user();
    let doctor = doctor(&caller);
    let set = "HTTPS_PROXY=http://x:a-secret-token@127.0.0.1:9 ALL_PROXY=socks5://x:a-secret-token@127.0.0.1:9 http_proxy=x:a-secret-token";
    let Ended { out, .. } = caller.shell(&format!("env {set} {doctor}; env {set} {doctor} --json"));
    assert!(out.contains("127.0.0.1:9") && !out.contains("a-secret-token"), "{out}");
}

/// A home with nothing in `PATH` but a Node of this version.
fn with_node(caller: &Caller, version: &str) -> PathBuf {
    let programs = caller.home().join(format!("bin-{version}"));
    fs::create_dir(&programs).unwrap();
    fs::write(programs.join("node"), format!("#!/bin/sh\necho {version}\n")).unwrap();
    fs::set_permissions(programs.join("node"), fs::Permissions::from_mode(0o755)).unwrap();
    programs
}

/// Somebody answers at an address of nobody, as the internet would: over HTTP, and to questions for names.
fn internet() {
    let listener = TcpListener::bind("192.0.2.1:80").unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
        }
    });
    let names = UdpSocket::bind("192.0.2.1:53").unwrap();
    thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((length, client)) = names.recv_from(&mut query) {
            // There is no such name.
            (query[2], query[3]) = (query[2] | 0x80, 3);
            let _ = names.send_to(&query[..length], client);
        }
    });
}

#[test]
fn without_walls_it_says_that_there_are_none() {
    in_a_network("doctor::without_walls_it_says_that_there_are_none", || {
        internet();
        let caller = user();
        let (old, new) = (with_node(&caller, "v20.19.5"), with_node(&caller, "v24.5.0"));
        let run = |path: &Path, before: &str| {
            let script = format!("{before} PATH={} {} --json", path.display(), doctor(&caller));
            caller.run(&["--isolation", "env", "--", "sh", "-c", &script])
        };
        let said = run(&new, "");
        assert_eq!((said.status, wrong(&parsed(&said))), (1, vec!["wall_open".to_owned(), "wall_open".to_owned()]), "{said:?}");
        assert_eq!(parsed(&said)["wall"]["state"], "open");
        assert_eq!(parsed(&said)["session"]["session"], "anonymous");
        // Where nothing else leads it, a Node that reads no variable is told of.
        let said = run(&old, "");
        assert_eq!(wrong(&parsed(&said)), ["node_too_old", "wall_open", "wall_open"], "{said:?}");
        // So are variables that are not there, and exceptions.
        let said = parsed(&run(&new, "unset https_proxy NODE_EXTRA_CA_CERTS; no_proxy=example.com"));
        assert_eq!(wrong(&said), ["variable_missing", "proxy_bypassed", "wall_open", "wall_open"], "{said}");
        assert_eq!(findings(&said)[0].2, ["https_proxy"]);
        assert!(
            findings(&said).contains(&("note".to_owned(), "ca_variable_missing".to_owned(), vec!["NODE_EXTRA_CA_CERTS".to_owned()])),
            "{said}"
        );
    });
}

#[test]
fn where_there_is_no_gate_it_says_so_and_how_to_have_one() {
    in_a_network("doctor::where_there_is_no_gate_it_says_so_and_how_to_have_one", || {
        let caller = user();
        let Ended { status, out, err } = end(caller.command(caller.program()).arg("doctor"), b"");
        assert_eq!((status, err.as_str()), (1, ""), "{out}");
        assert!(
            out.starts_with(
                "session  none\ndoors    none\nwall     stands: connections are stopped (connection refused), names are stopped "
            ),
            "{out}"
        );
        assert!(out.contains("\nwrong    no Tidegate answers here\n         start it inside: tidegate run -- COMMAND;"), "{out}");
        assert!(out.ends_with("\n1 thing is wrong\n"), "{out}");
        // An address of which somebody says that it answers outside, and does.
        internet();
        let mut asked = caller.command(caller.program());
        let said = parsed(&end(asked.args(["doctor", "--json", "--outside", "192.0.2.1:80", "--outside", "203.0.113.1:9"]), b""));
        let ways: Vec<_> = said["wall"]["outside"].as_array().unwrap().iter().map(|way| way["way"].as_str().unwrap()).collect();
        assert_eq!((ways, said["wall"]["state"].as_str()), (vec!["out", "stopped"], Some("open")), "{said}");
    });
}
