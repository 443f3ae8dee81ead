//! What rules say about methods, paths and bodies, and where they need interception.

use proptest::{prelude::*, sample::select};

use super::*;

const DOCS: &str = r#"
allow = ["docs.test", { host = "api.test:8080", http = true }, { host = "tls.test:8443", tls = true }, "free.test"]
[[rule]]
name = "docs are read-only"
hosts = ["docs.test", "tls.test"]
methods = ["GET", "HEAD"]
paths = ["/v1/**"]
max_request_body = 4
[[rule]]
hosts = ["docs.test"]
methods = ["POST"]
paths = ["/search"]
max_request_body = "1 KiB"
[[rule]]
hosts = ["api.test"]
methods = ["PUT"]
"#;

fn ask(text: &str, authority: &str, method: &str, origin_form: &str, body_length: Option<u64>) -> Result<Cleared, Box<Denial>> {
    let permit = decide_at(&policy(text), authority, Way::Http, moment(0))?;
    permit.expectation().decide_request(&RequestFacts { method, host: None, target: None, origin_form, body_length })
}

fn problems(text: &str) -> Vec<String> {
    let found = Policy::parse("policy.toml", text).map_or_else(|problems| problems, |(_, warnings)| warnings);
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn method_and_path_are_judged_together() {
    for (method, path, expected) in [
        ("GET", "/v1", None),
        ("GET", "/v1/a/b?q=../", None),
        ("HEAD", "/%761/a", None),
        ("POST", "/search?q", None),
        ("GET", "/search", Some(Reason::MethodNotAllowed)),
        ("POST", "/v1/a", Some(Reason::MethodNotAllowed)),
        ("DELETE", "/v1/a", Some(Reason::MethodNotAllowed)),
        ("DELETE", "/other", Some(Reason::MethodNotAllowed)),
        ("get", "/v1/a", Some(Reason::MethodNotAllowed)),
        ("FOO", "/v1/a", Some(Reason::MethodNotAllowed)),
        ("TRACE", "/v1/a", Some(Reason::MethodRefused)),
        ("GET", "/", Some(Reason::PathNotAllowed)),
        ("GET", "/v2/a", Some(Reason::PathNotAllowed)),
        ("POST", "/Search", Some(Reason::PathNotAllowed)),
        ("GET", "/v1/../evil", Some(Reason::BadRequest)),
        ("GET", "/v1/%2e%2e/evil", Some(Reason::BadRequest)),
        ("GET", "//v1/a", Some(Reason::BadRequest)),
        ("GET", "/v1%2fa", Some(Reason::BadRequest)),
        ("OPTIONS", "*", Some(Reason::BadRequest)),
    ] {
        let decided = ask(DOCS, "docs.test:80", method, path, None);
        assert_eq!(decided.err().map(|denial| denial.reason), expected, "{method} {path}");
    }
}

#[test]
fn a_word_stands_for_the_methods_that_read() {
    let text = "allow = [\"a.test\"]\n[[rule]]\nhosts = [\"a.test\"]\nmethods = [\"PUT\", \"read-only\", \"HEAD\"]";
    for (method, expected) in [
        ("GET", None),
        ("HEAD", None),
        ("OPTIONS", None),
        ("PUT", None),
        ("POST", Some(Reason::MethodNotAllowed)),
        ("DELETE", Some(Reason::MethodNotAllowed)),
        ("read-only", Some(Reason::MethodNotAllowed)),
        ("TRACE", Some(Reason::MethodRefused)),
    ] {
        assert_eq!(ask(text, "a.test:80", method, "/", None).err().map(|denial| denial.reason), expected, "{method}");
    }
    assert_eq!(policy(text).show().rules[0].methods, ["PUT", "GET", "HEAD", "OPTIONS"]);
    let said = "error: methods are compared exactly, write it in capitals: \"read-write\"\n  help: the word for several is \"read-only\": GET, HEAD, OPTIONS";
    let found = problems(&text.replace("read-only", "read-write"));
    assert!(found.iter().any(|problem| problem.ends_with(said)), "{found:#?}");
}

#[test]
fn what_is_cleared_says_how_it_leaves() {
    let cleared = ask(DOCS, "docs.test:80", "GET", "/%761/%c3%a9?a=%2e", Some(4)).unwrap();
    assert_eq!((cleared.origin_form(), cleared.max_request_body()), (Some("/v1/%C3%A9?a=%2e"), Some(4)));
    assert!(cleared.strips_method_override());
    let cleared = ask(DOCS, "api.test:8080", "PUT", "/a/../b//", None).unwrap();
    assert_eq!((cleared.origin_form(), cleared.strips_method_override()), (None, true), "no rule looks at its path");
    let cleared = ask(DOCS, "free.test:80", "GET", "/a/../b//", Some(9)).unwrap();
    assert_eq!((cleared.origin_form(), cleared.max_request_body(), cleared.strips_method_override()), (None, None, false));
}

#[test]
fn bodies_are_bounded_by_the_rule_that_matches() {
    for (method, path, length, expected) in [
        ("GET", "/v1", Some(4), None),
        ("GET", "/v1", Some(5), Some(Reason::BodyTooLarge)),
        ("GET", "/v1", None, None),
        ("POST", "/search", Some(1024), None),
        ("POST", "/search", Some(1025), Some(Reason::BodyTooLarge)),
    ] {
        let decided = ask(DOCS, "docs.test:80", method, path, length);
        assert_eq!(decided.err().map(|denial| denial.reason), expected, "{method} {path} {length:?}");
    }
    let denial = ask(DOCS, "docs.test:80", "GET", "/v1", Some(5)).unwrap_err();
    assert_eq!(denial.detail, "A body to docs.test may have 4 octets, by docs are read-only (policy.toml:3), and this one has more.");
}

#[test]
fn denials_name_the_rule_and_the_way_out() {
    let denial = ask(DOCS, "docs.test:80", "POST", "/v1/a?q", None).unwrap_err();
    assert_eq!(denial.detail, "docs.test takes GET, HEAD here and not POST.");
    assert_eq!(denial.rule.unwrap().to_string(), "docs are read-only (policy.toml:3)");
    assert_eq!(denial.allow_with.unwrap(), "[[rule]]\nhosts = [\"docs.test:80\"]\nmethods = [\"POST\"]\npaths = [\"/v1/a\"]");
    let denial = ask(DOCS, "docs.test:80", "POST", "/other", None).unwrap_err();
    assert_eq!(denial.detail, "POST to docs.test is for the paths /search and not for /other.");
    assert_eq!(denial.rule.unwrap().to_string(), "rule 2 (policy.toml:9)");
}

#[test]
fn report_mode_changes_nothing_and_says_what_it_would() {
    let report = format!("report = true\n{DOCS}");
    for (method, path, expected) in [
        ("POST", "/v1", Some(Reason::MethodNotAllowed)),
        ("GET", "/v2", Some(Reason::PathNotAllowed)),
        ("GET", "//v1", Some(Reason::BadRequest)),
        ("GET", "/%761", None),
    ] {
        let cleared = ask(&report, "docs.test:80", method, path, None).unwrap();
        assert_eq!((cleared.would_deny(), cleared.origin_form(), cleared.max_request_body()), (expected, None, None), "{method} {path}");
    }
    let entry = "allow = [{ host = \"a.test\", report = true }]\n[[rule]]\nhosts = [\"a.test\"]\nmethods = [\"GET\"]";
    assert_eq!(ask(entry, "a.test:80", "PUT", "/", None).unwrap().would_deny(), Some(Reason::MethodNotAllowed));
}

#[test]
fn rules_hold_for_as_long_as_their_entry_and_report_where_it_does() {
    let text = r#"
        allow = [
            { host = "ends.test", until = 2026-12-01T00:00:00Z },
            { host = "reports.test", report = true },
            { host = "both.test", report = true, until = 2026-12-01T00:00:00Z },
            "*.test",
        ]
        deny = [{ host = "denied.test", report = true }]
        [[rule]]
        hosts = ["*.test"]
        methods = ["read-only"]
    "#;
    let policy = policy(text);
    let end = moment(1_796_083_200);
    let (before, after) = (end - std::time::Duration::from_nanos(1), end);
    let ask = |host: &str, method, now| {
        let permit = decide_at(&policy, host, Way::Connect, now).map_err(|denial| denial.reason)?;
        assert!(permit.interception().is_some(), "{host}");
        let facts = RequestFacts { method, host: None, target: None, origin_form: "/", body_length: None };
        let cleared = permit.expectation().decide_request(&facts).map_err(|denial| denial.reason)?;
        Ok(permit.would_deny().or(cleared.would_deny()))
    };
    for (host, method, now, expected) in [
        ("ends.test", "GET", before, Ok(None)),
        ("ends.test", "PUT", before, Err(Reason::MethodNotAllowed)),
        // The wildcard goes on allowing it.
        ("ends.test", "PUT", after, Err(Reason::MethodNotAllowed)),
        ("reports.test", "PUT", after, Ok(Some(Reason::MethodNotAllowed))),
        ("both.test", "PUT", before, Ok(Some(Reason::MethodNotAllowed))),
        ("both.test", "PUT", after, Err(Reason::MethodNotAllowed)),
        ("both.test", "GET", after, Ok(None)),
        ("denied.test", "GET", after, Ok(Some(Reason::HostDenied))),
        ("denied.test", "PUT", after, Err(Reason::MethodNotAllowed)),
    ] {
        assert_eq!(ask(host, method, now), expected, "{method} {host} {now:?}");
    }
    let alone = "allow = [{ host = \"a.test\", until = 2026-12-01T00:00:00Z }]\n[[rule]]\nhosts = [\"a.test\"]\nmethods = [\"GET\"]";
    let decided = decide_at(&super::policy(alone), "a.test", Way::Connect, after);
    assert_eq!(decided.map(drop).map_err(|denial| denial.reason), Err(Reason::HostNotAllowed));
}

#[test]
fn rules_and_entries_ask_for_interception() {
    let text = format!("{DOCS}\n[tls]\nskip = [\"pinned.test\"]").replace(
        "\"free.test\"]",
        "\"free.test\", { host = \"seen.test\", intercept = true }, { host = \"pinned.test\", intercept = true }]",
    );
    let policy = policy(&text);
    for (authority, way, expected) in [
        ("docs.test:443", Way::Connect, true),
        ("docs.test:80", Way::Connect, false),
        ("docs.test:80", Way::Http, false),
        ("tls.test:8443", Way::Connect, true),
        ("seen.test:443", Way::Connect, true),
        ("seen.test:80", Way::Connect, false),
        ("free.test:443", Way::Connect, false),
        ("pinned.test:443", Way::Connect, false),
    ] {
        assert_eq!(decide_at(&policy, authority, way, moment(0)).unwrap().interception().is_some(), expected, "{authority}");
    }
}

#[test]
fn a_rule_that_could_not_hold_is_an_error_or_refuses() {
    for (text, says) in [
        ("allow = [\"a.test:8080\"]\n[[rule]]\nhosts = [\"a.test\"]", "3:10: error: a rule for a.test cannot judge"),
        ("allow = [\"a.test:*\"]\n[[rule]]\nhosts = [\"*.test\"]", "error: a rule for *.test cannot judge"),
        (
            "allow = [\"a.test\"]\n[tls]\nskip = [\"*.test\"]\n[[rule]]\nhosts = [\"a.test\"]",
            "5:10: error: a rule for a.test needs interception",
        ),
        ("allow = [{ host = \"a.test:8080\", intercept = true }]", "error: an entry that lets any protocol through cannot be intercepted"),
        ("allow = [{ host = \"a.test:80\", intercept = true }]", "error: plain HTTP is judged per request"),
        ("[[rule]]\nmethods = [\"GET\"]", "1:1: error: a rule names \"hosts\""),
        ("[[rule]]\nhosts = [\"a.test\"]\nmethods = [\"get\"]", "3:12: error: methods are compared exactly, write it in capitals: \"get\""),
        ("[[rule]]\nhosts = [\"a.test\"]\nmethods = [\"TRACE\"]", "error: no rule lets this method through"),
        ("[[rule]]\nhosts = [\"a.test\"]\nmethods = [\"\"]", "error: a method is a word"),
        ("[[rule]]\nhosts = [\"a.test\"]\npaths = [\"/a/../b\"]", "3:10: error: a path has no dot segment"),
        ("[[rule]]\nhosts = [\"a.test\"]\nmax_request_body = \"1 mib\"", "3:20: error: \"max_request_body\" names no size"),
        ("[[rule]]\nhosts = [\"a.test\"]\npath = []", "error: unknown key \"path\""),
        ("[[rule]]\nhosts = [\"a.test\"]", "2:10: warning: the rule for \"a.test\" has no effect"),
    ] {
        let found = problems(text);
        assert!(found.iter().any(|problem| problem.contains(says)), "{text}\n{found:#?}");
    }
    // The patterns meet in a name that no look at them finds.
    let hidden = "allow = [\"a*b*.test.example:8080\"]\n[[rule]]\nhosts = [\"*c*d.test.example\"]";
    let denial = decide_at(&policy(hidden), "abcd.test.example:8080", Way::Connect, moment(0)).unwrap_err();
    assert_eq!((denial.reason, denial.rule.unwrap().entry.as_ref()), (Reason::OpaqueTunnel, "rule 1"));
    assert_eq!(denial.allow_with, None);
}

/// Entries beside those that rules are about, and what follows them.
const BESIDE: [(&str, &str); 3] = [
    ("\"c.example\"", ""),
    ("{ host = \"c.example\", intercept = true, report = true }, \"c.example:8080\"", ""),
    ("\"c.example:*\"", "report = true\ntls = { skip = [\"c.example\"] }\n"),
];

/// What the proxy does with HTTPS in a tunnel: requests are read where TLS ends there, and nowhere else.
fn over_tls(policy: &Policy, authority: &str, method: &str, origin_form: &str) -> Result<Option<Reason>, Box<Denial>> {
    let permit = decide_at(policy, authority, Way::Connect, moment(0))?;
    let expectation = permit.expectation();
    let mut would_deny = permit.would_deny();
    if permit.protocol() == Protocol::Http {
        would_deny = would_deny.or(expectation.decide_opaque()?.would_deny());
    } else if permit.interception().is_some() {
        let facts = RequestFacts { method, host: None, target: None, origin_form, body_length: None };
        would_deny = would_deny.or(expectation.decide_request(&facts)?.would_deny());
    }
    Ok(would_deny)
}

fn rules() -> impl Strategy<Value = String> {
    let methods = prop::collection::vec(select(vec!["GET", "POST", "PUT"]), 0..3);
    let paths = prop::collection::vec(select(vec!["/a", "/a/**", "/**/b", "/*/b"]), 0..3);
    prop::collection::vec((select(vec!["a.test", "*.test", "b.test:80"]), methods, paths), 0..3).prop_map(|rules| {
        let written =
            rules.iter().map(|(host, methods, paths)| format!("{{ hosts = [{host:?}], methods = {methods:?}, paths = {paths:?} }}"));
        format!("allow = [\"a.test\", \"b.test\"]\nrule = [{}]\n", written.collect::<Vec<_>>().join(", "))
    })
}

proptest! {
    #[test]
    fn check_says_what_the_wire_does(text in rules(), host in select(vec!["a.test", "b.test"]), method in select(vec!["GET", "POST", "DELETE"]), path in "(/[ab.]{0,2}|/%61){1,3}") {
        let policy = policy(&text);
        let asked = Question::parse(&format!("http://{host}{path}"), Some(method)).unwrap().decide(&policy, moment(0));
        let wire = ask(&text, &format!("{host}:80"), method, &path, None);
        prop_assert_eq!(asked.err(), wire.err());
    }

    #[test]
    fn check_says_what_the_wire_does_over_tls(
        text in rules(),
        (entries, lines) in select(BESIDE.to_vec()),
        host in select(vec!["a.test", "b.test", "b.test:80", "c.example", "c.example:80", "c.example:8080"]),
        method in select(vec!["GET", "POST", "DELETE", "TRACE"]),
        path in "(/[ab.]{0,2}|/%61){1,3}",
    ) {
        let policy = policy(&(text.replacen('[', &format!("[{entries}, "), 1) + lines));
        let asked = Question::parse(&format!("https://{host}{path}"), Some(method)).unwrap().decide(&policy, moment(0));
        let wire = over_tls(&policy, host, method, &path);
        prop_assert_eq!(asked.map(|approval| approval.would_deny), wire);
    }

    #[test]
    fn the_rule_that_would_let_it_through_does(text in rules(), host in select(vec!["a.test", "b.test"]), method in select(vec!["GET", "POST", "DELETE"]), path in "(/[ab]{1,2}){1,3}") {
        if let Err(denial) = ask(&text, &format!("{host}:80"), method, &path, None) {
            let changed = properties::add(&text, &denial.allow_with.unwrap());
            let cleared = ask(&changed, &format!("{host}:80"), method, &path, None);
            prop_assert!(cleared.is_ok(), "{changed}\n{cleared:?}");
        }
    }
}
