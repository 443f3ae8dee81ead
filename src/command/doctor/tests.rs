use std::{
    collections::HashMap,
    net::SocketAddr,
    path::Path,
    time::{Duration, SystemTime},
};

use proptest::prelude::*;
use serde_json::json;

use super::{
    facts::{Facts, Reply, Root, Way},
    judge::{Finding, Wall, wall},
    settings::{Client, Says, Setting, Told},
    *,
};
use crate::{command::env::variables::Proxy, destination::Destination};

fn proxy(url: &str) -> Proxy {
    Proxy::parse(url).unwrap()
}

fn at(address: &str) -> SocketAddr {
    address.parse().unwrap()
}

/// A sandbox in which everything is right: the network leads here, and one variable does.
fn well() -> Facts {
    let told = Told {
        settings: vec![Setting { place: "https_proxy".into(), says: Says::Proxy(Some(proxy("http://127.0.0.1:1"))) }],
        ..Told::default()
    };
    let session = json!({ "session": "s1", "access": "trusted", "policy": "p.toml", "intercepted": ["a.test"], "repositories": [] });
    Facts {
        now: SystemTime::UNIX_EPOCH + Duration::from_secs(100),
        told,
        proxies: vec![(proxy("http://127.0.0.1:1"), Reply::Session(session))],
        internal: Reply::Nothing("no such name".into()),
        git_doors: Vec::new(),
        socks: Vec::new(),
        root: Some(Root {
            der: vec![1, 2, 3],
            validity: Some((SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + Duration::from_secs(200))),
        }),
        stores: Vec::new(),
        names: vec![(at("192.0.2.1:53"), Way::Gate)],
        streams: vec![(at("192.0.2.1:80"), Way::Gate)],
        datagrams: vec![(at("192.0.2.1:443"), Way::Silent)],
        outside: Vec::new(),
        node: Some((18, 0)),
    }
}

fn as_text(facts: &Facts, findings: &[Finding]) -> String {
    let mut text = Vec::new();
    report::write(facts, findings, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

fn codes(facts: &Facts) -> Vec<&'static str> {
    judge(facts).into_iter().map(|finding| finding.code).collect()
}

#[test]
fn nothing_is_said_where_all_is_well() {
    assert_eq!(judge(&well()), []);
    assert_eq!(
        as_text(&well(), &[]),
        "session  s1, access trusted, policy p.toml\ndoors    proxy 127.0.0.1:1, names, redirected connections\n\
         wall     stands: connections come to the gate, names come to the gate, datagrams are lost\nall well\n"
    );
}

#[test]
fn the_wall_by_what_became_of_what_was_sent() {
    let stopped = || Way::Stopped("refused".into());
    for (stream, name, outside, expected) in [
        (Way::Gate, Way::Gate, None, Wall::Stands),
        (stopped(), stopped(), None, Wall::Stands),
        (stopped(), Way::Silent, None, Wall::Stands),
        (Way::Silent, Way::Gate, None, Wall::Unknown),
        (Way::Silent, Way::Silent, Some(Way::Silent), Wall::Stands),
        (Way::Silent, Way::Silent, Some(stopped()), Wall::Stands),
        (stopped(), stopped(), Some(Way::Out), Wall::Open),
        (stopped(), Way::Out, None, Wall::Open),
        (Way::Out, Way::Gate, None, Wall::Open),
    ] {
        let case = format!("{stream:?} {name:?} {outside:?}");
        let facts = Facts {
            streams: vec![(at("192.0.2.1:80"), stream)],
            names: vec![(at("10.0.0.2:53"), name)],
            outside: outside.into_iter().map(|way| (at("203.0.113.1:443"), way)).collect(),
            node: None,
            ..well()
        };
        assert_eq!(wall(&facts), expected, "{case}");
        let code = match expected {
            Wall::Stands => None,
            Wall::Open => Some("wall_open"),
            Wall::Unknown => Some("wall_unknown"),
        };
        assert_eq!(codes(&facts).first().copied(), code, "{case}");
    }
}

#[test]
fn a_wall_of_one_family_says_nothing_of_the_other() {
    let lost = (at("[2001:db8::1]:80"), Way::Silent);
    for (outside, expected) in [(None, Wall::Unknown), (Some("203.0.113.1:443"), Wall::Unknown), (Some("[2001:db8::2]:443"), Wall::Stands)]
    {
        let outside = outside.map(|outside| (at(outside), Way::Silent));
        let facts =
            Facts { streams: vec![(at("192.0.2.1:80"), Way::Gate), lost.clone()], outside: outside.into_iter().collect(), ..well() };
        assert_eq!(wall(&facts), expected, "{:?}", facts.outside);
    }
}

#[test]
fn a_clock_outside_of_what_the_ca_holds_is_told_of() {
    let late = Facts { now: SystemTime::UNIX_EPOCH + Duration::from_secs(201), ..well() };
    let [finding] = &judge(&late)[..] else { panic!("{:?}", judge(&late)) };
    let expected = "the clock says 1970-01-01T00:03:21.000000Z, and the CA of this gate holds from 1970-01-01T00:00:00.000000Z to 1970-01-01T00:03:20.000000Z";
    assert_eq!((finding.code, finding.what.as_str()), ("clock", expected));
}

#[test]
fn a_gate_that_asks_for_a_token_is_no_other_s() {
    let told = well().proxies.remove(0).0;
    let facts = Facts { proxies: vec![(told, Reply::Refused("session_expired".into()))], ..well() };
    let [finding] = &judge(&facts)[..] else { panic!("{:?}", judge(&facts)) };
    assert_eq!((finding.code, &finding.places[..]), ("session_not_proved", &["https_proxy".to_owned()][..]));
    assert!(finding.what.contains("(session_expired)"), "{finding:?}");
}

#[test]
fn places_of_which_the_same_is_to_be_said_come_together() {
    let mut facts = well();
    let elsewhere = |place: &str| Setting { place: place.into(), says: Says::Proxy(Some(proxy("http://127.0.0.1:9"))) };
    facts.told.settings.extend([elsewhere("grpc_proxy"), elsewhere("YARN_HTTP_PROXY"), elsewhere("grpc_proxy")]);
    facts.proxies.push((proxy("http://127.0.0.1:9"), Reply::Nothing("refused".into())));
    let [finding] = &judge(&facts)[..] else { panic!("{:?}", judge(&facts)) };
    assert_eq!(finding.places, ["grpc_proxy", "YARN_HTTP_PROXY"]);
    assert!(as_text(&facts, &judge(&facts)).ends_with("\n1 thing is wrong\n"));
}

#[test]
fn socks_that_is_served_is_no_finding() {
    let at = Destination::parse(b"127.0.0.1:1080", None).unwrap();
    for (served, expected) in [(true, &[][..]), (false, &["socks_not_served"])] {
        let mut facts = well();
        facts.told.settings.push(Setting { place: "ALL_PROXY".into(), says: Says::Socks(Some(at.clone())) });
        facts.socks.push((at.clone(), served));
        assert_eq!(codes(&facts), expected);
    }
}

#[test]
fn a_store_without_the_ca_matters_where_somebody_meets_it() {
    for (content, intercepted, expected) in [
        (Ok(vec![0, 1, 2, 3, 4]), json!(["a.test"]), None),
        (Ok(vec![9]), json!(["a.test"]), Some(Level::Wrong)),
        (Ok(vec![9]), json!([]), Some(Level::Note)),
        (Err("no such file".to_owned()), json!([]), Some(Level::Wrong)),
    ] {
        let mut facts = well();
        facts.told.settings.push(Setting { place: "JAVA_TOOL_OPTIONS".into(), says: Says::KeyStore("/k.p12".into()) });
        facts.stores.push(("/k.p12".into(), content.clone()));
        if let Reply::Session(session) = &mut facts.proxies[0].1 {
            session["intercepted"] = intercepted;
        }
        assert_eq!(judge(&facts).first().map(|finding| finding.level), expected, "{content:?}");
    }
}

#[test]
fn exceptions_that_lead_to_this_machine_are_none() {
    for (text, expected) in [
        ("localhost,127.0.0.1,::1,[::1],127.0.0.0/8", None),
        ("localhost|127.*|[::1]", None),
        ("localhost:8080", None),
        ("localhost, .example.com", Some(".example.com")),
        ("*", Some("*")),
        ("10.0.0.0/8", Some("10.0.0.0/8")),
        ("127.0.0.1.example.com", Some("127.0.0.1.example.com")),
    ] {
        let variables = HashMap::from([("NO_PROXY", text.replace('|', ","))]);
        let mut facts = well();
        facts.told.settings = settings_of(&variables);
        let found = judge(&facts).first().map(|finding| finding.what.clone());
        assert_eq!(found, expected.map(|text| format!("{text} is asked for past the proxy")), "{text}");
    }
}

#[test]
fn what_env_says_to_the_jvm_is_read_as_the_jvm_reads_it() {
    let options =
        "-Xmx1g -Dhttps.proxyHost=127.0.0.1 '-Dhttps.proxyPort=1' -Djavax.net.ssl.trustStore='/a b/it'\"'\"'s' -Dhttps.proxyPort=3128";
    let says: Vec<_> =
        settings_of(&HashMap::from([("JAVA_TOOL_OPTIONS", options.to_owned())])).into_iter().map(|setting| setting.says).collect();
    assert_eq!(says, [Says::Proxy(Some(proxy("http://127.0.0.1:3128"))), Says::KeyStore("/a b/it's".into())]);
}

fn settings_of(variables: &HashMap<&str, String>) -> Vec<Setting> {
    let mut told = Told::default();
    told.read_variables(&|name| variables.get(name).cloned());
    told.settings
}

#[test]
fn what_others_say_is_shown_without_control_characters() {
    let mut facts = well();
    if let Reply::Session(session) = &mut facts.proxies[0].1 {
        session["policy"] = json!("\u{1b}[2Jp\n");
    }
    assert!(as_text(&facts, &[]).starts_with("session  s1, access trusted, policy \\u{1b}[2Jp\\n\n"));
}

/// A repository brings an `.npmrc` with it, and its author chooses what a file of roots is called.
#[test]
fn the_name_of_a_file_is_neither_read_by_the_terminal_nor_by_a_shell() {
    let mut told = Told::default();
    told.read_file(Client::Npm, Path::new(".npmrc"), "cafile=/tmp/\u{1b}]0;\u{202e}$(x).pem\n", &|_| None);
    told.unled = vec!["https_proxy"];
    let [Setting { says: Says::Bundle(path), .. }] = &told.settings[..] else { panic!("{told:?}") };
    let root = Root { der: vec![0], validity: None };
    let pem = b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n".to_vec();
    for (content, expected) in
        [(Err("gone".to_owned()), "/tmp/\\u{1b}]0;\\u{202e}$(x).pem cannot be read (gone)"), (Ok(pem), "--ca BUNDLE)\"")]
    {
        let facts = Facts {
            told: Told { settings: told.settings.clone(), unled: told.unled.clone(), ..Told::default() },
            root: Some(root.clone()),
            stores: vec![(path.clone(), content)],
            streams: Vec::new(),
            ..well()
        };
        let text = as_text(&facts, &judge(&facts));
        assert!(text.contains(expected) && !text.contains(['\u{1b}', '\u{202e}']), "{text}");
    }
}

#[test]
fn of_what_git_prints_no_password_is_shown() {
    let mut told = Told::default();
    let printed = "file:/h/.gitconfig\0http.https://u:secret@a.test/.proxy\nhttp://u:secret@127.0.0.1:9\0command line:\0url.ssh://git@a.test/.insteadof\nhttps://u:secret@a.test/\0\
                   file:/h/x\0url.http://u:secret@127.0.0.1:3129/git/.insteadof\nhttps://a.test/\0";
    told.read_git(printed, &|_| None);
    let shown = format!("{told:?}");
    assert!(!shown.contains("secret"), "{shown}");
    assert_eq!(told.settings.len(), 2, "{shown}");
    assert_eq!(told.git_doors, [Destination::parse(b"127.0.0.1:3129", None).unwrap()]);
}

proptest! {
    #[test]
    fn whatever_stands_in_a_client_s_files_is_read_or_passed_over(text in "(([a-z_-]{0,9}|proxy|cacert|systemProp.https.proxyHost)[=: ]\\PC{0,20}\n|\\PC{0,20}\0){0,8}") {
        let mut told = Told::default();
        for client in Client::ALL {
            told.read_file(client, Path::new("f"), &text, &|_| None);
        }
        told.read_git(&text, &|_| None);
        told.read_variables(&|_| Some(text.clone()));
        let facts = Facts { told, ..well() };
        let shown = as_text(&facts, &judge(&facts));
        prop_assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
    }
}
