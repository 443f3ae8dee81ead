use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::github::{RepositoryName, push::RefName};

fn get(target: &str) -> Result<Call, CallError> {
    Call::read("GET", target, b"", false)
}

fn segments(target: &str) -> Option<Vec<String>> {
    get(target).ok().map(|call| call.segments.iter().map(ToString::to_string).collect())
}

/// G-03 and threat 123, with a slash in a name as the one difference.
#[test]
fn a_path_is_decoded_once() {
    for (target, expected) in [
        ("/", &[][..]),
        ("/repos/Octo/spoon", &["repos", "Octo", "spoon"]),
        ("/repos/o/r/%6Derges", &["repos", "o", "r", "merges"]),
        ("/repos/o/r/git/refs/heads/a/b", &["repos", "o", "r", "git", "refs", "heads", "a", "b"]),
        ("/repos/o/r/git/refs/heads%2Fa%2fb", &["repos", "o", "r", "git", "refs", "heads/a/b"]),
        ("/repos/o/r/labels/a%20b+c%C3%A9", &["repos", "o", "r", "labels", "a b+c\u{e9}"]),
        ("/repos/o/r/compare/a...o:b", &["repos", "o", "r", "compare", "a...o:b"]),
        ("/x;y", &["x;y"]),
        ("/repos/o/r/contents/", &["repos", "o", "r", "contents"]),
    ] {
        assert_eq!(segments(target), Some(expected.iter().map(ToString::to_string).collect()), "{target}");
    }
    for target in [
        "",
        "x",
        "//",
        "/x//",
        "/%2F",
        "/x%2F",
        "/x%2F/",
        "/x/%2F",
        "/x//y",
        "/x%2F/y",
        "/x%2F%2Fy",
        "/%2Fx",
        "/x/../y",
        "/x/%2e%2E/y",
        "/x%2F..%2Fy",
        "/x/.",
        "/x/..;a/y",
        "/x%252Fy",
        "/x%25%32%46y",
        "/x%5Cy",
        "/x\\y",
        "/x%00",
        "/x%0a",
        "/x%c0%afy",
        "/x%e0%80%afy",
        "/x\u{2215}y",
        "/x%E2%88%95y",
        "/x%",
        "/x%2",
        "/x%2%2F",
        "/x#y",
        "/x y",
        "http://api.github.com/x",
    ] {
        assert!(matches!(get(target), Err(CallError::Path(_))), "{target}: {:?}", get(target));
    }
}

#[test]
fn a_query_says_each_thing_once() {
    let fields = |target: &str| {
        let read = get(target).map(|call| call.query.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>());
        read.map_err(|error| error.reason())
    };
    for (target, expected) in [
        ("/x?", Ok(&[][..])),
        ("/x?q=a+b%20c%2Bd&page=2&&x", Ok(&["q=a b c+d", "page=2", "x="])),
        ("/x?access_token=t&client_id=1&client_secret=2&_method=DELETE&a=b", Ok(&["a=b"])),
        ("/x?a=1;b=2", Ok(&["a=1;b=2"])),
        ("/x?a=1&a=2", Err(Reason::BadRequest)),
        ("/x?q%5B%5D=1", Err(Reason::BadRequest)),
        ("/x?q[]=1", Err(Reason::BadRequest)),
        ("/x?%71=1", Err(Reason::BadRequest)),
        ("/x?=1", Err(Reason::BadRequest)),
        ("/x?a=%", Err(Reason::BadRequest)),
        ("/x?a=%0a", Err(Reason::BadRequest)),
        ("/x?a=%ff", Err(Reason::BadRequest)),
    ] {
        assert_eq!(fields(target), expected.map(|fields| fields.iter().map(ToString::to_string).collect()), "{target}");
    }
}

#[test]
fn what_leaves_is_what_was_read() {
    let leaves = |target: &str| get(target).unwrap().target(None);
    for (target, expected) in [
        ("/", "/"),
        ("/repos/o/r/%67it/refs/heads%2Fa", "/repos/o/r/git/refs/heads%2Fa"),
        ("/repos/o/r/contents/a;b/c+d?ref=x+y", "/repos/o/r/contents/a%3Bb/c%2Bd?ref=x%20y"),
        ("/x?a=1;b=2&access_token=t", "/x?a=1%3Bb%3D2"),
    ] {
        assert_eq!(leaves(target), expected, "{target}");
    }
    let call = get("/repos/O/R.git/pulls?state=open").unwrap();
    assert_eq!(call.target(Some("octo/spoon")), "/repos/octo/spoon/pulls?state=open");
    let call = get("/search/issues?q=x").unwrap();
    assert_eq!(call.target(Some("octo/spoon")), "/search/issues?q=x", "no repository stands in this path");
}

#[test]
fn methods_and_bodies() {
    let read = |method: &str, body: &[u8], is_upload| Call::read(method, "/x", body, is_upload);
    for (method, expected) in [("GET", (Method::Get, false)), ("HEAD", (Method::Get, true)), ("PATCH", (Method::Patch, false))] {
        let call = read(method, b"", false).unwrap();
        assert_eq!((call.method, call.head_only), expected);
    }
    for method in ["get", "TRACE", "OPTIONS", "CONNECT", "PURGE", "POST ", ""] {
        assert_eq!(read(method, b"", false).unwrap_err().reason(), Reason::ApiNotAllowed, "{method}");
    }
    assert_eq!(read("GET", b"{}", false), Err(CallError::Body));
    assert_eq!(read("POST", b"{\"a\":1}", false).unwrap().body, Some(json!({"a": 1})));
    assert_eq!(read("DELETE", b"", false).unwrap().body, None);
    assert_eq!(read("POST", b"\x7fELF", true).unwrap().body, None, "a file is no JSON");
}

#[test]
fn json_is_strict() {
    let deep = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    for body in [
        "{}",
        " {\"a\" : [null,true,-5,18446744073709551615,\"\\u00e9\\n\"]} ",
        "{\"a\":{\"b\":1},\"c\":{\"b\":1}}",
        "{\"Branch\":1,\"branch\":2}",
        &deep(MAX_DEPTH),
    ] {
        let read = Call::read("POST", "/x", body.as_bytes(), false).unwrap().body.unwrap();
        assert_eq!(json::read(read.to_string().as_bytes()), Ok(read), "{body}");
    }
    for body in [
        &b"[]"[..],
        b"null",
        b"\"x\"",
        b" ",
        b"{",
        b"{}{}",
        b"{} x",
        b"\xef\xbb\xbf{}",
        b"{\"a\":\"\xff\"}",
        b"{\"a\":\"\\ud800\"}",
        b"{\"branch\":\"a\",\"branch\":\"main\"}",
        b"{\"branch\":\"a\",\"\\u0062ranch\":\"main\"}",
        b"{\"x\":[{\"a\":1,\"b\":{\"c\":1,\"c\":1}}]}",
        b"{\"a\":1.0}",
        b"{\"a\":1e3}",
        b"{\"a\":18446744073709551616}",
        b"{\"a\":-9223372036854775809}",
        b"{\"a\":\"x\\u0000\"}",
        b"{\"a\\u0000\":1}",
        b"{\"a\":NaN}",
        b"{a:1}",
        b"{'a':1}",
        b"{\"a\":1,}",
        b"{/**/}",
        deep(MAX_DEPTH + 1).as_bytes(),
        "\u{fe0f}{}".as_bytes(),
        // What a client sends that means another charset.
        b"{\0}\0",
    ] {
        assert!(json::read(body).is_err(), "{}", body.escape_ascii());
    }
    let long = |length: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(length - 8));
    assert!(json::read(long(MAX_BODY).as_bytes()).is_ok());
    assert!(json::read(long(MAX_BODY + 1).as_bytes()).is_err());
    let told = json::read(b"{\"secret-key\":1,\n\"secret-key\":2}").unwrap_err().to_string();
    assert_eq!(told, "the body is not the JSON that is read here: a key stands twice in one object at line 2 column 12");
}

#[test]
fn a_search_is_where_it_says() {
    let found = |q: &str| Search::read(q).map(|search| (search.repositories.join(","), search.within("octo/spoon")));
    for (q, repositories, leaves) in [
        ("repo:octo/spoon bug", "octo/spoon", "bug repo:octo/spoon"),
        ("is:pr  REPO:Octo/Spoon author:@me -label:\"a b\"", "Octo/Spoon", "is:pr author:@me -label:\"a b\" repo:octo/spoon"),
        ("\"repo:evil/x\" repo:octo/spoon", "octo/spoon", "\"repo:evil/x\" repo:octo/spoon"),
        ("repo:a/b repo:c/d", "a/b,c/d", "repo:octo/spoon"),
        ("bug\u{a0}repo:evil/x", "evil/x", "bug repo:octo/spoon"),
        ("h\u{e9}llo", "", "h\u{e9}llo repo:octo/spoon"),
        ("created:>2024-01-01 comments:10..*", "", "created:>2024-01-01 comments:10..* repo:octo/spoon"),
        ("", "", "repo:octo/spoon"),
    ] {
        assert_eq!(found(q), Ok((repositories.to_owned(), leaves.to_owned())), "{q}");
    }
    for q in [
        "a OR repo:evil/x",
        "a or b",
        "a AND b",
        "a NOT",
        "NOT repo:octo/spoon",
        "-repo:octo/spoon",
        "-",
        "a - b",
        "--x",
        "+x",
        "!x",
        "(repo:evil/x)",
        "a\"b repo:evil/x \" repo:octo/spoon",
        "label:a\" repo:evil/x \"",
        "\"a\"repo:evil/x \"b\"",
        "a|b",
        "a && b",
        "/x repo:evil/x/",
        "org:evil repo:octo/spoon",
        "User:evil",
        "-user:evil",
        "owner:evil",
        "enterprise:evil",
        "project:evil/1",
        "team:evil/x",
        "fork:only",
        "std::vec",
        "\"repo:evil/x",
        "a\" repo:evil/x",
        "\"a\\\" repo:evil/x \"",
        "\u{201c}x",
        "\"x \u{201d} repo:evil/x \"",
        "repo\u{ff1a}evil/x",
        "\u{200b}repo:evil/x",
        "\u{ff52}epo:evil/x",
    ] {
        assert!(Search::read(q).is_err(), "{q}: {:?}", found(q));
    }
}

#[test]
fn words_that_command() {
    for (text, expected) in [
        ("/merge", Some("/merge")),
        ("Looks good.\r\n  /lgtm cancel", Some("/lgtm")),
        ("x\u{2028}/deploy prod", Some("/deploy")),
        ("\u{feff}/approve", Some("/approve")),
        ("bors r+", Some("bors")),
        ("Bors: try", Some("Bors:")),
        ("please @dependabot merge", Some("@dependabot")),
        ("cc @Copilot, fix it", Some("@Copilot")),
        ("(@my-app[bot])", Some("@my-app")),
        ("@claude-", Some("@claude-")),
        ("see /usr/bin/env", None),
        ("/usr/bin/env is missing", None),
        ("/ is a slash", None),
        ("a @person and @copilots", None),
        ("mail x@claude.test", None),
        ("the bors queue", None),
        ("", None),
    ] {
        assert_eq!(find_command(text), expected, "{text:?}");
    }
}

#[test]
fn answers_are_read() {
    let repository = RepositoryName::parse("octo/spoon").unwrap();
    let name = |text: &str| RefName::parse(text.as_bytes()).unwrap();
    let of = repository.clone();
    let pull = Question::PullRequest { repository: of.clone(), number: 7 };
    let run = Question::Run { repository: of.clone(), id: 9 };
    let read = |question: &Question, body: Value| Answer::read(question, 200, body.to_string().as_bytes());
    let head = |repository: Option<&str>, branch: Option<&str>| Head {
        repository: repository.map(|text| RepositoryName::parse(text).unwrap()),
        branch: branch.map(name),
    };
    let body = |repo: Value| json!({"number": 7, "head": {"ref": "agent/fix", "repo": repo}, "base": {"ref": "main"}});
    for (question, body, expected) in [
        (
            &pull,
            body(json!({"full_name": "Octo/Spoon"})),
            Some(Answer::PullRequest { head: head(Some("octo/spoon"), Some("refs/heads/agent/fix")), base: name("refs/heads/main") }),
        ),
        (
            &pull,
            body(Value::Null),
            Some(Answer::PullRequest { head: head(None, Some("refs/heads/agent/fix")), base: name("refs/heads/main") }),
        ),
        (&pull, json!({"head": {"ref": "a"}, "base": {"ref": "main"}}), None),
        (&pull, body(json!({"full_name": "../x"})), None),
        (&pull, json!([]), None),
        (
            &run,
            json!({"head_branch": "a", "head_repository": {"full_name": "e/x"}}),
            Some(Answer::Run(head(Some("e/x"), Some("refs/heads/a")))),
        ),
        (&run, json!({"head_branch": null, "head_repository": null}), Some(Answer::Run(head(None, None)))),
        (&Question::Job { repository: of.clone(), id: 1 }, json!({"run_id": 9}), Some(Answer::Job(9))),
        (&Question::Job { repository: of.clone(), id: 1 }, json!({"run_id": "9"}), None),
        (&Question::Release { repository: of.clone(), id: 1 }, json!({"tag_name": "v1"}), Some(Answer::Release("v1".into()))),
        (&Question::Account("x".into()), json!({"type": "User"}), Some(Answer::Account { is_person: true })),
        (&Question::Account("x".into()), json!({"type": "Bot"}), Some(Answer::Account { is_person: false })),
        (&Question::Repository(1), json!({"full_name": "octo/spoon"}), Some(Answer::Repository(repository.clone()))),
        (
            &Question::DefaultBranch(of.clone()),
            json!({"default_branch": "main"}),
            Some(Answer::DefaultBranch(Some(name("refs/heads/main")))),
        ),
        (&Question::DefaultBranch(of.clone()), json!({"default_branch": "a..b"}), Some(Answer::DefaultBranch(None))),
    ] {
        assert_eq!(read(question, body.clone()), expected, "{question:?} {body}");
    }
    assert_eq!(Answer::read(&pull, 404, b"<html>"), Some(Answer::Missing));
    assert_eq!((Answer::read(&pull, 403, b"{}"), Answer::read(&pull, 301, b"{}"), Answer::read(&pull, 200, b"x")), (None, None, None));
    assert_eq!(pull.path("octo/ladle"), "/repos/octo/ladle/pulls/7", "asked where the repository is");
    assert_eq!(Question::Account("a/b".into()).path(""), "/users/a%2Fb");
    assert_eq!((read_made(b"{\"id\":5}", "id"), read_made(b"{\"id\":-5}", "id"), read_made(b"5", "id")), (Some(5), None, None));
}

proptest! {
    #[test]
    fn nothing_breaks_the_readers(method in "[A-Z]{3,6}", target in "/[ -~]{0,60}", body in prop::collection::vec(any::<u8>(), 0..80), is_upload: bool) {
        let _ = Call::read(&method, &target, &body, is_upload);
    }

    #[test]
    fn what_leaves_reads_the_same(target in "(/([a-zA-Z0-9.;:+é]|%2[Ff0B]|%C3%A9){1,8}){0,5}/?(\\?([a-c]{1,2}=([a-z+;/]|%2[0-9A-F]){0,5}&?){0,3})?") {
        if let Ok(call) = Call::read("GET", &target, b"", false) {
            prop_assert_eq!(Call::read("GET", &call.target(None), b"", false), Ok(call.clone()), "{}", target);
            prop_assert!(call.segments.iter().all(|segment| !segment.is_empty()));
        }
    }

    #[test]
    fn json_that_is_read_is_written_the_same(body in "[{}\\[\\]:,\"a-b0-9.eu\\\\ -]{0,40}") {
        if let Ok(value) = json::read(body.as_bytes()) {
            prop_assert_eq!(json::read(value.to_string().as_bytes()), Ok(value.clone()));
            // A reader that is not strict finds the same in it.
            prop_assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), value);
        }
    }

    #[test]
    fn a_search_leaves_for_one_repository(q in "([a-z]{1,3}|\"|-|:|repo:|org:|evil/x|OR|\\(|/|\u{201c}| ){0,8}") {
        if let Ok(search) = Search::read(&q) {
            let leaves = search.within("octo/spoon");
            let again = Search::read(&leaves).unwrap();
            prop_assert_eq!(again.repositories, [Box::<str>::from("octo/spoon")], "{}", leaves);
        }
    }
}
