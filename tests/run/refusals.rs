//! What COMMAND sees of a refusal, and what its caller is told at the end.

use crate::harness::{Answer, Dns, Ended, Origin, callers, user};

#[test]
fn a_refusal_says_why_and_what_would_allow_it() {
    for caller in callers() {
        let Ended { status, out, err } = caller.run(&["--", "curl", "-sS", "-m", "5", "http://example.org/"]);
        assert_eq!(status, 0);
        assert!(out.contains("\"reason\":\"host_not_allowed\"") && out.contains("allow = [\"example.org\"]"), "{out}");
        assert_eq!(err, "tidegate: refused: example.org:80 (host_not_allowed); to allow it: --allow 'example.org'\n");
    }
}

/// Nobody can be asked while it runs, and nobody is told to.
#[test]
fn what_is_asked_for_is_answered_with_what_its_caller_writes() {
    let caller = user();
    for (wish, said) in [
        (r#"{"host": "example.org:8443"}"#, "tidegate run --allow example.org:8443"),
        (r#"{"repository": "octo/spoon"}"#, "tidegate run --repo octo/spoon"),
        (r#"{"repository": "octo/spoon", "ref": "refs/heads/fix-1"}"#, "tidegate run --repo octo/spoon:fix-1"),
    ] {
        let asked = caller.run(&["--", "curl", "-sS", "-m", "5", "-d", wish, "http://tidegate.internal/request-access"]);
        assert!(asked.status == 0 && asked.out.contains(said) && asked.out.contains("Nobody can be asked"), "{} {}", asked.out, asked.err);
    }
    let refused = caller.run(&["--", "curl", "-sS", "-m", "5", "http://example.org/"]);
    assert!(!refused.out.contains("request-access"), "{}", refused.out);
}

#[test]
fn refusals_are_counted_by_destination_and_reason() {
    let caller = user();
    let script = "for i in 1 2 3; do curl -s -m 5 -o /dev/null https://example.org/; done; curl -s -m 5 -o /dev/null https://192.0.2.1:8443/; exit 4";
    let Ended { status, out, err } = caller.shell(script);
    assert_eq!((status, out.as_str()), (4, ""));
    let expected = "tidegate: refused 3 times: example.org:443 (host_not_allowed); to allow it: --allow 'example.org'";
    assert_eq!(err.lines().next(), Some(expected), "{err}");
    assert!(err.lines().nth(1).unwrap().starts_with("tidegate: refused: 192.0.2.1:8443 (ip_literal_not_allowed)"), "{err}");
}

/// The wall and the doors behind it, for programs that know of no proxy: as they have none, the name is all there is to refuse, and
/// an address all there is to judge.
#[test]
fn threat_37_without_variables_the_same_is_refused() {
    for caller in callers() {
        let script = "unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY; curl -sS -m 5 https://example.org/; echo $?;
            curl -sS -m 5 http://192.0.2.1/; curl -sS -m 5 --noproxy '*' https://192.0.2.1/; echo $?";
        let Ended { status, out, err } = caller.run(&["--audit", "audit.jsonl", "--", "sh", "-c", script]);
        assert_eq!(status, 0, "{err}");
        // Not resolved; a page with the reason; no TLS.
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!((lines.first(), lines.last()), (Some(&"6"), Some(&"35")), "{out} {err}");
        assert!(lines[1].contains("\"reason\":\"ip_literal_not_allowed\""), "{out}");
        assert!(
            err.contains("tidegate: refused") && err.contains("example.org") && err.contains("192.0.2.1:80 (ip_literal_not_allowed)"),
            "{err}"
        );
        let records = std::fs::read_to_string(caller.home().join("audit.jsonl")).unwrap();
        for door in ["\"door\":\"dns\"", "\"door\":\"transparent\""] {
            assert!(records.contains(door), "{door}: {records}");
        }
    }
}

#[test]
fn what_is_allowed_is_reached_with_and_without_variables() {
    for caller in callers() {
        let (dns, origin) = (Dns::start(), Origin::start());
        dns.say("origin.test", Answer::of(&["127.0.0.1"]));
        let policy =
            format!("allow = [{{ host = \"origin.test:{}\", http = true }}]\n[addresses]\nallow = [\"127.0.0.1/32\"]\n", origin.port());
        caller.write("policy.toml", &policy);
        caller.write("tidegate.toml", &format!("[policy]\nfile = \"policy.toml\"\n[dns]\nresolver = \"{}\"\n", dns.address()));
        let script = format!("curl -sS -m 5 http://origin.test:{0}/; curl -sS -m 5 --noproxy '*' http://origin.test:{0}/", origin.port());
        assert_eq!(caller.run(&["--config", "tidegate.toml", "--", "sh", "-c", &script]).printed(), "hellohello");
        assert_eq!(origin.asked(), 2);
    }
}
