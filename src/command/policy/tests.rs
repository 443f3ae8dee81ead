use super::super::tests::{Done, tidegate};

#[test]
fn lint_shows_each_problem_with_a_caret() {
    let out = "\
error: \"*.com\" would match every name under the public suffix \"com\"
 --> broken.toml:1:10
  |
1 | allow = [\"*.com\"]
  |          ^^^^^^^
  |
help: write the domain that is meant, such as \"*.example.com\"

error: unknown key \"alow\"
 --> broken.toml:2:1
  |
2 | alow = []
  | ^^^^
  |
help: the keys here are access, include, allow, deny, control_plane, report, rule, addresses, tls, limits, credential, content

";
    let expected = Done { code: 1, out: out.into(), err: "2 errors, 0 warnings\n".into() };
    assert_eq!(tidegate("tidegate policy lint policy.toml broken.toml"), expected);
}

#[test]
fn lint_tells_errors_warnings_and_unreadable_files_apart() {
    for (files, expected) in [
        ("policy.toml", (0, "0 errors, 0 warnings\n")),
        ("empty.toml", (0, "0 errors, 1 warning\n")),
        ("broken.toml", (1, "2 errors, 0 warnings\n")),
        ("missing.toml", (2, "tidegate: cannot read missing.toml: no such file\n")),
        ("latin1.toml", (2, "tidegate: cannot read latin1.toml: it is not UTF-8\n")),
        ("missing.toml broken.toml", (2, "tidegate: cannot read missing.toml: no such file\n2 errors, 0 warnings\n")),
    ] {
        let Done { code, err, .. } = tidegate(&format!("tidegate policy lint {files}"));
        assert_eq!((code, err.as_str()), expected, "{files}");
    }
}

#[test]
fn lint_reads_the_lists_that_a_policy_denies() {
    let out = "\
error: no host, no URL and no line of a hosts file: \"no host\"
 --> bad.txt:3:1
  |
3 | no host
  | ^^^^^^^
  |
";
    let Done { code, out: said, err } = tidegate("tidegate policy lint lists.toml");
    assert_eq!((code, err.as_str()), (1, "3 errors, 1 warning\n"), "{said}");
    for part in [out, " --> bad.txt:4:1\n", "error: cannot read none.txt: no such file\n --> lists.toml:2:38\n"] {
        assert!(said.contains(part), "{part}\n{said}");
    }
}

#[test]
fn lint_in_json() {
    let Done { code, out, err } = tidegate("tidegate policy lint --json broken.toml");
    let lines: Vec<_> = out.lines().collect();
    let first = r#"{"source":"broken.toml","line":1,"column":10,"severity":"error","message":"\"*.com\" would match every name under the public suffix \"com\"","help":"write the domain that is meant, such as \"*.example.com\""}"#;
    assert_eq!((code, lines.len(), lines.first().copied(), err.as_str()), (1, 2, Some(first), ""));
}

#[test]
fn show_lists_what_counts_and_where_it_comes_from() {
    let out = "\
policy  policy.toml
access  custom
report  false
ech     refuse
limits  connections 2048, tunnels 1024, a second: connections 500, requests 500, names 200
api     an hour: calls 3000, writes 500, comments 100

allow
  *.example.com        policy.toml:1
  db.example.org:5432  policy.toml:1

deny
  bad.example.com:*    policy.toml:2
";
    assert_eq!(tidegate("tidegate policy show --policy policy.toml"), Done { code: 0, out: out.into(), err: String::new() });
}

#[test]
fn show_tells_what_becomes_of_requests_and_never_where_a_credential_comes_from() {
    let Done { code, out, err } = tidegate("tidegate policy show --policy inside.toml");
    let expected = "\
policy  inside.toml
access  custom
report  false
ech     refuse
limits  connections 2048, tunnels 1024, a second: connections 500, requests 500, names 200
api     an hour: calls 3000, writes 500, comments 100

allow
  docs.example.com       inside.toml:2
  api.example.com        inside.toml:3  until 2026-12-01T00:00:00.000000Z
  seen.example.com:8443  inside.toml:4  speaks tls  report only  intercept

[tls] skip
  pinned.example.com     inside.toml:22

intercepted over TLS
  api.example.com, docs.example.com, seen.example.com:8443

[[rule]] docs are read-only  inside.toml:7
  hosts    docs.example.com
  methods  GET, HEAD, OPTIONS
  paths    /v1/**
  body     at most 1024 octets

credential
  api.example.com  header authorization: Bearer {}  pin  inside.toml:15
";
    assert_eq!((code, out.as_str(), err.as_str()), (0, expected, ""));
    let Done { code, out, .. } = tidegate("tidegate policy show --policy inside.toml --json");
    let shown: serde_json::Value = serde_json::from_str(&out).unwrap();
    let rule = serde_json::json!({
        "rule": { "entry": "docs are read-only", "source": "inside.toml", "line": 7 },
        "hosts": ["docs.example.com"],
        "methods": ["GET", "HEAD", "OPTIONS"],
        "paths": ["/v1/**"],
        "max_request_body": 1024,
    });
    assert_eq!((code, &shown["rules"][0], &shown["entries"][2]["intercept"]), (0, &rule, &true.into()));
    assert_eq!(shown["intercepted"], serde_json::json!(["api.example.com", "docs.example.com", "seen.example.com:8443"]));
    assert_eq!(shown["credentials"][0]["placement"], "header authorization: Bearer {}");
    assert!(!out.contains("EXAMPLE_KEY"), "{out}");
}

#[test]
fn show_in_json_holds_every_entry_of_a_level() {
    let Done { code, out, .. } = tidegate("tidegate policy show --access trusted --json");
    let shown: serde_json::Value = serde_json::from_str(&out).unwrap();
    let entries = shown["entries"].as_array().unwrap();
    assert_eq!((code, &shown["access"], entries.len() > 100), (0, &"trusted".into(), true));
    let entry = entries.iter().find(|entry| entry["pattern"] == "github.com").unwrap();
    assert_eq!((&entry["list"], &entry["rule"]["source"], entry["group"].is_string()), (&"allow".into(), &"lists/trusted".into(), true));
}

#[test]
fn suggest_prints_a_policy() {
    let out = "\
# What 2 requests of 1 session asked for.
# The sandbox chose these hosts: read them before you enforce them. Rules, credentials and limits are for you to add.

allow = [
    # 1 request (CONNECT), 2026-11-21T12:00:00Z; without an entry host_not_allowed ×1
    \"a.test:8443\",
    # Refused, and not let out here. What is meant to be goes without its \"#\".
    # 1 request (GET), 2026-11-21T12:00:00Z; without an entry host_not_allowed ×1
    # \"www.example.com\",
]
";
    assert_eq!(tidegate("tidegate policy suggest audit.jsonl"), Done { code: 0, out: out.into(), err: String::new() });
}

#[test]
fn suggest_names_lines_that_are_no_records() {
    let Done { code, out, err } = tidegate("tidegate policy suggest broken.jsonl");
    let said = "tidegate: broken.jsonl:1: not an audit record\ntidegate: broken.jsonl:3: an audit record of schema 2, where 1 is known\n";
    assert_eq!((code, err.as_str()), (2, said));
    assert!(out.contains("\"a.test:8443\","), "{out}");
    for file in ["missing.jsonl", "policy.toml"] {
        let Done { code, out, err } = tidegate(&format!("tidegate policy suggest {file}"));
        assert_eq!((code, out.as_str(), err.contains(file)), (2, "", true), "{err}");
    }
}

#[test]
fn diff_tells_changes_from_none_and_from_errors() {
    for (files, expected, says) in [
        ("policy.toml policy.toml --audit audit.jsonl", 0, "0 of 2 recorded decisions change\n"),
        ("policy.toml empty.toml --audit audit.jsonl", 1, "1 of 2 recorded decisions change\n"),
        ("policy.toml empty.toml --audit broken.jsonl", 2, "1 of 2 recorded decisions change\n"),
        ("policy.toml empty.toml --audit missing.jsonl", 2, "0 of 0 recorded decisions change\n"),
        ("policy.toml broken.toml --audit audit.jsonl", 2, "unknown key"),
        ("missing.toml policy.toml --audit audit.jsonl", 2, "cannot read missing.toml"),
    ] {
        let Done { code, err, .. } = tidegate(&format!("tidegate policy diff {files}"));
        assert!(code == expected && err.contains(says), "{files}: {code} {err}");
    }
}

#[test]
fn diff_in_words_and_in_json() {
    let Done { code, out, .. } = tidegate("tidegate policy diff policy.toml empty.toml --audit audit.jsonl");
    let text = "now refused: host_not_allowed www.example.com:443 ×1  before by *.example.com (policy.toml:1)  such as GET /\\u{1b}x\n";
    assert_eq!((code, out.as_str()), (1, text));
    let Done { code, out, err } = tidegate("tidegate policy diff empty.toml policy.toml --audit audit.jsonl --json");
    let json = r#"{"change":"allowed","reason":"host_not_allowed","host":"www.example.com","port":443,"count":1,"rule":{"entry":"*.example.com","source":"policy.toml","line":1},"old_rule":null,"method":"GET","path":"/\u001bx"}"#;
    assert_eq!((code, out.trim_end(), err.as_str()), (1, json, ""));
}
