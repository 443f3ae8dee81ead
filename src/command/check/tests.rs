use super::super::tests::{Done, tidegate};

/// Runs `check url` and returns its status and results.
fn check(arguments: &str) -> (u8, String) {
    let Done { code, out, .. } = tidegate(&format!("tidegate check url {arguments}"));
    (code, out)
}

#[test]
fn verdicts() {
    for (arguments, expected) in [
        ("https://www.example.com/x?y#z", (0, "allow www.example.com:443")),
        ("HTTPS://WWW.EXAMPLE.COM.", (0, "allow www.example.com:443")),
        ("http://www.example.com/x#z", (0, "allow www.example.com:80")),
        ("--method POST http://www.example.com", (0, "allow www.example.com:80")),
        ("www.example.com", (0, "allow www.example.com:443")),
        ("db.example.org:5432", (0, "allow db.example.org:5432")),
        ("www.example.com:22", (1, "deny www.example.com:22 port_not_allowed")),
        ("bad.example.com", (1, "deny bad.example.com:443 host_denied")),
        ("evil.test", (1, "deny evil.test:443 host_not_allowed")),
        ("localhost:80", (1, "deny localhost:80 address_not_allowed")),
        ("169.254.169.254", (1, "deny 169.254.169.254:443 ip_literal_not_allowed")),
        ("[::1]:443", (1, "deny [::1]:443 ip_literal_not_allowed")),
        ("http://www.example.com:443", (1, "deny www.example.com:443 opaque_tunnel")),
        ("--method TRACE http://www.example.com", (1, "deny www.example.com:80 method_refused")),
        ("--method TRACE www.example.com:80", (1, "deny www.example.com:80 method_refused")),
        ("0x7f.1", (1, "deny 0x7f.1 bad_request")),
        ("ftp://www.example.com", (1, "deny ftp://www.example.com bad_request")),
        ("http://u:p@www.example.com", (1, "deny http://u:p@www.example.com bad_request")),
        ("https://u:p@www.example.com", (1, "deny https://u:p@www.example.com bad_request")),
        ("::1", (1, "deny ::1 bad_request")),
        ("\u{1b}[2J", (1, "deny \\u{1b}[2J bad_request")),
    ] {
        let (code, out) = check(&format!("--policy policy.toml {arguments}"));
        let line = out.lines().next().unwrap_or_default();
        let words: Vec<_> = line.split_whitespace().take_while(|word| *word != "by").collect();
        assert_eq!((code, words.join(" ").as_str()), expected, "{arguments}: {out}");
    }
}

#[test]
fn an_answer_names_the_rule_and_the_remedy() {
    let done = tidegate("tidegate check url --policy policy.toml https://www.example.com bad.example.com evil.test");
    let out = "\
allow  www.example.com:443  by *.example.com (policy.toml:1)
deny   bad.example.com:443  host_denied  by bad.example.com (policy.toml:2)
       bad.example.com:443 is denied by bad.example.com (policy.toml:2); only taking that entry out would allow it.
deny   evil.test:443  host_not_allowed
       evil.test is not on the list of policy.toml.
       This would allow it:
         allow = [\"evil.test\"]
";
    let err = "note: no name was resolved; the addresses of an allowed name are judged when it is dialled\n";
    assert_eq!(done, Done { code: 1, out: out.into(), err: err.into() });
}

#[test]
fn an_answer_in_json() {
    let (code, out) = check("--policy policy.toml --json https://www.example.com evil.test a@b");
    let expected = [
        r#"{"target":"https://www.example.com","host":"www.example.com","port":443,"verdict":"allow","reason":null,"rule":"*.example.com","source":"policy.toml","line":1,"would_deny":null,"allow_with":null,"detail":"Its addresses are judged when it is dialled."}"#,
        r#"{"target":"evil.test","host":"evil.test","port":443,"verdict":"deny","reason":"host_not_allowed","rule":null,"source":null,"line":null,"would_deny":null,"allow_with":"allow = [\"evil.test\"]","detail":"evil.test is not on the list of policy.toml."}"#,
        r#"{"target":"a@b","host":null,"port":null,"verdict":"deny","reason":"bad_request","rule":null,"source":null,"line":null,"would_deny":null,"allow_with":null,"detail":"The target cannot be asked about: user information may not stand before a host: \"a@b\"."}"#,
    ];
    assert_eq!((code, out.lines().collect::<Vec<_>>()), (1, expected.to_vec()));
}

#[test]
fn levels() {
    for (arguments, expected) in [
        ("--access none github.com", "deny   github.com:443  network_disabled"),
        ("--access trusted github.com", "allow  github.com:443  by github.com (lists/trusted:"),
        ("github.com", "allow  github.com:443  by github.com (lists/trusted:"),
        ("--access custom github.com", "deny   github.com:443  host_not_allowed"),
        ("--access full a.test", "allow  a.test:443  by the access level"),
    ] {
        let (_, out) = check(arguments);
        assert!(out.starts_with(expected), "{arguments}: {out}");
    }
}

#[test]
fn a_policy_that_cannot_be_used() {
    let done = tidegate("tidegate check url --policy missing.toml a.test");
    assert_eq!(done, Done { code: 2, out: String::new(), err: "tidegate: cannot read missing.toml: no such file\n".into() });
    let Done { code, out, err } = tidegate("tidegate check url --policy broken.toml a.test");
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.starts_with("error: "), "{err}");
}
