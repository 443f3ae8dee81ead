//! GitHub Apps: tokens that are made for a session, good for what it is granted and for as long as it needs them, and taken back.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{
    Answer, Done, Hub, Leaks, Sandbox, When, Wire,
    app::{APP, App, Minted, other_key, pair},
    eventually,
    hub::{certs, random},
    sandbox::Heard,
    tidegate::{Failed, Setup, TIDEGATE, Tidegate},
    world::files_below,
};

/// The numbers of the repositories.
const SPOON: u64 = 7;
const READING: u64 = 8;
const SECRET: u64 = 9;

/// `octo/spoon` to push to, `octo/reading` to read, and something that is granted by name.
const GRANTS: &str = r#"
[[session.repository]]
name = "octo/spoon"
access = "write"
push = ["refs/heads/agent/fix-1"]
grants = ["pull_requests"]

[[session.repository]]
name = "octo/reading"
access = "read"
"#;

/// A GitHub with an App, the program that has its key, and a sandbox. It has to be brought to its end with [`Installed::finish`].
struct Installed {
    hub: Hub,
    sandbox: Sandbox,
    gate: Tidegate,
    token: String,
    heard: Heard,
    _keys: TempDir,
}

/// What is different in the world of a test.
struct Terms {
    life: Duration,
    grants: &'static str,
    /// In place of the App's.
    key: Option<String>,
    /// Whether the session brings the App, and the host has none.
    own: bool,
    mode: u32,
}

impl Default for Terms {
    fn default() -> Self {
        Self { life: Duration::from_secs(3600), grants: GRANTS, key: None, own: false, mode: 0o600 }
    }
}

impl Installed {
    #[track_caller]
    fn new() -> Self {
        Self::of(&Terms::default())
    }

    #[track_caller]
    fn of(terms: &Terms) -> Self {
        Self::try_of(terms).unwrap_or_else(|failed| panic!("tidegate did not start ({}):\n{}", failed.status, failed.stderr))
    }

    #[track_caller]
    fn try_of(terms: &Terms) -> Result<Self, Failed> {
        let hub = Hub::start(Wire::Http2, None);
        for (name, number) in [("octo/spoon", SPOON), ("octo/reading", READING), ("octo/secret", SECRET)] {
            hub.number(name, number);
        }
        hub.install(App::installed_for(&[SPOON, READING, SECRET], terms.life));
        let keys = tempfile::tempdir().expect("a directory");
        let key_file = keys.path().join("app.pem");
        fs::write(&key_file, terms.key.as_deref().unwrap_or(&pair().0)).expect("a key");
        fs::set_permissions(&key_file, fs::Permissions::from_mode(terms.mode)).expect("its mode");
        let app = format!("credential = {{ app = {{ id = {APP}, key_file = \"{}\" }} }}", key_file.display());
        let (of_host, of_session) = if terms.own { (String::new(), app) } else { (app, String::new()) };
        let github = format!(
            "[[github]]\nhost = \"github.test\"\ngit_url = \"{}\"\napi_url = \"{}\"\nca_file = \"{}\"\n{of_host}\n",
            hub.url(),
            hub.api_url(),
            certs().join("ca.pem").display(),
        );
        let token = format!("sbx-one-{}", random());
        let gate = Setup::new("access = \"none\"")
            .listen("git = \"127.0.0.1:0\"\nadmin = \"unix:admin.sock\"\nrequire_session = true")
            .environment("TIDEGATE_LOG", "trace")
            .tables(&github)
            .session("s1", &token, &format!("{of_session}\n{}", terms.grants))
            .try_start()?;
        let heard = Heard::default();
        Ok(Self { hub, sandbox: Sandbox::new(&heard), gate, token, heard, _keys: keys })
    }

    fn url(&self, repository: &str) -> String {
        self.url_with(&self.token, repository)
    }

    fn url_with(&self, token: &str, repository: &str) -> String {
        format!("http://x:{token}@{}/git/{repository}", self.gate.listener("git"))
    }

    #[track_caller]
    fn list(&self, repository: &str) -> Done {
        self.sandbox.git(".", &["ls-remote", &self.url(repository)])
    }

    /// What `tidegate session` prints.
    fn session(&self, arguments: &[&str]) -> String {
        let config = self.gate.path("tidegate.toml");
        let done =
            std::process::Command::new(TIDEGATE).arg("session").args(arguments).arg("--config").arg(config).output().expect("tidegate");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).expect("text").trim().to_owned()
    }

    fn minted(&self) -> Vec<Minted> {
        self.hub.app(|app| app.minted.clone())
    }

    /// What came of exchanges so far: made, refused, failed, wider.
    fn exchanges(&self) -> [u64; 4] {
        ["made", "refused", "failed", "wider"]
            .map(|result| self.gate.metric(&format!("tidegate_credential_exchanges_total{{result=\"{result}\"}}")))
    }

    /// Fails unless nothing of git's came to the upstream, and the sandbox was told so.
    #[track_caller]
    fn assert_unavailable(&self, done: &Done, says: &str) {
        done.assert(128, &[says]);
        let record = self.gate.wait_for_record(|record| record["reason"] == "credential_unavailable");
        assert_eq!(record["verdict"], "error", "{record:#}");
        let git: Vec<_> = self.hub.seen().into_iter().filter(|seen| seen.target.starts_with("/octo/")).collect();
        assert!(git.is_empty(), "{git:#?}");
    }

    /// Ends the program, and looks for every token that was made and for the key everywhere but at GitHub.
    #[track_caller]
    fn finish(self) {
        let Self { hub, sandbox, gate, token, heard, _keys } = self;
        let mut places = vec![("the metrics".to_owned(), gate.metrics().into_bytes())];
        for name in ["environ", "cmdline"] {
            places.push((name.to_owned(), fs::read(format!("/proc/{}/{name}", gate.pid())).unwrap_or_default()));
        }
        places.push(("the records".to_owned(), gate.audit_text().into_bytes()));
        places.extend(files_below(&gate.path("state")));
        places.push(("the log".to_owned(), gate.finish().into_bytes()));
        places.extend(heard.lock().expect("what was heard").clone());
        places.extend(sandbox.files());
        let minted = hub.app(|app| app.minted.clone());
        assert!(minted.iter().all(|minted| !minted.is_alive()), "a token outlived the program: {minted:#?}");
        let key = pair().0.lines().nth(5).expect("a line of the key").to_owned();
        for secret in minted.iter().map(|minted| &minted.token).chain([&key]) {
            let secret = Leaks::of(secret);
            for (place, bytes) in &places {
                secret.assert_absent(place, bytes);
            }
        }
        let token = Leaks::of(&token);
        for seen in hub.seen() {
            let everything = format!("{} {}\n{:?}\n{}", seen.method, seen.target, seen.headers, String::from_utf8_lossy(&seen.body));
            token.assert_absent("a request upstream", everything.as_bytes());
            Leaks::of(&key).assert_absent("a request upstream", everything.as_bytes());
        }
    }
}

/// What was asked for, one request after another.
fn asked(minted: &[Minted]) -> Vec<Value> {
    minted.iter().map(|minted| minted.asked.clone()).collect()
}

/// To read with: the same for every repository of an owner.
fn reading() -> Value {
    let read =
        ["actions", "checks", "contents", "issues", "metadata", "pull_requests", "statuses"].map(|name| (name.to_owned(), json!("read")));
    json!({"repository_ids": [SPOON, READING], "permissions": Value::Object(read.into_iter().collect())})
}

fn writing() -> Value {
    let mut writing = reading();
    writing["repository_ids"] = json!([SPOON]);
    for name in ["contents", "pull_requests"] {
        writing["permissions"][name] = json!("write");
    }
    writing
}

#[test]
fn tokens_are_narrowed_to_what_the_session_is_granted() {
    let world = Installed::new();
    world.sandbox.cloned(&world.url("octo/spoon"), &["agent/fix-1"]);
    let learning = json!({"repositories": ["reading", "spoon"], "permissions": {"metadata": "read"}});
    assert_eq!(asked(&world.minted()), [learning.clone(), reading()]);
    world.list("octo/reading").assert(0, &[]);
    assert_eq!(world.minted().len(), 2, "one token for all that is read");
    world.sandbox.git_ok("clone", &["push", "--quiet", "origin", "agent/fix-1"]);
    assert_eq!(asked(&world.minted()), [learning, reading(), writing()]);
    assert_eq!(world.hub.refs("octo/spoon")["refs/heads/agent/fix-1"], world.sandbox.id("agent/fix-1"));
    let [learning, reading, writing] = world.minted().try_into().expect("three tokens");
    assert!(learning.used.is_empty(), "{learning:#?}");
    let is_push = |used: &&String| used.contains("git-receive-pack") || used.contains("info/refs");
    assert!(writing.used.len() >= 2 && writing.used.iter().all(|used| is_push(&used)), "only what was judged to write: {writing:#?}");
    assert!(reading.used.iter().all(|used| !used.contains("git-receive-pack")), "{reading:#?}");
    assert_eq!(world.exchanges(), [3, 0, 0, 0]);
    // What is not granted is asked for nowhere.
    world.list("octo/secret").assert(128, &["This session has no grant for octo/secret"]);
    assert_eq!(world.exchanges(), [3, 0, 0, 0]);
    world.finish();
}

#[test]
fn a_session_s_own_app() {
    let world = Installed::of(&Terms { own: true, ..Terms::default() });
    world.list("octo/spoon").assert(0, &[]);
    assert_eq!(world.exchanges(), [2, 0, 0, 0]);
    world.finish();
}

#[test]
fn only_who_is_granted_workflows_gets_a_token_for_them() {
    let grants = "[[session.repository]]\nname = \"octo/spoon\"\naccess = \"write\"\npush = [\"refs/heads/agent/fix-1\"]\ngrants = [\"workflows\"]\n";
    let world = Installed::of(&Terms { grants, ..Terms::default() });
    world.hub.app(|app| app.permissions["workflows"] = json!("write"));
    world.sandbox.cloned(&world.url("octo/spoon"), &["agent/fix-1"]);
    world.sandbox.git_ok("clone", &["push", "--quiet", "origin", "agent/fix-1"]);
    let [_, reading, writing] = world.minted().try_into().expect("three tokens");
    assert_eq!((&reading.asked["permissions"]["workflows"], &writing.asked["permissions"]["workflows"]), (&Value::Null, &json!("write")));
    world.finish();
}

/// Twelve requests at once have one token made, and whoever comes later has none.
#[test]
fn one_exchange_for_all_who_ask_at_once() {
    let world = Installed::new();
    let url = world.url("octo/spoon");
    thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| world.sandbox.git_ok(".", &["ls-remote", "--quiet", &url, "refs/heads/main"]));
        }
    });
    assert_eq!((world.exchanges(), world.minted().len()), ([2, 0, 0, 0], 2));
    world.finish();
}

/// A push that takes longer than three tokens live, in git's own time and then in GitHub's: each token that is made is needed, and each
/// that is needed is made once.
#[track_caller]
fn push_longer_than_three_lives(life: Duration) {
    let world = Installed::of(&Terms { life, ..Terms::default() });
    world.sandbox.cloned(&world.url("octo/spoon"), &["agent/fix-1"]);
    let pauses = [life * 3 / 2, life * 2].map(|pause| format!("#!/bin/sh\nsleep {}\n", pause.as_secs_f32()));
    // Run by git when it has seen the refs and before it sends the pack, and by GitHub's before it moves them.
    let hooks = [world.sandbox.path("clone/.git/hooks/pre-push"), world.hub.path("octo/spoon").join("hooks/pre-receive")];
    for (hook, pause) in hooks.iter().zip(pauses) {
        fs::create_dir_all(hook.parent().expect("a directory")).expect("hooks");
        fs::write(hook, pause).expect("a hook");
        fs::set_permissions(hook, fs::Permissions::from_mode(0o755)).expect("its mode");
    }
    let begun = Instant::now();
    world.sandbox.git_ok("clone", &["push", "--quiet", "origin", "agent/fix-1"]);
    assert!(begun.elapsed() > life * 3, "it took {:?}", begun.elapsed());
    assert_eq!(world.hub.refs("octo/spoon")["refs/heads/agent/fix-1"], world.sandbox.id("agent/fix-1"));
    world.sandbox.git_ok("clone", &["fetch", "--quiet", "origin"]);
    let minted = world.minted();
    assert_eq!(world.exchanges(), [minted.len() as u64, 0, 0, 0]);
    assert_eq!(minted.iter().filter(|minted| minted.learns()).count(), 1);
    assert_eq!(minted.iter().filter(|minted| minted.writes()).count(), 2, "for the refs and for the pack: {minted:#?}");
    // Dates are in whole seconds, and a fifth of a life is left for what is under way.
    let fresh = life.saturating_sub(Duration::from_secs(1)) * 4 / 5;
    for writes in [true, false] {
        let alike: Vec<_> = minted.iter().filter(|minted| !minted.learns() && minted.writes() == writes).collect();
        assert!(alike.iter().all(|minted| !minted.used.is_empty()), "made for nothing: {alike:#?}");
        for two in alike.windows(2) {
            let apart = two[1].at - two[0].at;
            assert!(apart + SLACK > fresh, "made while another was fresh, {apart:?} after it: {two:#?}");
        }
    }
    world.finish();
}

/// A request on its way.
const SLACK: Duration = Duration::from_millis(500);

#[test]
fn a_push_that_outlasts_three_tokens() {
    push_longer_than_three_lives(Duration::from_secs(2));
}

#[test]
#[ignore = "takes two minutes: make long"]
fn a_push_that_outlasts_three_tokens_of_thirty_seconds() {
    push_longer_than_three_lives(Duration::from_secs(30));
}

#[test]
fn threat_97_tokens_are_taken_back_when_the_session_ends() {
    let world = Installed::new();
    let session = |arguments: &[&str]| world.session(arguments);
    let token = session(&["create", "--id", "s4", "--ttl", "1h", "--repo", "octo/spoon"]);
    world.sandbox.git_ok(".", &["ls-remote", &world.url_with(&token, "octo/spoon")]);
    let of_other = world.minted();
    world.list("octo/spoon").assert(0, &[]);
    assert!(world.minted().len() > of_other.len(), "each session has its own tokens");
    session(&["revoke", "s4"]);
    let is_of_other = |minted: &Minted| of_other.iter().any(|other| other.token == minted.token);
    eventually("its tokens are taken back", || world.minted().iter().filter(|minted| is_of_other(minted)).all(|minted| minted.revoked));
    assert!(world.minted().iter().filter(|minted| !is_of_other(minted)).all(Minted::is_alive), "{:#?}", world.minted());
    world.list("octo/spoon").assert(0, &[]);
    world.finish();
}

/// Its tokens are the session's: they outlast a token that may do less, and end with the session however that one ended.
#[test]
fn threat_97_a_token_that_may_do_less_takes_back_none_of_its_session_s() {
    let world = Installed::new();
    let token = world.session(&["create", "--id", "s4", "--ttl", "1h", "--repo", "octo/spoon"]);
    let child = world.session(&["token", "s4", "--only", "git", "--ttl", "3s"]);
    world.sandbox.git_ok(".", &["ls-remote", &world.url_with(&child, "octo/spoon")]);
    eventually("the token ends", || world.sandbox.git(".", &["ls-remote", &world.url_with(&child, "octo/spoon")]).code != Some(0));
    for _ in 0..3 {
        world.sandbox.git_ok(".", &["ls-remote", &world.url_with(&token, "octo/spoon")]);
    }
    assert!(world.minted().iter().all(Minted::is_alive), "{:#?}", world.minted());
    world.session(&["revoke", "s4"]);
    eventually("its tokens are taken back", || world.minted().iter().all(|minted| minted.revoked));
    world.finish();
}

#[test]
fn threat_97_a_token_that_github_no_longer_takes_is_made_anew_once() {
    let world = Installed::new();
    world.list("octo/spoon").assert(0, &[]);
    assert_eq!(world.exchanges(), [2, 0, 0, 0]);
    world.hub.app(|app| app.minted.iter_mut().for_each(|minted| minted.revoked = true));
    world.list("octo/spoon").assert(0, &[]);
    assert_eq!(world.exchanges(), [3, 0, 0, 0]);
    // Where no token is taken at all none is made over and over.
    world.hub.app(|app| app.minted.iter_mut().for_each(|minted| minted.revoked = true));
    world.list("octo/spoon").assert(128, &["does not know the owner's credential"]);
    assert_eq!(world.exchanges(), [3, 0, 0, 0]);
    world.finish();
}

#[test]
fn a_token_that_is_good_for_more_is_not_used_and_taken_back() {
    let spoon = json!({"id": SPOON, "full_name": "octo/spoon"});
    let [reading, secret] = [READING, SECRET].map(|number| json!({"id": number, "full_name": "octo/x"}));
    for (key, value) in [
        ("permissions", json!({"metadata": "read", "administration": "write"})),
        ("permissions", json!({"metadata": "write"})),
        ("repositories", json!([spoon, reading, secret])),
        ("repositories", json!([])),
    ] {
        let world = Installed::new();
        world.hub.app(|app| app.widened = Some((key, value.clone())));
        world.assert_unavailable(&world.list("octo/spoon"), "No token of the owner's GitHub App can be had at the moment");
        let minted = world.minted();
        assert!(!minted.is_empty() && minted.iter().all(|minted| minted.revoked && minted.used.is_empty()), "{key} {value}: {minted:#?}");
        let [made, refused, failed, wider] = world.exchanges();
        assert!(wider == minted.len() as u64 && [made, refused, failed] == [0; 3], "{key} {value}: {:?}", world.exchanges());
        world.finish();
    }
}

#[test]
fn who_turns_an_app_away_says_why() {
    let message = |text: &str| format!("{{\"message\":\"{text}\"}}").into_bytes();
    let api = || When::Below("/api/v3/");
    for (status, headers, body, says) in [
        (
            403,
            vec![],
            message(
                "Although you appear to have the correct authorization credentials, the `octo` organization has an IP allow list enabled",
            ),
            "IP allow list",
        ),
        (
            403,
            vec![("x-github-sso", "required; url=https://github.com/orgs/octo/sso?authorization_request=x".to_owned())],
            message("x"),
            "single sign-on",
        ),
        (403, vec![], message("This installation has been suspended"), "suspended"),
        (403, vec![], message("API rate limit exceeded for installation"), "wants it to wait"),
        (500, vec![], Vec::new(), "No token of the owner's GitHub App can be had"),
        (200, vec![], b"[]".to_vec(), "No token of the owner's GitHub App can be had"),
    ] {
        let world = Installed::new();
        world.hub.set(api(), Answer::Reply(status, headers, body));
        world.assert_unavailable(&world.list("octo/spoon"), says);
        assert!(!world.gate.stderr().contains("authorization_request"), "{}", world.gate.stderr());
        world.finish();
    }
}

#[test]
fn threat_88_an_app_is_led_to_no_other_host() {
    for (status, below) in [(301, "/api/v3/repos/octo/reading/installation"), (307, "/api/v3/app/")] {
        let (world, elsewhere) = (Installed::new(), Hub::start(Wire::Plain, None));
        let location = format!("{}{}", elsewhere.url(), below.replace("/app/", "/app/installations/42/access_tokens"));
        world.hub.set(When::Below(below), Answer::Reply(status, vec![("location", location)], Vec::new()));
        world.assert_unavailable(&world.list("octo/spoon"), "No token of the owner's GitHub App can be had");
        elsewhere.assert_untouched("nobody is led there");
        world.finish();
    }
}

#[test]
fn an_app_that_is_not_there_or_may_not() {
    for (change, says) in [
        (Box::new(|app: &mut App| app.covers.clear()) as Box<dyn Fn(&mut App)>, "GitHub App is not installed for octo/reading"),
        (Box::new(|app: &mut App| app.suspended = true), "GitHub App is suspended for octo/reading"),
        (Box::new(|app: &mut App| app.permissions = json!({"metadata": "read"})), "lacks the permission \"contents: read\""),
    ] {
        let world = Installed::new();
        world.hub.app(|app| change(app));
        world.assert_unavailable(&world.list("octo/reading"), says);
        assert_eq!(world.minted().len(), 0);
        assert_eq!(world.exchanges(), [0, 1, 0, 0]);
        world.finish();
    }
    // It covers another repository of the same owner.
    let world = Installed::new();
    world.hub.app(|app| app.covers = [(42, [READING].into())].into());
    world.list("octo/reading").assert(0, &[]);
    world.list("octo/spoon").assert(128, &["GitHub App is not installed for octo/spoon"]);
    world.finish();
    // One of them went to another account, which has an installation of its own.
    let world = Installed::new();
    world.hub.app(|app| app.covers = [(42, [READING].into()), (43, [SPOON].into())].into());
    for name in ["octo/reading", "octo/spoon"] {
        world.list(name).assert(0, &[]);
    }
    world.finish();
}

#[test]
fn a_key_of_another_app() {
    let world = Installed::of(&Terms { key: Some(other_key()), ..Terms::default() });
    world.assert_unavailable(&world.list("octo/spoon"), "does not know the owner's credential");
    assert!(world.gate.stderr().contains("see that id and key_file belong together"), "{}", world.gate.stderr());
    assert!(!world.hub.app(|app| app.denied.clone()).is_empty());
    world.finish();
}

#[test]
fn a_key_is_its_owner_s_alone_and_a_key() {
    for (key, mode, says) in [
        (None, 0o644, "others may read it"),
        (None, 0o640, "others may read it"),
        (Some("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n"), 0o600, "holds no private key of an App"),
        (Some("hunter2"), 0o600, "holds no private key of an App"),
    ] {
        let failed = Installed::try_of(&Terms { key: key.map(str::to_owned), mode, ..Terms::default() }).err().expect("it does not start");
        assert!(failed.stderr.contains(says) && !failed.stderr.contains("hunter2"), "{says} in {}", failed.stderr);
    }
}

#[test]
fn tokens_that_are_long() {
    let world = Installed::new();
    world.hub.app(|app| app.length = 2000);
    world.list("octo/spoon").assert(0, &[]);
    assert!(world.minted().iter().any(|minted| minted.token.len() > 2000 && !minted.used.is_empty()));
    world.finish();
}

/// G-12: tokens are asked for by number, so that a new name changes nothing.
#[test]
fn g_12_a_repository_that_was_renamed() {
    let world = Installed::new();
    world.sandbox.cloned(&world.url("octo/spoon"), &["agent/fix-1"]);
    world.hub.rename("octo/spoon", "octo/fork");
    world.sandbox.git_ok("clone", &["push", "--quiet", "origin", "agent/fix-1"]);
    assert_eq!(world.hub.refs("octo/fork")["refs/heads/agent/fix-1"], world.sandbox.id("agent/fix-1"));
    assert_eq!(world.minted().last().map(|minted| minted.asked.clone()), Some(writing()));
    world.finish();
}

/// That the fake takes nothing that GitHub would not.
#[test]
fn the_upstream_alone_knows_an_app_by_its_signature() {
    let world = Installed::new();
    let ask = |authorization: &str| {
        let url = format!("{}/app/installations/42/access_tokens", world.hub.api_url());
        let ca = certs().join("ca.pem").display().to_string();
        let header = format!("Authorization: {authorization}");
        let fixed = ["--silent", "--cacert", &ca, "--output", "/dev/null", "--write-out", "%{http_code}", "--data", "{}", "--header"];
        world.sandbox.run_program("curl", &[&fixed[..], &[&header, &url]].concat()).out
    };
    for authorization in ["Bearer x", "Bearer a.b.c", "Basic eDp4", "Bearer eyJhbGciOiJub25lIn0.eyJpc3MiOjQ3MTF9."] {
        assert_eq!(ask(authorization), "401", "{authorization}");
    }
    world.finish();
}
