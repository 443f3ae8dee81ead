use std::collections::HashMap;

use super::*;
use crate::credentials::GithubCredential;

/// A table of variables and files in place of a process.
#[derive(Default)]
struct Table {
    variables: HashMap<&'static str, &'static str>,
    files: HashMap<PathBuf, Vec<u8>>,
}

impl Environment for Table {
    fn variable(&self, name: &str) -> Option<OsString> {
        self.variables.get(name).map(OsString::from)
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
        self.files.get(path).cloned().ok_or_else(|| io::Error::other("no such file"))
    }
}

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn try_load(text: &str) -> Result<Config, Vec<Problem>> {
    let files = [
        ("/etc/tidegate/serve.toml", text.as_bytes()),
        ("/etc/tidegate/policy.toml", b"allow = [\"example.com\"]\n"),
        ("/etc/tidegate/other.toml", b"allow = [\"example.org\"]\n"),
        ("/etc/tidegate/broken.toml", b"allow = [\"\"]\n"),
        ("/etc/tidegate/latin1.toml", b"# \xe4\n"),
        ("/etc/tidegate/keys/policy.toml", KEYS.as_bytes()),
        ("/etc/tidegate/keys/missing.toml", MISSING_KEYS.as_bytes()),
        ("/etc/tidegate/keys/maps", b"maps-key\n"),
        ("/etc/tidegate/token", b"abcdef0123456789abcdef0123456789\n"),
        ("/etc/tidegate/same-token", b"0123456789abcdef0123456789abcdef\r\n"),
        ("/etc/tidegate/short-token", b"hunter2\n"),
        ("/etc/tidegate/two-lines", b"ghp_one\nghp_two\n"),
        ("/etc/tidegate/spoon.git", b""),
        ("/etc/tidegate/ca.pem", include_bytes!("../../certs/ca.pem")),
        ("/etc/tidegate/empty.pem", b"nothing here\n"),
        ("/etc/tidegate/broken.pem", b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"),
        ("/etc/tidegate/junk.pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
    ];
    let environment = Table {
        variables: [("TOKEN", TOKEN), ("SPACED", "0123456789abcdef 0123456789abcdef"), ("HOME", "/home/me")].into(),
        files: files.into_iter().map(|(path, bytes)| (PathBuf::from(path), bytes.to_vec())).collect(),
    };
    Config::load(Path::new("/etc/tidegate/serve.toml"), &environment)
}

fn load(text: &str) -> Config {
    try_load(text).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// What is wrong with a text, one problem after the other.
fn complaints(text: &str) -> String {
    let problems = try_load(text).map_or_else(|problems| problems, |config| config.warnings);
    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    problems.join("\n").replace("/etc/tidegate/", "")
}

#[test]
fn everything_there_is() {
    let config = load(EVERYTHING);
    assert_eq!((config.listen.proxy, config.listen.metrics), ("0.0.0.0:3128".parse().ok(), "127.0.0.1:0".parse().ok()));
    assert!(matches!(config.listen.admin, Some(Admin::Unix(path)) if path == Path::new("/run/tidegate/admin.sock")));
    assert_eq!(config.state.as_deref(), Some(Path::new("/etc/tidegate/state")));
    assert_eq!(config.entry, Entry::Required);
    assert_eq!(config.audit, audit::Target::File("/etc/tidegate/audit.jsonl".into()));
    assert_eq!(config.on_audit_failure, audit::OnFailure::Continue);
    assert_eq!(config.resolver, Resolver::Server("[2001:db8::53]:53".parse().unwrap()));
    assert_eq!(config.upstream_roots.len(), 1);
    let parent = config.parent.map(|parent| format!("{parent:?} {parent}")).unwrap();
    assert!(parent.ends_with("port: 3128 }, credentials: Some((\"child\", Secret(…))) } The parent proxy p.example:3128"), "{parent}");
    let seconds = Duration::from_secs;
    let timeouts = Timeouts {
        head: Duration::from_millis(500),
        client_hello: seconds(1),
        tls_handshake: seconds(2),
        dns: seconds(3),
        connect: seconds(4),
        body: seconds(5),
        first_byte: seconds(360),
        idle: seconds(25_200),
        keep_alive: seconds(8),
        credential: seconds(9),
        drain: seconds(10),
    };
    assert_eq!(config.timeouts, timeouts);
    let [first, second] = config.sessions.as_slice() else { panic!("{} sessions", config.sessions.len()) };
    assert_eq!((&*first.id, &*second.id), ("s1", "s2"));
    let token = |session: &SessionSettings| session.token.as_ref().map(|token| token.expose().to_vec());
    assert_eq!((token(first), token(second)), (Some(TOKEN.into()), Some(b"abcdef0123456789abcdef0123456789".to_vec())));
    assert_eq!(first.expires, Some(std::time::SystemTime::UNIX_EPOCH + seconds(1_798_761_600)));
    assert_eq!(second.expires, None);
    assert!(!Arc::ptr_eq(&first.policy, &second.policy));
    assert_eq!(config.listen.git, "[::]:3129".parse().ok());
    let shown = |credential: Option<&Arc<GithubCredential>>| credential.map(|credential| format!("{credential:?}"));
    let credential = |source: &str| Some(format!("Credential {{ source: Source({source}), patience: 9s, .. }}"));
    assert_eq!(shown(first.credentials.get(&None)), credential("file /etc/tidegate/token"));
    assert_eq!(shown(second.credentials.get(&None)), None);
    let [ghe, github] = config.github.as_slice() else { panic!("{} GitHubs", config.github.len()) };
    assert_eq!((ghe.host.as_str(), ghe.roots.len(), ghe.public_read, ghe.takes_tokens), ("ghe.example", 1, true, true));
    assert_eq!(ghe.git.to_string(), "http://127.0.0.1:8080");
    assert_eq!(shown(ghe.credential.as_ref()), credential("command /etc/tidegate/bin/token, kept 60s"));
    assert_eq!((github.host.as_str(), github.roots.len(), github.public_read, github.takes_tokens), ("github.com", 0, false, false));
    assert_eq!(github.git.to_string(), "https://github.com");
    assert_eq!(shown(github.credential.as_ref()), credential("command gh, kept 600s"));
    assert_eq!(config.warnings, []);
}

#[tokio::test]
async fn a_credential_of_the_environment() {
    let rest = "[policy]\nfile = \"policy.toml\"\n[[github]]\nhost = \"github.com\"\ncredential = { env = \"TOKEN\" }\n";
    let config = load(&format!("[listen]\ngit = \"127.0.0.1:0\"\n{rest}"));
    let credential = config.github[0].credential.as_ref().unwrap();
    assert_eq!(credential.user().unwrap().secret().await.unwrap().expose(), TOKEN.as_bytes());
}

#[test]
fn sessions_with_credentials_of_their_own_need_no_other() {
    let github = "credential = { env = \"TOKEN\" }\n[[github]]\nhost = \"github.com\"\n";
    assert_eq!(load(&format!("{SESSION}{github}")).warnings, []);
}

#[test]
fn a_repository_on_disk() {
    let repository = "[[session.repository]]\nname = \"octo/spoon\"\nupstream_path = \"spoon.git\"\n";
    let config = load(&format!("{SESSION}{repository}"));
    let path = config.sessions[0].grant.repositories()[0].upstream_path.as_deref();
    assert_eq!(path, Some(Path::new("/etc/tidegate/spoon.git")));
}

#[test]
fn the_process_finds_directories_and_files() {
    let directory = tempfile::TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("file"), "").unwrap();
    std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
    let found = |path: &Path| Process.find(path).map_err(|error| error.kind());
    assert_eq!((found(directory.path()), found(&path("file"))), (Ok(()), Ok(())));
    assert_eq!((found(&path("socket")), found(&path("x"))), (Err(io::ErrorKind::Other), Err(io::ErrorKind::NotFound)));
}

#[test]
fn defaults() {
    let config = load("[listen]\nproxy = \"127.0.0.1:0\"\n[policy]\nfile = \"policy.toml\"\n");
    assert_eq!(config.entry, Entry::Bound("anonymous".into()));
    assert_eq!(config.state.as_deref(), Some(Path::new("/home/me/.local/state/tidegate")));
    assert_eq!((config.audit, config.on_audit_failure), (audit::Target::Stdout, audit::OnFailure::Refuse));
    assert_eq!((config.resolver, config.timeouts), (Resolver::System, Timeouts::default()));
    assert!(config.listen.metrics.is_none() && config.listen.admin.is_none());
    assert!(config.sessions.len() == 1 && config.upstream_roots.is_empty() && config.warnings.is_empty());
}

#[test]
fn a_session_without_a_password() {
    let rest = "[policy]\nfile = \"policy.toml\"\n[[session]]\nid = \"s1\"\n";
    let config = load(&format!("[listen]\nproxy = \"0.0.0.0:3128\"\nsession = \"s1\"\n{rest}"));
    assert_eq!(config.entry, Entry::Bound("s1".into()));
    assert!(config.sessions[0].token.is_none());
}

#[test]
fn a_session_that_signed_tokens_prove() {
    let config =
        load("[listen]\nproxy = \"0.0.0.0:3128\"\nrequire_session = true\n[policy]\nfile = \"policy.toml\"\n[[session]]\nid = \"s1\"\n");
    assert_eq!((config.entry, config.sessions.len(), config.warnings.len()), (Entry::Required, 1, 0));
    assert!(config.sessions[0].token.is_none() && config.policy.is_some());
}

#[test]
fn sessions_that_come_over_the_admin_listener() {
    let config = load("[listen]\nproxy = \"127.0.0.1:0\"\nadmin = \"unix:a\"\nrequire_session = true\n");
    assert_eq!((config.entry, config.sessions.len(), config.warnings.len()), (Entry::Required, 0, 0));
    assert!(config.policy.is_none());
}

#[test]
fn repositories_and_credentials_have_a_host_that_is_configured() {
    let hosts = "[[github]]\nhost = \"github.com\"\ncredential = { env = \"TOKEN\" }\n[[github]]\nhost = \"GHE.example\"\n";
    let own = "credentials = [{ host = \"ghe.example\", env = \"TOKEN\" }]\n";
    let granted = |name: &str| format!("[[session.repository]]\nname = \"{name}\"\n");
    let config = load(&format!("{SESSION}{own}{}{}{hosts}", granted("GitHub.com/Octo/Spoon"), granted("ghe.example/octo/spoon")));
    let session = &config.sessions[0];
    let names: Vec<_> = session.grant.repositories().iter().map(|granted| granted.name.as_str()).collect();
    assert_eq!(names, ["octo/spoon", "ghe.example/octo/spoon"]);
    let own_hosts: Vec<_> = session.credentials.keys().map(|host| host.as_ref().map(|host| host.as_str().to_owned())).collect();
    assert_eq!(own_hosts, [Some("ghe.example".to_owned())]);
    assert_eq!(config.warnings, []);
    let apis: Vec<_> = config.github.iter().map(|github| github.api.as_ref().map(ToString::to_string)).collect();
    assert_eq!(apis, [Some("https://api.github.com".to_owned()), Some("https://ghe.example/api/v3".to_owned())]);

    for (rest, complaint) in [
        (granted("other.test/octo/spoon"), "error: other.test/octo/spoon is at no [[github]]: none has the host other.test"),
        (granted("octo/spoon") + &granted("github.com/octo/spoon"), "error: octo/spoon is granted twice"),
        ("credentials = [{ host = \"other.test\", env = \"TOKEN\" }]\n".to_owned(), "error: no [[github]] has the host \"other.test\""),
        ("credentials = [{ env = \"TOKEN\" }]\n".to_owned(), "error: each of the credentials has a \"host\""),
        (
            "credential = { env = \"TOKEN\" }\ncredentials = [{ host = \"github.com\", env = \"TOKEN\" }]\n".to_owned(),
            "error: two credentials of a session are for one host",
        ),
        (String::new(), "warning: there is no credential for ghe.example"),
    ] {
        let found = complaints(&format!("{SESSION}{rest}{hosts}"));
        assert!(found.contains(complaint), "{rest}: {found}");
    }
}

#[test]
fn what_a_session_may_do_with_repositories() {
    let config = load(&format!("{SESSION}{REPOSITORIES}"));
    let shown = serde_json::to_value(&config.sessions[0].grant).unwrap();
    let expected = serde_json::json!([
        {
            "name": "octo/spoon", "access": "write", "create": false,
            "push": ["refs/heads/agent/fix-1", { "ref": "refs/heads/agent/*", "delete": false, "default_branch": true }],
            "update": true, "force": true, "delete": true, "tags": ["v1.*"], "bases": ["main"], "grants": ["issues", "actions.rerun"],
        },
        {
            "name": "octo/fork", "access": "read", "push": [], "create": true, "update": true, "force": true, "delete": false,
            "tags": [], "bases": [], "grants": [],
        },
    ]);
    assert_eq!(shown, expected);
}

#[test]
fn words_of_a_grant_that_open_nothing_are_warned_of() {
    let text = format!("{SESSION}{REPOSITORIES}").replace("[\"issues\", ", "[\"issue\", \"merge\", ");
    let warnings = load(&text).warnings;
    let told: Vec<_> = warnings.iter().map(ToString::to_string).filter(|told| told.contains("opens nothing")).collect();
    assert!(matches!(told.as_slice(), [one] if one.contains("\"issue\" among \"grants\"")), "{told:?}");
}

#[test]
fn an_admin_of_the_network() {
    let rest = "[policy]\nfile = \"policy.toml\"\n";
    let config = load(&format!("[listen]\nadmin = \"127.0.0.1:9000\"\ntoken_file = \"token\"\n{rest}"));
    let Some(Admin::Tcp { address, token }) = config.listen.admin else { panic!("no admin") };
    assert_eq!((address.port(), token.expose()), (9000, &b"abcdef0123456789abcdef0123456789"[..]));
}

#[test]
fn what_is_wrong_stands_with_its_place() {
    for (text, expected) in WRONG {
        let text = text.replace("LISTEN", "[listen]\nproxy = \"127.0.0.1:3128\"\n").replace("POLICY", "[policy]\nfile = \"policy.toml\"\n");
        assert_eq!(complaints(&text), expected.trim(), "{text}");
    }
}

#[test]
fn credentials_that_cannot_be_used() {
    let form = "a credential is 1 to 8192 visible ASCII characters on one line, and what";
    let app = "\n  help: write app = { id = 12345, key_file = \"app.pem\" }";
    let sources = "\n  help: write { env = \"NAME\" }, { file = \"FILE\" } or { command = [\"gh\", \"auth\", \"token\"] }";
    for (written, column, expected) in [
        ("{ env = 'MISSING' }", 22, "the environment has no MISSING".to_owned()),
        ("{ env = 'SPACED' }", 22, format!("{form} SPACED holds is not")),
        ("{ file = 'missing' }", 23, "cannot read missing: no such file".to_owned()),
        ("{ file = 'two-lines' }", 23, format!("{form} two-lines holds is not")),
        ("{ app = { id = 1 } }", 22, format!("an App has an \"id\" and a \"key_file\"{app}")),
        ("{ app = { id = 1, key_file = 'missing' } }", 43, "cannot read missing: no such file".to_owned()),
        (
            "{ app = { id = 1, key_file = 'ca.pem' } }",
            43,
            "ca.pem holds no private key of an App\n  help: download one in the App's settings: RSA, in PEM".to_owned(),
        ),
        ("{ app = { id = 0, key_file = 'ca.pem' } }", 29, "\"id\" must be a number from 1 to 4294967295".to_owned()),
        (
            "{ env = 'TOKEN', app = { id = 1, key_file = 'ca.pem' } }",
            16,
            "unknown key \"env\"\n  help: a credential comes from one place, and here that is an App".to_owned(),
        ),
        ("{}", 14, format!("a credential comes from one place{sources}")),
        ("{ env = 'TOKEN', file = 'token' }", 14, format!("a credential comes from one place{sources}")),
        (
            "{ env = 'TOKEN', max_age = '1m' }",
            14,
            "\"max_age\" belongs to a \"command\"\n  help: remove it: nothing else is kept".to_owned(),
        ),
        (
            "{ command = ['gh'], max_age = 'soon' }",
            44,
            "no duration: \"soon\"\n  help: write a whole number and its unit, ms, s, m or h: \"500ms\", \"10s\", \"1h\"".to_owned(),
        ),
        ("{ command = [] }", 14, format!("a \"command\" begins with a program{sources}")),
        ("{ command = ['', 'token'] }", 14, format!("a \"command\" begins with a program{sources}")),
        ("{ command = [7] }", 27, "an element of \"command\" must be a string, not an integer".to_owned()),
        ("{ command = 'gh' }", 26, "\"command\" must be an array, such as [\"…\"], not a string".to_owned()),
        ("'gh'", 14, "\"credential\" must be a table, not a string".to_owned()),
    ] {
        let found = complaints(&format!("{SESSION}credential = {written}\n"));
        assert_eq!(found, format!("serve.toml:8:{column}: error: {expected}"), "{written}");
    }
}

/// Two credentials, one of a file beside the policy.
const KEYS: &str = r#"
allow = ["a.example"]
[[credential]]
hosts = ["a.example"]
header = "x-api-key"
value = { env = "TOKEN" }
[[credential]]
hosts = ["a.example"]
query = "key"
value = { file = "maps" }
[[credential]]
hosts = ["a.example"]
basic_user = "x"
value = { command = ["bin/print", "it"] }
"#;
const MISSING_KEYS: &str = r#"
allow = ["a.example"]
[[credential]]
hosts = ["a.example"]
header = "x-api-key"
value = { env = "MISSING" }
[[credential]]
hosts = ["a.example"]
query = "key"
value = { file = "token" }
"#;

#[tokio::test]
async fn a_policy_comes_with_its_credentials() {
    let config = load("[listen]\nproxy = \"127.0.0.1:3128\"\n[timeouts]\ncredential = \"9s\"\n[policy]\nfile = \"keys/policy.toml\"\n");
    let policy = config.policy.unwrap();
    assert_eq!(policy.credential(0).unwrap().secret().await.unwrap().expose(), TOKEN.as_bytes());
    let shown = |index| format!("{:?}", policy.credential(index).unwrap());
    assert_eq!(shown(1), "Credential { source: Source(file /etc/tidegate/keys/maps), patience: 9s, .. }");
    assert_eq!(shown(2), "Credential { source: Source(command /etc/tidegate/keys/bin/print, kept 600s), patience: 9s, .. }");
    assert!(policy.credential(3).is_none());
    assert_eq!(
        complaints("[listen]\nproxy = \"127.0.0.1:3128\"\n[policy]\nfile = \"keys/missing.toml\"\n"),
        "serve.toml:4:8: error: keys/missing.toml has errors\n\
         keys/missing.toml:6:17: error: the environment has no MISSING\n\
         keys/missing.toml:10:18: error: cannot read token: no such file"
    );
}

#[test]
fn what_cannot_be_read() {
    let nothing = Config::load(Path::new("/nowhere/serve.toml"), &Table::default()).err().unwrap();
    assert_eq!(nothing[0].to_string(), "/nowhere/serve.toml:1:1: error: cannot read the configuration: no such file");
}

/// Every key there is, none with its default.
const EVERYTHING: &str = r#"
[listen]
proxy = "0.0.0.0:3128"
git = "[::]:3129"
metrics = "127.0.0.1:0"
admin = "unix:/run/tidegate/admin.sock"
require_session = true
[state]
dir = "state"
[policy]
file = "policy.toml"
[audit]
file = "audit.jsonl"
on_failure = "continue"
[dns]
resolver = "[2001:db8::53]:53"
[upstream]
ca_file = "ca.pem"
proxy = "http://child:secret@p.example:3128"
[timeouts]
head = "500ms"
client_hello = "1s"
tls_handshake = "2s"
dns = "3s"
connect = "4s"
body = "5s"
first_byte = "6m"
idle = "7h"
keep_alive = "8s"
credential = "9s"
drain = "10s"
[[session]]
id = "s1"
token = { env = "TOKEN" }
expires = 2027-01-01T00:00:00Z
credential = { file = "token" }
[[session]]
id = "s2"
token = { file = "token" }
policy = "other.toml"
[[github]]
host = "GHE.example"
git_url = "http://127.0.0.1:8080"
api_url = "https://ghe.example/api/v3/"
upload_url = "https://ghe.example/api/uploads/"
ca_file = "ca.pem"
credential = { command = ["bin/token"], max_age = "1m" }
public_read = true
foreign_credentials = "public"
[[github]]
host = "github.com"
credential = { command = ["gh", "auth", "token"] }
"#;

const SESSION: &str = "[listen]\nproxy = \"127.0.0.1:0\"\nsession = \"s1\"\n[policy]\nfile = \"policy.toml\"\n[[session]]\nid = \"s1\"\n";

const REPOSITORIES: &str = r#"
[[session.repository]]
name = "octo/spoon"
access = "write"
push = ["refs/heads/agent/fix-1", { ref = "refs/heads/agent/*", delete = false, default_branch = true }]
create = false
update = true
force = true
delete = true
tags = ["v1.*"]
bases = ["main"]
grants = ["issues", "actions.rerun"]
[[session.repository]]
name = "octo/fork"
"#;

/// Texts, and what is wrong with them.
const WRONG: &[(&str, &str)] = &[
    (
        "[listen]\nproxy = \n",
        r"
serve.toml:2:9: error: not valid TOML: string values must be quoted, expected literal string
",
    ),
    (
        "POLICY",
        r#"
serve.toml:1:1: error: nothing listens: there is no [listen]
  help: write [listen] and proxy = "127.0.0.1:3128"
"#,
    ),
    (
        "[listen]\nPOLICY",
        r#"
serve.toml:1:1: error: nothing listens: [listen] names no address
  help: write [listen] and proxy = "127.0.0.1:3128"
"#,
    ),
    (
        "[listen]\nproxy = \"localhost:3128\"\nPOLICY",
        r#"
serve.toml:2:9: error: no address to listen on: "localhost:3128"
  help: write IP:PORT, such as "127.0.0.1:3128" or "[::1]:3128"; port 0 takes any that is free
"#,
    ),
    (
        "[listen]\nproxy = 3128\nPOLICY",
        r#"
serve.toml:2:9: error: "proxy" must be a string, not an integer
"#,
    ),
    (
        "[listen]\nproxy = \"0.0.0.0:3128\"\nPOLICY",
        r#"
serve.toml:2:9: error: 0.0.0.0:3128 is open to other machines, and nobody is asked who they are
  help: write require_session = true, or session = "ID" where the network keeps strangers out, or bind 127.0.0.1
"#,
    ),
    (
        "LISTENgitt = true\nPOLICY",
        r#"
serve.toml:3:1: error: unknown key "gitt"
  help: the keys here are proxy, git, socks, transparent, dns, metrics, admin, token_file, session, require_session, bind_tokens
"#,
    ),
    (
        "[listen]\ngit = \"0.0.0.0:3129\"\nPOLICY",
        r#"
serve.toml:2:7: error: 0.0.0.0:3129 is open to other machines, and nobody is asked who they are
  help: write require_session = true, or session = "ID" where the network keeps strangers out, or bind 127.0.0.1
"#,
    ),
    (
        "LISTENgit = \"3129\"\nsocks = \"\"\nPOLICY",
        r#"
serve.toml:3:7: error: no address to listen on: "3129"
  help: write IP:PORT, such as "127.0.0.1:3128" or "[::1]:3128"; port 0 takes any that is free
serve.toml:4:9: error: no address to listen on: ""
  help: write IP:PORT, such as "127.0.0.1:3128" or "[::1]:3128"; port 0 takes any that is free
"#,
    ),
    (
        "LISTENadmin = \"127.0.0.1:9000\"\nPOLICY",
        r#"
serve.toml:3:9: error: anyone who reaches 127.0.0.1:9000 could administer this program
  help: write "unix:PATH" instead, or token_file = "FILE" beside it
"#,
    ),
    (
        "LISTENadmin = \"unix:\"\ntoken_file = \"token\"\nPOLICY",
        r#"
serve.toml:3:9: error: a path is missing after "unix:"
  help: write "unix:/run/tidegate/admin.sock"
serve.toml:4:14: error: "token_file" belongs to an "admin" that is IP:PORT
  help: remove it: on a socket in the file system the kernel tells who calls
"#,
    ),
    (
        "LISTENadmin = \"127.0.0.1:9000\"\ntoken_file = \"short-token\"\nPOLICY",
        r"
serve.toml:4:14: error: a token is 32 or more visible ASCII characters, and this one is not
  help: make one with: openssl rand -hex 32
",
    ),
    (
        "LISTENsession = \"s1\"\nrequire_session = true\nPOLICY",
        r#"
serve.toml:4:19: error: "session" and "require_session" exclude each other
  help: write one of them: with "session", nobody is asked who they are
"#,
    ),
    (
        "LISTENsession = \"s2\"\nPOLICY[[session]]\nid = \"s1\"\n",
        r#"
serve.toml:3:11: error: no [[session]] has the id "s2"
  help: the ids are s1
serve.toml:6:1: warning: nobody comes in as session s1: no door asks for a token
  help: write require_session = true in [listen], or session with this id
"#,
    ),
    (
        "LISTENsession = \"s2\"\nPOLICY",
        r#"
serve.toml:3:11: error: no [[session]] has the id "s2"
  help: add a [[session]] with this id
"#,
    ),
    (
        "LISTENrequire_session = true\nPOLICY",
        r"
serve.toml:1:1: warning: a session is required and there is none: everything is refused
  help: add a [[session]] with an id, or an admin in [listen] to make sessions with
",
    ),
    (
        "LISTEN[audit]\nfile = \"-\"\n",
        r#"
serve.toml:1:1: error: nothing says what is allowed: there is no [policy]
  help: write [policy] and file = "policy.toml"
"#,
    ),
    (
        "LISTENsession = \"s1\"\n[[session]]\nid = \"s1\"\n",
        r#"
serve.toml:4:1: error: nothing says what session s1 may do: it has no "policy", and there is no [policy]
  help: write [policy] and file = "policy.toml"
"#,
    ),
    (
        "LISTEN[policy]\nfile = \"missing.toml\"\n",
        r"
serve.toml:4:8: error: cannot read missing.toml: no such file
",
    ),
    (
        "LISTEN[policy]\nfile = \"latin1.toml\"\n",
        r"
serve.toml:4:8: error: latin1.toml is not UTF-8
",
    ),
    (
        "LISTEN[policy]\nfile = \"broken.toml\"\n",
        r#"
serve.toml:4:8: error: broken.toml has errors
broken.toml:1:10: error: an empty pattern matches nothing
  help: write a host, such as "example.com"
"#,
    ),
    (
        "LISTEN[policy]\nfile = \"policy.toml\"\n[audit]\nfile = 7\non_failure = \"panic\"\n",
        r#"
serve.toml:6:8: error: "file" must be a string, not an integer
serve.toml:7:14: error: no way to treat what cannot be recorded: "panic"
  help: write "refuse": what cannot be recorded does not happen; or "continue": it is counted as lost
"#,
    ),
    (
        "LISTENPOLICY[dns]\nresolver = \"192.0.2.53\"\n",
        r#"
serve.toml:6:12: error: no name server: "192.0.2.53"
  help: write "system", or IP:PORT such as "192.0.2.53:53"
"#,
    ),
    (
        "LISTENPOLICY[dns]\nresolver = \"192.0.2.53:0\"\n",
        r#"
serve.toml:6:12: error: no name server: "192.0.2.53:0"
  help: write "system", or IP:PORT such as "192.0.2.53:53"
"#,
    ),
    (
        "LISTENPOLICY[upstream]\nca_file = \"missing.pem\"\nproxy = \"http://p\"\n",
        r#"
serve.toml:6:11: error: cannot read missing.pem: no such file
serve.toml:7:9: error: the URL of a parent proxy names its host and its port
  help: write "http://HOST:PORT" or "http://USER:PASSWORD@HOST:PORT", where "@" and "/" in a password are "%40" and "%2F"
"#,
    ),
    (
        "LISTENPOLICY[upstream]\nca_file = \"empty.pem\"\n",
        r"
serve.toml:6:11: error: no certificate in empty.pem
  help: it begins with -----BEGIN CERTIFICATE-----
",
    ),
    (
        "LISTENPOLICY[upstream]\nca_file = \"broken.pem\"\n",
        r"
serve.toml:6:11: error: broken.pem is not PEM: base64 decode error: InvalidCharacter(33)
",
    ),
    (
        "LISTENPOLICY[upstream]\nca_file = \"junk.pem\"\n",
        r"
serve.toml:6:11: error: certificate 1 of junk.pem cannot be a root: invalid peer certificate: BadEncoding
",
    ),
    (
        "LISTENPOLICY[timeouts]\nhead = 10\nidle = \"0s\"\ndrain = \"soon\"\nbody = \"9999h\"\ntail = \"1s\"\n",
        r#"
serve.toml:6:8: error: "head" must be a string, not an integer
serve.toml:7:8: error: a timer of zero ends everything at once: "0s"
  help: write a whole number and its unit, ms, s, m or h: "500ms", "10s", "1h"
serve.toml:8:9: error: no duration: "soon"
  help: write a whole number and its unit, ms, s, m or h: "500ms", "10s", "1h"
serve.toml:9:8: error: longer than a year: "9999h"
  help: write a whole number and its unit, ms, s, m or h: "500ms", "10s", "1h"
serve.toml:10:1: error: unknown key "tail"
  help: the keys here are head, client_hello, tls_handshake, dns, connect, body, first_byte, idle, keep_alive, credential, drain
"#,
    ),
    (
        "LISTENPOLICY[[github]]\nhost = \"github.com\"\n",
        r#"
serve.toml:5:1: warning: there is no credential for github.com: only repositories on disk and public reads work
  help: write credential = { env = "GITHUB_TOKEN" }
"#,
    ),
    (
        "LISTENPOLICY[[github]]\nhost = \"ghe.example\"\ngit_url = \"http://ghe.example:8080/git/\"\napi_url = \"http://127.0.0.2:1\"\nupload_url = \"http://localhost\"\ncredential = { env = \"TOKEN\" }\n",
        r"
serve.toml:7:11: warning: the credential crosses the network to ghe.example:8080 in the clear
  help: write https://, or keep this upstream on the same machine
",
    ),
    (
        "LISTENPOLICY[[github]]\ngit_url = \"github.com\"\napi_url = \"https://me@github.com\"\nca_file = \"empty.pem\"\nhots = 1\n[[github]]\nhost = \"127.0.0.1\"\n[[github]]\nhost = \"a b\"\n[[github]]\nhost = \"GitHub.com\"\npublic_read = 1\nforeign_credentials = \"public\"\n[[github]]\nhost = \"github.com.\"\nforeign_credentials = \"\"\n",
        r#"
serve.toml:5:1: error: a GitHub has a "host"
  help: write host = "github.com"
serve.toml:6:11: error: no base URL: "github.com"
  help: a URL begins with https://, or with http:// where nothing has to be kept from the network
serve.toml:7:11: error: no base URL: "https://me@github.com"
  help: user information may not stand before a host: "me@github.com"
serve.toml:8:11: error: no certificate in empty.pem
  help: it begins with -----BEGIN CERTIFICATE-----
serve.toml:9:1: error: unknown key "hots"
  help: the keys here are host, git_url, api_url, upload_url, codeload_url, raw_url, ca_file, credential, public_read, foreign_credentials, comment_footer
serve.toml:11:8: error: sandboxes name a GitHub, and this is an address: 127.0.0.1
  help: write a name such as "github.com"; where it really is says git_url
serve.toml:13:8: error: " " may not stand in a host, which is plain ASCII here: "a b"
  help: write a name such as "github.com"; where it really is says git_url
serve.toml:16:15: error: "public_read" must be true or false, not an integer
serve.toml:19:8: error: two [[github]] have the host "github.com"
  help: write a name such as "github.com"; where it really is says git_url
serve.toml:20:23: error: no way to treat a token that a sandbox brought: ""
  help: write "refuse", the default: what a sandbox brought goes nowhere; or "public": it serves for public reads
"#,
    ),
    (
        "LISTENPOLICY[session]\nid = \"s1\"\n",
        r#"
serve.toml:5:1: error: "session" must be an array, such as ["…"], not a table
"#,
    ),
    (
        "LISTENPOLICY[[session]]\n",
        r#"
serve.toml:5:1: error: a session has an "id"
  help: write id = "s1"
"#,
    ),
    (
        "LISTENPOLICY[[session]]\nid = \"a b\"\n",
        r#"
serve.toml:6:6: error: no session id: "a b"
  help: an id is 1 to 64 letters, digits, '-', '_' and '.'
"#,
    ),
    (
        "LISTENsession = \"s1\"\nPOLICY[[session]]\nid = \"s1\"\n[[session]]\nid = \"s1\"\n",
        r#"
serve.toml:9:6: error: two sessions have the id "s1"
"#,
    ),
    (
        "LISTENPOLICY[[session]]\nid = \"s1\"\n",
        r"
serve.toml:5:1: warning: nobody comes in as session s1: no door asks for a token
  help: write require_session = true in [listen], or session with this id
",
    ),
    (
        "LISTENsession = \"s1\"\nPOLICY[[session]]\nid = \"s1\"\nexpires = 2027-01-01T00:00:00\ncredential = { file = \"x\" }\n",
        r#"
serve.toml:8:11: error: "expires" names no moment: 2027-01-01T00:00:00
  help: write date, time and offset, such as 2026-12-01T00:00:00Z
serve.toml:9:23: error: cannot read x: no such file
"#,
    ),
    (
        "LISTENrequire_session = true\nPOLICY[[session]]\nid = \"s1\"\ntoken = { env = \"TOKEN\" }\n[[session]]\nid = \"s2\"\ntoken = { file = \"same-token\" }\n",
        r"
serve.toml:11:9: error: two sessions have the same token
  help: a token proves one session: give each its own
",
    ),
    (
        "LISTENrequire_session = true\nPOLICY[[session]]\nid = \"s1\"\ntoken = { env = \"MISSING\" }\n[[session]]\nid = \"s2\"\ntoken = { file = \"missing\" }\n[[session]]\nid = \"s3\"\ntoken = { env = \"SPACED\" }\n[[session]]\nid = \"s4\"\ntoken = { env = \"TOKEN\", file = \"token\" }\n[[session]]\nid = \"s5\"\ntoken = { command = [] }\n[[session]]\nid = \"s6\"\ntoken = { file = \"short-token\" }\n",
        r#"
serve.toml:8:17: error: the environment has no MISSING
serve.toml:11:18: error: cannot read missing: no such file
serve.toml:14:17: error: a token is 32 or more visible ASCII characters, and this one is not
  help: make one with: openssl rand -hex 32
serve.toml:17:9: error: a token comes from one place
  help: write { env = "NAME" } or { file = "FILE" }
serve.toml:20:9: error: a token comes from one place
  help: write { env = "NAME" } or { file = "FILE" }
serve.toml:23:18: error: a token is 32 or more visible ASCII characters, and this one is not
  help: make one with: openssl rand -hex 32
"#,
    ),
    (
        "LISTENsession = \"s1\"\nPOLICY[[session]]\nid = \"s1\"\n[[session.repository]]\nname = \"octo/..\"\naccess = \"admin\"\npush = [\"a b\", 7, { delete = 1, tags = [] }]\nforce = \"yes\"\ngrants = [\"Wiki\"]\nwiki = true\nupstream_path = \"x\"\ncontent = { deny_paths = [\"/a\"], max_file = \"x\", x = 1 }\n[[session.repository]]\naccess = \"read\"\n",
        r#"
serve.toml:9:8: error: the name of a repository is 1 to 100 letters, digits, "-", "_" and ".", and ".git" once: ".."
serve.toml:10:10: error: no access: "admin"; write "read" or "write"
serve.toml:11:9: error: no ref and no pattern of refs: "a b"; write one such as "refs/heads/agent/*"
serve.toml:11:16: error: an element of "push" must be a string or a table with a "ref", not an integer
serve.toml:11:19: error: an entry of "push" has a "ref"
  help: write { ref = "refs/heads/agent/*", … }
serve.toml:11:30: error: "delete" must be true or false, not an integer
serve.toml:11:33: error: unknown key "tags"
  help: the keys here are ref, create, update, force, delete, default_branch
serve.toml:12:9: error: "force" must be true or false, not a string
serve.toml:13:11: error: nothing that can be granted: "Wiki"; write one such as "pull_requests"
serve.toml:14:1: error: unknown key "wiki"
  help: the keys here are name, access, push, tags, bases, grants, create, update, force, delete, upstream_path, content
serve.toml:15:17: error: there is no repository at x: no such file; write the path of a bare repository or of a bundle
serve.toml:16:27: error: no path of a repository: "/a"; write one from its root such as ".github/**", where a level ** stands for any levels
serve.toml:16:45: error: "max_file" names no size
  help: write a number of octets, or one with B, KB, KiB, MB, MiB, GB or GiB: "1 MiB"
serve.toml:16:50: error: unknown key "x"
  help: the keys here are deny_paths, max_file, max_pack, refuse_secrets
serve.toml:17:1: error: a repository has a "name"
  help: write name = "OWNER/NAME"
"#,
    ),
    (
        "LISTENsession = \"s1\"\nPOLICY[[session]]\nid = \"s1\"\n[[session.repository]]\nname = \"octo/spoon\"\npush = [\"refs/heads/x\"]\n",
        r#"
serve.toml:6:1: error: octo/spoon may be pushed to and has access "read"; write access = "write"
"#,
    ),
];
