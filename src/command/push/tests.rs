use super::{
    super::tests::{Done, tidegate},
    *,
};

/// Runs `check push` and returns its status and results.
fn check(arguments: &str) -> (u8, String) {
    let Done { code, out, .. } = tidegate(&format!("tidegate check push --session session.toml {arguments}"));
    (code, out)
}

#[test]
fn verdicts() {
    for (arguments, expected) in [
        ("octo/spoon agent/fix-1", (0, "allow octo/spoon refs/heads/agent/fix-1 update by refs/heads/agent/fix-1 (session.toml)")),
        (
            "Octo/Spoon.git refs/heads/agent/fix-1",
            (0, "allow Octo/Spoon.git refs/heads/agent/fix-1 update by refs/heads/agent/fix-1 (session.toml)"),
        ),
        (
            "--create octo/spoon agent/more/x",
            (0, "allow octo/spoon refs/heads/agent/more/x create by refs/heads/agent/more/* (session.toml)"),
        ),
        ("--force octo/spoon agent/fix-1", (0, "allow octo/spoon refs/heads/agent/fix-1 force by refs/heads/agent/fix-1 (session.toml)")),
        ("--create octo/spoon refs/tags/v1", (0, "allow octo/spoon refs/tags/v1 create by refs/tags/v* (session.toml)")),
        ("--delete octo/strict a", (0, "allow octo/strict refs/heads/a delete by refs/heads/a (session.toml)")),
        ("octo/strict a", (0, "allow octo/strict refs/heads/a update by refs/heads/a (session.toml)")),
        ("octo/rows a", (0, "allow octo/rows refs/heads/a update by refs/heads/a (session.toml)")),
        ("--delete octo/rows b/c", (0, "allow octo/rows refs/heads/b/c delete by refs/heads/b/** (session.toml)")),
        ("--force octo/rows b/c", (1, "deny octo/rows refs/heads/b/c force ref_not_granted")),
        ("octo/rows main", (1, "deny octo/rows refs/heads/main update ref_not_granted")),
        ("octo/rows.wiki master", (0, "allow octo/rows.wiki refs/heads/master update by refs/heads/** (session.toml)")),
        ("--delete octo/rows.wiki a", (1, "deny octo/rows.wiki refs/heads/a delete ref_not_granted")),
        ("octo/fork.wiki a", (1, "deny octo/fork.wiki refs/heads/a update read_only")),
        ("--force octo/strict a", (1, "deny octo/strict refs/heads/a force ref_not_granted")),
        ("--create octo/strict a", (1, "deny octo/strict refs/heads/a create ref_not_granted")),
        ("--delete octo/spoon agent/fix-1", (1, "deny octo/spoon refs/heads/agent/fix-1 delete ref_not_granted")),
        ("octo/spoon refs/tags/v1", (1, "deny octo/spoon refs/tags/v1 update ref_not_granted")),
        ("octo/spoon main", (1, "deny octo/spoon refs/heads/main update ref_not_granted")),
        ("octo/spoon agent/fix-10", (1, "deny octo/spoon refs/heads/agent/fix-10 update ref_not_granted")),
        ("octo/spoon agent/fix-1/x", (1, "deny octo/spoon refs/heads/agent/fix-1/x update ref_not_granted")),
        ("octo/spoon HEAD", (1, "deny octo/spoon refs/heads/HEAD update ref_not_granted")),
        ("octo/spoon refs/pull/1/head", (1, "deny octo/spoon refs/pull/1/head update ref_not_granted")),
        ("octo/fork a", (1, "deny octo/fork refs/heads/a update read_only")),
        ("octo/other a", (1, "deny octo/other refs/heads/a update repository_not_granted")),
        ("octo/spoon.wiki a", (1, "deny octo/spoon.wiki refs/heads/a update repository_not_granted")),
        ("octo a", (1, "deny octo refs/heads/a update bad_request")),
        ("octo/spoon a..b", (1, "deny octo/spoon refs/heads/a..b update bad_request")),
    ] {
        let (code, out) = check(arguments);
        let line = out.lines().next().unwrap_or_default();
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!((code, words.join(" ").as_str()), expected, "{arguments}: {out}");
    }
}

#[test]
fn the_first_host_may_be_named_or_left_out() {
    for (arguments, expected) in
        [("github.com/octo/spoon agent/fix-1", (0, "allow")), ("ghe.example/octo/spoon agent/fix-1", (1, "repository_not_granted"))]
    {
        let (code, out) = check(arguments);
        assert!(code == expected.0 && out.lines().next().unwrap().contains(expected.1), "{arguments}: {out}");
    }
    let grant = "[[session]]\n[[session.repository]]\nname = \"ghe.example/octo/spoon\"\naccess = \"write\"\npush = [\"refs/heads/a\"]\n";
    let hosts = "[[github]]\nhost = \"ghe.example\"\ncredential = { env = \"NOT_READ\" }\n";
    for (text, repository, reason) in [
        (grant.to_owned(), "ghe.example/octo/spoon", None),
        (grant.to_owned(), "octo/spoon", Some(Reason::RepositoryNotGranted)),
        (format!("{hosts}{grant}"), "octo/spoon", None),
        (format!("{hosts}{grant}"), "ghe.example/octo/spoon", None),
        (format!("{hosts}{grant}"), "other.example/octo/spoon", Some(Reason::BadRequest)),
    ] {
        let change = Change { create: false, force: false, delete: false };
        let (session, name) = (PathBuf::new(), "a".to_owned());
        let arguments = Arguments { session, change, json: false, repository: repository.to_owned(), name };
        let answer = Grants::parse("session.toml", &text).0.unwrap().judge(&arguments, SystemTime::UNIX_EPOCH);
        assert_eq!(answer.reason, reason, "{text}{repository}: {:?}", answer.sentences);
    }
}

#[test]
fn an_answer_names_the_remedy() {
    let out = "\
deny   octo/spoon  refs/heads/main  update  ref_not_granted
       refs/heads/main of octo/spoon: this session may not push this ref.
       This session may push: refs/heads/agent/fix-1, refs/heads/agent/more/*, refs/tags/v*
       This would allow it:
         push = [\"refs/heads/main\"]
";
    let done = tidegate("tidegate check push --session session.toml octo/spoon main");
    assert_eq!(done, Done { code: 1, out: out.into(), err: String::new() });
    assert!(check("octo/strict a").1.ends_with("\n       Only if it leaves no commit behind.\n"));
    let out = "\
allow  octo/rows  refs/heads/b/c  update  by refs/heads/b/** (session.toml)
       Only if it leaves no commit behind.
       Only if it is not the default branch of octo/rows.
";
    assert_eq!(check("octo/rows b/c"), (0, out.into()));
    let (_, out) = check("octo/spoon.wiki master");
    assert!(out.ends_with("         [[session.repository]]\n         name = \"octo/spoon\"\n         grants = [\"wiki\"]\n"), "{out}");
}

#[test]
fn an_answer_in_json() {
    let expected = r#"{"repository":"octo/spoon","ref":"refs/heads/agent/fix-1","change":"delete","verdict":"deny","reason":"ref_not_granted","rule":null,"source":"session.toml","allow_with":"push = [{ ref = \"refs/heads/agent/fix-1\", delete = true }]","detail":"refs/heads/agent/fix-1 of octo/spoon: this session may not delete this ref; the entry refs/heads/agent/fix-1 names it, without \"delete\". This session may push: refs/heads/agent/fix-1, refs/heads/agent/more/*, refs/tags/v*"}"#;
    assert_eq!(check("--json --delete octo/spoon agent/fix-1"), (1, format!("{expected}\n")));
    let expected = r#"{"repository":"octo/spoon","ref":"refs/heads/agent/fix-1","change":"update","verdict":"allow","reason":null,"rule":"refs/heads/agent/fix-1","source":"session.toml","allow_with":null,"detail":null}"#;
    assert_eq!(check("--json octo/spoon agent/fix-1"), (0, format!("{expected}\n")));
}

#[test]
fn a_file_that_cannot_be_used() {
    for (file, messages) in [
        ("missing.toml", &["cannot read missing.toml"][..]),
        ("empty.toml", &["error: no session"]),
        ("policy.toml", &["error: unknown key \"allow\""]),
        ("two-sessions.toml", &["error: more than one session"]),
        ("broken-session.toml", &["error: unknown key \"puhs\"", "error: no ref, write it in full"]),
    ] {
        let Done { code, out, err } = tidegate(&format!("tidegate check push --session {file} octo/spoon main"));
        assert_eq!((code, out.as_str()), (2, ""), "{file}");
        for message in messages {
            assert!(err.contains(message), "{file}: {err}");
        }
    }
}
