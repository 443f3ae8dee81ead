use std::{sync::Arc, time::SystemTime};

use proptest::prelude::*;

use super::*;
use crate::policy::{Facts, Policy, Problem, Protocol, Way};

const POLICY: &str = r#"
    allow = ["api.test", "maps.test", "git.test", "two.test", "other.test:8443"]

    [[credential]]
    hosts  = ["api.test", "other.test:8443"]
    header = "X-Acme-Key"
    value  = { env = "ACME" }

    [[credential]]
    hosts = ["maps.test"]
    query = "api_key"
    value = { file = "maps" }

    [[credential]]
    hosts      = ["git.test"]
    basic_user = "x"
    value      = { command = ["print", "it"], max_age = "1m" }
    pin        = true

    [[credential]]
    hosts  = ["two.test"]
    header = "authorization"
    format = "Bearer {}"
    value  = { env = "ONE" }

    [[credential]]
    hosts = ["two.test"]
    query = "key"
    value = { env = "TWO" }
    pin   = true
"#;

fn policy(text: &str) -> Policy {
    match Policy::parse("policy.toml", text) {
        Ok((policy, _)) => policy,
        Err(problems) => panic!("{}", complaints(&problems)),
    }
}

fn complaints(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn destination(authority: &str) -> Destination {
    Destination::parse(authority.as_bytes(), Some(443)).unwrap()
}

/// What becomes of a request: removed fields, path and query, places of what is put in; or the field or key it is refused for.
fn outcome(policy: &Policy, authority: &str, names: &[&str], origin_form: &str) -> String {
    let destination = destination(authority);
    match policy.decide_credentials(&CredentialFacts { destination: &destination, names, origin_form }) {
        Ok(None) => "untouched".to_owned(),
        Ok(Some(Substitution { removed, origin_form, put_in, would_deny })) => {
            let put_in: Vec<_> = put_in.iter().map(|(index, placement)| format!("{index} {placement}")).collect();
            let would_deny = would_deny.map(|reason| format!(" !{reason}")).unwrap_or_default();
            format!("-{} {origin_form} +{}{would_deny}", removed.join(","), put_in.join(","))
        }
        Err(denial) => {
            assert_eq!(denial.reason, Reason::CredentialNotAllowed);
            assert_eq!(denial.host.as_ref(), Some(&destination.host));
            denial.detail.split([',', '.']).find(|part| part.starts_with(" in ")).unwrap_or(&denial.detail).trim().to_owned()
        }
    }
}

#[test]
fn threat_92_a_credential_of_the_sandbox_is_removed() {
    let policy = policy(POLICY);
    let table: &[(&str, &[&str], &str, &str)] = &[
        ("api.test", &["accept", "cookie"], "/", "- / +0 header x-acme-key: {}"),
        ("api.test", &["X-ACME-KEY", "accept"], "/?x-acme-key=1", "-X-ACME-KEY /?x-acme-key=1 +0 header x-acme-key: {}"),
        ("api.test", &["x_acme_key", "x.acme-key"], "/", "-x_acme_key,x.acme-key / +0 header x-acme-key: {}"),
        ("api.test", &["x-acme-key", "x-acme-key"], "/", "-x-acme-key,x-acme-key / +0 header x-acme-key: {}"),
        ("api.test", &["x-acme-keys", "xx-acme-key"], "/", "- / +0 header x-acme-key: {}"),
        ("api.test", &["Authorization", "X-Api-Key"], "/", "-Authorization,X-Api-Key / +0 header x-acme-key: {}"),
        ("api.test:80", &["proxy-authorization"], "/", "-proxy-authorization / +0 header x-acme-key: {}"),
        ("maps.test", &["x-acme-key"], "/a", "- /a +1 query api_key"),
        ("maps.test", &[], "/a?api_key=1", "- /a +1 query api_key"),
        ("maps.test", &[], "/a?q=1&api_key=1&r=2", "- /a?q=1&r=2 +1 query api_key"),
        ("maps.test", &[], "/a?api_key=1&q=1&api_key=2", "- /a?q=1 +1 query api_key"),
        ("maps.test", &[], "/a?%61pi%5Fkey=1;q=1;API_KEY", "- /a?q=1 +1 query api_key"),
        ("maps.test", &[], "/a?api%5fkey[]=1&+api_key=2&api.key=3", "- /a +1 query api_key"),
        ("maps.test", &[], "/a?q=api_key&my_api_key=1&%zz&", "- /a?q=api_key&my_api_key=1&%zz& +1 query api_key"),
        ("maps.test", &[], "/api_key=1?", "- /api_key=1? +1 query api_key"),
        ("two.test", &[], "/", "- / +3 header authorization: Bearer {},4 query key"),
    ];
    for (authority, names, origin_form, expected) in table {
        assert_eq!(outcome(&policy, authority, names, origin_form), *expected, "{authority} {names:?} {origin_form}");
    }
}

#[test]
fn a_pinned_credential_refuses_the_sandboxs_own() {
    let policy = policy(POLICY);
    let table: &[(&str, &[&str], &str, &str)] = &[
        ("git.test", &["accept"], "/", "- / +2 basic_user x"),
        ("git.test", &["Authorization"], "/", "in the field Authorization"),
        ("git.test", &["x_api_key"], "/", "in the field x_api_key"),
        ("git.test", &["proxy-authorization"], "/", "-proxy-authorization / +2 basic_user x"),
        ("two.test", &["authorization"], "/", "in the field authorization"),
        ("two.test", &[], "/?a&%6bey=1", "in the key key in the query"),
    ];
    for (authority, names, origin_form, expected) in table {
        assert_eq!(outcome(&policy, authority, names, origin_form), *expected, "{authority} {names:?} {origin_form}");
    }
    let destination = destination("git.test");
    let facts = CredentialFacts { destination: &destination, names: &["authorization"], origin_form: "/" };
    let denial = policy.decide_credentials(&facts).unwrap_err();
    let expected = "credential_not_allowed: The request to git.test:443 brings a credential of its own, in the field authorization. \
                    The proxy puts its own in: send the request without one.";
    assert_eq!(denial.to_string(), expected);
    assert_eq!(denial.rule.unwrap().to_string(), "[[credential]] basic_user x (policy.toml:15)");
}

#[test]
fn report_mode_removes_what_it_would_refuse() {
    let policy = policy(&format!("report = true\n{POLICY}"));
    assert_eq!(outcome(&policy, "git.test", &["authorization"], "/"), "-authorization / +2 basic_user x !credential_not_allowed");
}

#[test]
fn threat_94_a_credential_is_bound_to_its_hosts_and_ports() {
    let policy = policy(POLICY);
    for authority in ["api.test", "API.test.", "api.test:80", "other.test:8443"] {
        assert!(policy.has_credential(&destination(authority)), "{authority}");
    }
    for authority in ["x.api.test", "api.test:8443", "other.test", "other.test:80", "api.test.evil.test", "evil-api.test", "127.0.0.1"] {
        assert!(!policy.has_credential(&destination(authority)), "{authority}");
        assert_eq!(outcome(&policy, authority, &["authorization", "x-acme-key"], "/?key=1&api_key=2"), "untouched", "{authority}");
    }
}

#[test]
fn where_a_credential_is_put_in_nothing_but_tls_leads() {
    let policy = policy(POLICY);
    let decide = |authority, way| {
        let destination = destination(authority);
        policy.decide_destination(&Facts { destination: &destination, way, now: SystemTime::UNIX_EPOCH }).map(|permit| permit.protocol())
    };
    for (authority, protocol) in [("api.test", Protocol::Tls), ("api.test:80", Protocol::Http), ("other.test:8443", Protocol::Tls)] {
        assert_eq!(decide(authority, Way::Connect), Ok(protocol), "{authority}");
    }
    assert_eq!(decide("other.test:8443", Way::Http).unwrap_err().reason, Reason::OpaqueTunnel);
}

#[test]
fn a_policy_says_where_credentials_come_from_and_shows_none() {
    let policy = policy(POLICY);
    let sources: Vec<_> = policy.credentials().iter().map(CredentialRule::source).collect();
    assert!(matches!(sources[0], CredentialSource::Env(name) if name.get_ref() == "ACME"));
    assert!(matches!(sources[1], CredentialSource::File(name) if name.get_ref() == "maps"));
    assert!(matches!(sources[2], CredentialSource::Command(argv, age)
        if *argv.get_ref() == ["print", "it"] && *age == Duration::from_secs(60)));
    let shown = policy.show().credentials;
    assert_eq!(shown.len(), 5);
    let expected = ShownCredential {
        hosts: vec!["api.test".to_owned(), "other.test:8443".to_owned()],
        placement: Placement::Header { name: HeaderName::from_static("x-acme-key"), before: "".into(), after: "".into() },
        pin: false,
        rule: RuleRef { entry: "[[credential]] header x-acme-key: {}".into(), source: Arc::from("policy.toml"), line: 5 },
    };
    assert_eq!(shown[0], expected);
}

proptest! {
    /// However a key is spelled and wherever it stands, no server that decodes it sees it.
    #[test]
    fn no_spelling_of_a_key_survives(
        before in "([a-j]=[0-9]{0,2}[&;]){0,3}",
        spelled in proptest::collection::vec((0usize..3, any::<bool>()), 3),
        after in "([&;][a-j]=[0-9]{0,2}){0,3}",
    ) {
        let policy = policy("allow = [\"a.test\"]\n[[credential]]\nhosts = [\"a.test\"]\nquery = \"key\"\nvalue = { env = \"A\" }\n");
        let key: String = spelled.iter().zip("key".chars()).map(|(&(form, upper), letter)| {
            let letter = if upper { letter.to_ascii_uppercase() } else { letter };
            match form {
                0 => letter.to_string(),
                1 => format!("%{:02x}", u32::from(letter)),
                _ => format!("%{:02X}", u32::from(letter)),
            }
        }).collect();
        let origin_form = format!("/p?{before}{key}=mine{after}");
        let destination = destination("a.test");
        let facts = CredentialFacts { destination: &destination, names: &[], origin_form: &origin_form };
        let left = policy.decide_credentials(&facts).unwrap().unwrap().origin_form.into_owned();
        prop_assert!(!left.contains("mine"), "{}", left);
        let pairs = |text: &str| text.split(['?', '&', ';']).skip(1).filter(|pair| !pair.is_empty()).map(str::to_owned).collect::<Vec<_>>();
        prop_assert_eq!(pairs(&left), pairs(&format!("?{before}&{after}")));
    }

    #[test]
    fn any_request_is_answered(names in proptest::collection::vec("[!-~]{0,12}", 0..5), origin_form in "/[!-~]{0,40}") {
        let policy = policy(POLICY);
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        for host in ["api.test", "maps.test", "two.test"] {
            let destination = destination(host);
            let _ = policy.decide_credentials(&CredentialFacts { destination: &destination, names: &names, origin_form: &origin_form });
        }
    }
}
