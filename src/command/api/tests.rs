use super::super::tests::{Done, tidegate};

/// Runs `check api` and returns its status and results.
fn check(arguments: &str) -> (u8, String) {
    let Done { code, out, .. } = tidegate(&format!("tidegate check api --session session.toml {arguments}"));
    (code, out)
}

#[test]
fn verdicts() {
    for (arguments, expected) in [
        ("GET /repos/octo/spoon/pulls?state=open", (0, "allow GET /repos/octo/spoon/pulls?state=open")),
        ("HEAD repos/octo/strict", (0, "allow HEAD repos/octo/strict")),
        ("POST /repos/octo/spoon/pulls --body pull.json", (0, "allow POST /repos/octo/spoon/pulls")),
        ("GET /user", (0, "allow GET /user")),
        ("PUT /repos/octo/spoon/pulls/7/merge", (1, "deny PUT /repos/octo/spoon/pulls/7/merge api_not_allowed")),
        ("POST /repos/octo/spoon/pulls", (1, "deny POST /repos/octo/spoon/pulls api_not_allowed")),
        ("POST /repos/octo/strict/merges --body pull.json", (1, "deny POST /repos/octo/strict/merges api_not_allowed")),
        ("GET /repos/octo/other", (1, "deny GET /repos/octo/other repository_not_granted")),
        ("GET /repos/octo/fork", (1, "deny GET /repos/octo/fork api_not_allowed")),
        ("GET /repos/octo/../other", (1, "deny GET /repos/octo/../other bad_request")),
        ("POST /repos/octo/spoon/pulls --body session.toml", (1, "deny POST /repos/octo/spoon/pulls bad_request")),
        ("FETCH /user", (1, "deny FETCH /user api_not_allowed")),
    ] {
        let (code, out) = check(arguments);
        let line = out.lines().next().unwrap_or_default();
        let words: Vec<_> = line.split_whitespace().take_while(|word| *word != "by").collect();
        assert_eq!((code, words.join(" ").as_str()), expected, "{arguments}: {out}");
    }
}

#[test]
fn an_answer_names_the_row_and_what_it_depends_on() {
    let (_, out) = check("POST /repos/octo/spoon/pulls --body pull.json");
    assert!(out.starts_with("allow  POST /repos/octo/spoon/pulls  by POST /repos/{owner}/{repo}/pulls (github/rest.txt:"), "{out}");
    let (code, out) = check("PATCH /repos/octo/spoon/pulls/7");
    let depends = "       Only if the pull request 7 of octo/spoon comes from a branch that the session may push, and a merge goes to one of its bases.\n";
    assert_eq!((code, out), (0, format!("allow  PATCH /repos/octo/spoon/pulls/7\n{depends}")));
    let (code, out) = check("POST /repos/octo/strict/pulls --body pull.json");
    assert!(code == 1 && out.ends_with("       This would allow it:\n         grants = [\"pull_requests\"]\n"), "{out}");
}

#[test]
fn an_answer_in_json() {
    let (code, out) = check("--json GET /repos/octo/other");
    let answer: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 1);
    assert_eq!((&answer["verdict"], &answer["reason"]), (&"deny".into(), &"repository_not_granted".into()));
    assert_eq!(answer["allow_with"], "[[session.repository]]\nname = \"octo/other\"\naccess = \"read\"");
    let (code, out) = check("--json GET /");
    let expected = r#"{"method":"GET","path":"/","verdict":"allow","reason":null,"rule":null,"allow_with":null,"detail":"It is answered by Tidegate itself, and GitHub is not asked."}"#;
    assert_eq!((code, out), (0, format!("{expected}\n")));
}

#[test]
fn files_that_cannot_be_used() {
    for arguments in ["--session empty.toml GET /", "--session session.toml --body missing.json GET /"] {
        let Done { code, out, err } = tidegate(&format!("tidegate check api {arguments}"));
        assert_eq!((code, out.as_str()), (2, ""), "{arguments}");
        assert!(!err.is_empty(), "{arguments}");
    }
}
