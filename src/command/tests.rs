use std::{collections::HashMap, sync::LazyLock};

use super::*;

/// A table of variables and files in place of a process.
#[derive(Default)]
pub(super) struct World {
    pub(super) files: HashMap<&'static str, &'static [u8]>,
}

impl Environment for World {
    fn variable(&self, _: &str) -> Option<OsString> {
        None
    }

    fn find(&self, path: &Path) -> io::Result<()> {
        self.file(path).map(drop)
    }

    fn private_file(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.file(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn io::Read>> {
        Ok(Box::new(io::Cursor::new(self.file(path)?)))
    }

    fn file(&self, path: &Path) -> io::Result<Vec<u8>> {
        let content = path.to_str().and_then(|path| self.files.get(path));
        content.map(|content| content.to_vec()).ok_or_else(|| io::Error::other("no such file"))
    }
}

/// What a command line did.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) code: u8,
    pub(super) out: String,
    pub(super) err: String,
}

/// Runs a command line, in which blanks separate the arguments.
pub(super) fn tidegate(line: &str) -> Done {
    let files: &[(_, &[u8])] = &[
        ("policy.toml", b"allow = [\"*.example.com\", \"db.example.org:5432\"]\ndeny = [\"bad.example.com\"]\n"),
        ("inside.toml", INSIDE),
        ("lists.toml", b"[content]\nblocklists = [\"bad.txt\", \"good.txt\", \"none.txt\"]\n"),
        ("bad.txt", b"# of others\nbad.example\nno host\n||x^\n"),
        ("good.txt", b"0.0.0.0 worse.example\n"),
        ("broken.toml", b"allow = [\"*.com\"]\nalow = []\n"),
        ("empty.toml", b""),
        ("session.toml", include_bytes!("push/session.toml")),
        ("pull.json", br#"{"title": "t", "head": "agent/fix-1", "base": "main"}"#),
        ("broken-session.toml", b"[[session]]\nid = \"s1\"\n[[session.repository]]\nname = \"octo/spoon\"\npush = [\"main\"]\npuhs = []\n"),
        ("two-sessions.toml", b"[[session]]\nid = \"s1\"\n[[session]]\nid = \"s2\"\n"),
        ("latin1.toml", b"# \xe4\n"),
        ("audit.jsonl", include_bytes!("policy/audit.jsonl")),
        ("broken.jsonl", include_bytes!("policy/broken.jsonl")),
    ];
    let world = World { files: files.iter().copied().collect() };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = run_in(&world, line, &mut out, &mut err);
    Done { code, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}

/// A policy by which requests are read.
const INSIDE: &[u8] = br#"allow = [
    "docs.example.com",
    { host = "api.example.com", until = 2026-12-01T00:00:00Z },
    { host = "seen.example.com:8443", tls = true, intercept = true, report = true },
]

[[rule]]
name = "docs are read-only"
hosts = ["docs.example.com"]
methods = ["read-only"]
paths = ["/v1/**"]
max_request_body = "1 KiB"

[[credential]]
hosts = ["api.example.com"]
header = "authorization"
format = "Bearer {}"
value = { env = "EXAMPLE_KEY" }
pin = true

[tls]
skip = ["pinned.example.com"]
"#;

fn run_in(world: &World, line: &str, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let (out_colour, err_colour) = (Colour::Plain, Colour::Plain);
    let clock = || SystemTime::UNIX_EPOCH;
    run(line.split(' ').map(OsString::from), &mut Console { out, err, out_colour, err_colour, environment: world, clock })
}

/// Every command that has a help of its own.
static COMMANDS: LazyLock<Vec<String>> = LazyLock::new(|| {
    fn collect(name: &str, command: &clap::Command, names: &mut Vec<String>) {
        names.push(name.to_owned());
        for child in command.get_subcommands() {
            collect(&format!("{name} {}", child.get_name()), child, names);
        }
    }
    let mut names = Vec::new();
    collect("tidegate", &<Arguments as clap::CommandFactory>::command(), &mut names);
    names
});

#[test]
fn each_help_fits_one_screen_and_ends_with_an_example() {
    assert_eq!(COMMANDS.len(), 30, "{COMMANDS:?}");
    for name in COMMANDS.iter() {
        let Done { code, out, err } = tidegate(&format!("{name} --help"));
        assert_eq!((code, err.as_str()), (0, ""), "{name}");
        assert!(out.lines().count() <= 24, "{name}: {} lines\n{out}", out.lines().count());
        for line in out.lines() {
            assert!(line.chars().count() <= 80, "{name}: {line}");
        }
        let [.., example, line] = out.lines().collect::<Vec<_>>()[..] else { panic!("{out}") };
        assert_eq!((example, line.starts_with(&format!("  {name}"))), ("Example:", true), "{out}");
    }
}

#[test]
fn the_command_line_is_sound() {
    <Arguments as clap::CommandFactory>::command().debug_assert();
}

#[test]
fn the_version_is_a_result() {
    let expected = Done { code: 0, out: format!("tidegate {}\n", env!("CARGO_PKG_VERSION")), err: String::new() };
    assert_eq!(tidegate("tidegate --version"), expected);
}

#[test]
fn wrong_usage_ends_with_2_and_leaves_stdout_alone() {
    for line in [
        "tidegate",
        "tidegate check",
        "tidegate check url",
        "tidegate check push octo/spoon main",
        "tidegate check push --session session.toml octo/spoon",
        "tidegate check push --session session.toml --create --delete octo/spoon main",
        "tidegate check url --policy policy.toml --access none a.test",
        "tidegate check url --access some a.test",
        "tidegate check url --method G@T a.test",
        "tidegate policy lint",
        "tidegate policy suggest",
        "tidegate policy diff policy.toml policy.toml",
        "tidegate serve",
        "tidegate session",
        "tidegate ca",
        "tidegate ca show c.toml",
        "tidegate env c.toml",
        "tidegate env --format csh --config c.toml",
        "tidegate env --proxy https://gate.example:3128 --ca ca.pem",
        "tidegate env --config absent.toml",
        "tidegate session list",
        "tidegate session show --admin unix:a.sock",
        "tidegate session show --admin unix:a.sock a/b",
        "tidegate session list --admin 127.0.0.1:1",
        "tidegate session list --admin unix:a.sock --config c.toml",
        "tidegate session create --admin unix:a.sock --ttl 1h --expires 2027-01-01T00:00:00Z",
        "tidegate session grant --admin unix:a.sock s1",
        "tidegate session grant --admin unix:a.sock s1/x",
        "tidegate session grant --admin unix:a.sock a/b/1",
        "tidegate session requests --admin unix:a.sock s1/1",
        "tidegate session create --admin unix:a.sock --repo octo",
        "tidegate session create --admin unix:a.sock --repo octo/spoon:a..b",
        "tidegate --log-format xml demo",
    ] {
        let Done { code, out, err } = tidegate(line);
        assert_eq!((code, out.as_str(), err.is_empty()), (2, "", false), "{line}: {err}");
    }
}

#[test]
fn a_closed_pipe_ends_quietly() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    for line in ["tidegate policy show", "tidegate --help", "tidegate check url a.test"] {
        let mut err = Vec::new();
        assert_eq!(run_in(&World::default(), line, &mut Closed, &mut err), BROKEN_PIPE, "{line}");
        assert_eq!(err, b"", "{line}");
    }
}

#[test]
fn a_configuration_that_cannot_be_used_ends_with_1() {
    let Done { code, out, err } = tidegate("tidegate serve --config empty.toml");
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.starts_with("error: nothing listens: there is no [listen]\n--> empty.toml\n"), "{err}");
    assert!(err.ends_with("tidegate: empty.toml cannot be used: 1 error, 0 warnings\n"), "{err}");
}

#[test]
fn the_bundle_to_trust_is_made_and_named() {
    let state = tempfile::TempDir::new().unwrap();
    let lines = "[listen]\nproxy = \"127.0.0.1:0\"\n[policy]\nfile = \"policy.toml\"\n[state]\ndir = ";
    let text: &[u8] = format!("{lines}\"{}\"\n", state.path().display()).leak().as_bytes();
    let world = World { files: HashMap::from([("tidegate.toml", text), ("policy.toml", b"")]) };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    assert_eq!(run_in(&world, "tidegate ca show --config tidegate.toml", &mut out, &mut err), DONE, "{}", String::from_utf8_lossy(&err));
    let bundle = state.path().join("ca/bundle.pem");
    assert_eq!((String::from_utf8(out).unwrap(), &err[..]), (format!("{}\n", bundle.display()), &b""[..]));
    assert!(std::fs::read_to_string(bundle).unwrap().starts_with("-----BEGIN CERTIFICATE-----\n"));
}

#[test]
fn an_authority_that_cannot_be_had_ends_with_2() {
    let nowhere = "tidegate: there is no place for an authority: name one by [state] dir\n";
    assert_eq!(tidegate("tidegate ca show"), Done { code: 2, out: String::new(), err: nowhere.to_owned() });
    let Done { code, out, err } = tidegate("tidegate ca show --config empty.toml");
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.starts_with("error: nothing listens"), "{err}");
}
