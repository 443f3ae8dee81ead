use super::super::super::tests::{Done, tidegate};

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
