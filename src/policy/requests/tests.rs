use super::*;

fn expectation(destination: &str, protocol: Protocol) -> Expectation {
    let destination = Destination::parse(destination.as_bytes(), None).unwrap();
    Expectation { destination, protocol, ech: Ech::Refuse, report: false, rules: Bearing::default(), secrets: None }
}

fn reason(decision: Result<Cleared, Box<Denial>>) -> Option<Reason> {
    decision.map(|_| ()).map_err(|denial| denial.reason).err()
}

fn hello(expectation: &Expectation, server_name: Option<&str>) -> Option<Reason> {
    reason(expectation.decide_hello(&HelloFacts { server_name: server_name.map(str::as_bytes), encrypted: false }))
}

#[test]
fn the_server_name_is_the_destination() {
    let tls = expectation("example.com:443", Protocol::Tls);
    for same in ["example.com", "EXAMPLE.com", "example.com."] {
        assert_eq!(hello(&tls, Some(same)), None, "{same}");
    }
    for other in ["example.org", "www.example.com", "1.2.3.4", "", "example.com\0.evil", "example.com:443", "example.com..", "[::1]"] {
        assert_eq!(hello(&tls, Some(other)), Some(Reason::Misdirected), "{other}");
    }
    assert_eq!(hello(&tls, Some(&"a".repeat(300))), Some(Reason::Misdirected));
    assert_eq!(hello(&tls, None), Some(Reason::OpaqueTunnel));
}

#[test]
fn an_address_has_no_server_name() {
    for destination in ["192.0.2.1:443", "[2001:db8::1]:443"] {
        let tls = expectation(destination, Protocol::Tls);
        assert_eq!(hello(&tls, None), None);
        for name in ["example.com", "192.0.2.1", "[2001:db8::1]", "2001:db8::1"] {
            assert_eq!(hello(&tls, Some(name)), Some(Reason::Misdirected), "{destination} {name}");
        }
    }
}

#[test]
fn an_encrypted_hello_is_refused_unless_the_policy_looks_at_the_outer_name() {
    let strict = expectation("example.com:443", Protocol::Tls);
    let outer = Expectation { ech: Ech::Outer, ..strict.clone() };
    let facts = HelloFacts { server_name: Some(b"example.com"), encrypted: true };
    assert_eq!(reason(strict.decide_hello(&facts)), Some(Reason::EchNotAllowed));
    assert_eq!(reason(outer.decide_hello(&facts)), None);
    assert_eq!(reason(outer.decide_hello(&HelloFacts { server_name: Some(b"cover.example"), encrypted: true })), Some(Reason::Misdirected));
}

#[test]
fn bytes_of_another_protocol() {
    assert_eq!(reason(expectation("example.com:443", Protocol::Tls).decide_opaque()), Some(Reason::OpaqueTunnel));
    assert_eq!(reason(expectation("example.com:80", Protocol::Http).decide_opaque()), Some(Reason::OpaqueTunnel));
    assert_eq!(reason(expectation("example.com:22", Protocol::Any).decide_opaque()), None);
    assert_eq!(hello(&expectation("example.com:22", Protocol::Any), None), None);
    assert_eq!(hello(&expectation("example.com:22", Protocol::Any), Some("example.org")), Some(Reason::Misdirected));
}

#[test]
fn every_name_in_a_request_is_the_destination() {
    let http = expectation("example.com:8080", Protocol::Http);
    let ask = |host: Option<&str>, target: Option<&str>| {
        let target = target.map(|target| Destination::parse(target.as_bytes(), Some(80)).unwrap());
        reason(http.decide_request(&RequestFacts {
            method: "GET",
            host: host.map(str::as_bytes),
            target: target.as_ref(),
            origin_form: "/",
            body_length: None,
        }))
    };
    assert_eq!(ask(None, None), None);
    for host in ["example.com", "example.com:8080", "EXAMPLE.COM.:8080"] {
        assert_eq!(ask(Some(host), None), None, "{host}");
    }
    for host in ["example.org", "example.com:80", "example.com:444", "192.0.2.1"] {
        assert_eq!(ask(Some(host), None), Some(Reason::Misdirected), "{host}");
    }
    for host in ["", "a@example.com", "example.com:", "example.com, example.com", "[example.com]", "exam%70le.com"] {
        assert_eq!(ask(Some(host), None), Some(Reason::BadRequest), "{host}");
    }
    assert_eq!(ask(Some("example.com:8080"), Some("example.com:8080")), None);
    assert_eq!(ask(Some("example.com:8080"), Some("example.com")), Some(Reason::Misdirected));
    assert_eq!(ask(Some("example.com:8080"), Some("evil.example:8080")), Some(Reason::Misdirected));
    assert_eq!(ask(Some("evil.example"), Some("example.com:8080")), Some(Reason::Misdirected));
}

#[test]
fn methods_that_are_never_passed_on() {
    let mut http = expectation("example.com:80", Protocol::Http);
    for report in [false, true] {
        http.report = report;
        for method in ["TRACE", "TRACK", "CONNECT", "trace"] {
            assert_eq!(
                reason(http.decide_request(&RequestFacts { method, host: None, target: None, origin_form: "/", body_length: None })),
                Some(Reason::MethodRefused),
                "{method}"
            );
        }
        for method in ["GET", "HEAD", "OPTIONS", "POST", "PROPFIND"] {
            assert_eq!(
                reason(http.decide_request(&RequestFacts { method, host: None, target: None, origin_form: "/", body_length: None })),
                None,
                "{method}"
            );
        }
    }
}

#[test]
fn report_mode_clears_and_says_so() {
    let report = Expectation { report: true, ..expectation("example.com:443", Protocol::Tls) };
    let hello = |server_name, encrypted| report.decide_hello(&HelloFacts { server_name, encrypted }).unwrap().would_deny();
    assert_eq!(hello(Some(b"example.com".as_slice()), false), None);
    assert_eq!(hello(Some(b"evil.example".as_slice()), false), Some(Reason::Misdirected));
    assert_eq!(hello(None, false), Some(Reason::OpaqueTunnel));
    assert_eq!(hello(Some(b"example.com".as_slice()), true), Some(Reason::EchNotAllowed));
    assert_eq!(report.decide_opaque().unwrap().would_deny(), Some(Reason::OpaqueTunnel));
    let request = |host: &'static str| {
        report.decide_request(&RequestFacts {
            method: "GET",
            host: Some(host.as_bytes()),
            target: None,
            origin_form: "/",
            body_length: None,
        })
    };
    assert_eq!(request("evil.example").unwrap().would_deny(), Some(Reason::Misdirected));
    assert_eq!(request("[evil]").unwrap_err().reason, Reason::BadRequest);
}

#[test]
fn denials_say_what_was_seen() {
    let tls = expectation("example.com:443", Protocol::Tls);
    let denial = tls.decide_hello(&HelloFacts { server_name: Some(b"evil\n.example"), encrypted: false }).unwrap_err();
    assert_eq!(denial.to_string(), "misdirected: The ClientHello asks for \"evil\\n.example\", but the connection is to example.com.");
    let denial = tls
        .decide_request(&RequestFacts { method: "GET", host: Some(b"evil.example"), target: None, origin_form: "/", body_length: None })
        .unwrap_err();
    assert_eq!(denial.to_string(), "misdirected: The Host field names evil.example:443, but the connection is to example.com:443.");
}
