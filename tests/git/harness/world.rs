//! A whole world: an upstream, the program, a sandbox; and at its end the search for secrets in everything that anybody heard.

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    process::Command,
    sync::{Mutex, PoisonError},
    thread,
};

use serde_json::{Value, json};

use super::{
    bytes::{PUSH_TYPE, basic, request},
    client::{Client, Reply},
    hub::{Hub, Seen, Wire, certs, random},
    leak::Leaks,
    sandbox::{Done, Heard, Sandbox},
    tidegate::{Setup, TIDEGATE, Tidegate},
};

/// What is different in the world of a test.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) wire: Wire,
    pub(crate) policy: &'static str,
    /// The lines of `[audit]`.
    pub(crate) audit: &'static str,
    /// The grants of the session `s1`. `{HUB}` stands for where the upstream keeps its repositories.
    pub(crate) grants: &'static str,
    /// More of the `[[session]]` table, before its grants.
    pub(crate) session: &'static str,
    /// The name of the GitHub.
    pub(crate) host: &'static str,
    /// Where the owner's credential comes from; the variable `REAL_TOKEN` and the file `real.token` hold it.
    pub(crate) credential: &'static str,
    /// More lines of `[[github]]`. `{HUB}` stands for the upstream's base URL.
    pub(crate) github: &'static str,
    pub(crate) timeouts: &'static [&'static str],
    /// What the upstream really is, where it is not the hub.
    pub(crate) git_url: Option<String>,
    /// Lines of `[upstream]`.
    pub(crate) upstream: String,
    /// Whether the upstream asks for a credential.
    pub(crate) guarded: bool,
    /// Whether the program is told of the authority that vouches for the upstream.
    pub(crate) trusted: bool,
    pub(crate) log: &'static str,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            wire: Wire::Plain,
            policy: "access = \"none\"",
            audit: "file = \"audit.jsonl\"",
            grants: GRANTS,
            session: "",
            host: "github.test",
            credential: "{ env = \"REAL_TOKEN\" }",
            github: "",
            timeouts: &[],
            git_url: None,
            upstream: String::new(),
            guarded: true,
            trusted: true,
            log: "trace",
        }
    }
}

/// One test's world. It has to be brought to its end with [`World::finish`].
pub(crate) struct World {
    pub(crate) hub: Hub,
    pub(crate) sandbox: Sandbox,
    pub(crate) real: String,
    /// The token of `s1`, whose grants are the plan's.
    pub(crate) token: String,
    /// The token of `s2`, which may read `octo/secret` and nothing else.
    pub(crate) other_token: String,
    /// The token of `s3`, which has expired.
    pub(crate) expired_token: String,
    gate: Option<Tidegate>,
    heard: Heard,
    /// Tokens that sandboxes showed.
    shown: Mutex<Vec<String>>,
}

impl World {
    #[track_caller]
    pub(crate) fn new() -> Self {
        Self::of(&Plan::default())
    }

    #[track_caller]
    pub(crate) fn over(wire: Wire) -> Self {
        Self::of(&Plan { wire, ..Plan::default() })
    }

    #[track_caller]
    pub(crate) fn granting(grants: &'static str) -> Self {
        Self::of(&Plan { grants, ..Plan::default() })
    }

    #[track_caller]
    pub(crate) fn of(plan: &Plan) -> Self {
        let [real, token, other_token, expired_token] =
            ["ghs_", "sbx-one-", "sbx-two-", "sbx-old-"].map(|kind| format!("{kind}{}", random()));
        let hub = Hub::start(plan.wire, plan.guarded.then_some(real.as_str()));
        let heard = Heard::default();
        let git_url = plan.git_url.clone().unwrap_or_else(|| hub.url());
        let roots = if plan.trusted { format!("ca_file = \"{}\"\n", certs().join("ca.pem").display()) } else { String::new() };
        let github = format!(
            "[[github]]\nhost = \"{}\"\ngit_url = \"{git_url}\"\n{roots}credential = {}\n{}",
            plan.host,
            plan.credential,
            plan.github.replace("{HUB}", &hub.url())
        );
        let mut setup = Setup::new(plan.policy)
            .audit(plan.audit)
            .listen("git = \"127.0.0.1:0\"\nsocks = \"127.0.0.1:0\"\nadmin = \"unix:admin.sock\"\nrequire_session = true")
            .environment("REAL_TOKEN", &real)
            .file("real.token", &real)
            .environment("TIDEGATE_LOG", plan.log)
            .tables(&format!("[upstream]\n{}", plan.upstream))
            .tables(&github)
            .session("s1", &token, &format!("{}\n{}", plan.session, plan.grants.replace("{HUB}", &hub.root().display().to_string())))
            .session("s2", &other_token, "[[session.repository]]\nname = \"octo/secret\"\naccess = \"read\"")
            .session("s3", &expired_token, &format!("expires = 2020-01-01T00:00:00Z\n{GRANTS}"));
        for timeout in plan.timeouts {
            setup = setup.timeout(timeout);
        }
        let gate = Some(setup.start());
        let sandbox = Sandbox::new(&heard);
        let shown = Mutex::new(vec![token.clone(), other_token.clone(), expired_token.clone()]);
        Self { hub, sandbox, real, token, other_token, expired_token, gate, heard, shown }
    }

    pub(crate) fn gate(&self) -> &Tidegate {
        self.gate.as_ref().expect("it runs until the end")
    }

    pub(crate) fn door(&self) -> SocketAddr {
        self.gate().listener("git")
    }

    /// The URL of a repository such as `octo/spoon` with the session's token in it, as a sandbox has it.
    pub(crate) fn url(&self, repository: &str) -> String {
        self.url_with(&self.token, repository)
    }

    pub(crate) fn url_with(&self, token: &str, repository: &str) -> String {
        format!("http://x:{token}@{}/git/{repository}", self.door())
    }

    /// The URL of a repository without any token.
    pub(crate) fn bare_url(&self, repository: &str) -> String {
        format!("http://{}/git/{repository}", self.door())
    }

    /// The proxy door for a session, as a sandbox has it in `https_proxy`.
    pub(crate) fn proxy_for(&self, token: &str) -> String {
        format!("http://x:{token}@{}", self.gate().proxy())
    }

    /// The root by which this world's program serves what it intercepts, as a sandbox reads it.
    #[track_caller]
    pub(crate) fn root(&self) -> String {
        self.own_page("GET", "/ca.pem", "").text()
    }

    /// One of the sandbox's own pages, by the proxy door.
    #[track_caller]
    pub(crate) fn own_page(&self, method: &str, path: &str, body: &str) -> Reply {
        own_page(self.gate(), &self.token, method, path, body)
    }

    /// What `/explain` says of a request: why it is refused, or that it is allowed.
    #[track_caller]
    pub(crate) fn explained(&self, target: &str, method: &str) -> String {
        let answer = self.own_page("POST", "/explain", &json!({ "target": target, "method": method }).to_string());
        let answer: Value = serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("{}", answer.text()));
        let said = answer["reason"].as_str().or(answer["verdict"].as_str());
        said.unwrap_or_else(|| panic!("{target}: {answer:#}")).to_owned()
    }

    /// The same world, whose sandbox uses remotes as they are: through the proxy door.
    #[track_caller]
    pub(crate) fn behind_the_proxy(self) -> Self {
        self.sandbox.behind(&self.proxy_for(&self.token), &self.root());
        self
    }

    /// What `curl` prints of an answer, head and body, asking through the proxy door as the session does.
    #[track_caller]
    pub(crate) fn curl(&self, arguments: &[&str]) -> Done {
        let (proxy, root) = (self.proxy_for(&self.token), self.sandbox.path("root.pem"));
        let fixed = ["--silent", "--show-error", "--include", "--max-time", "20", "--proxy", &proxy, "--cacert"];
        self.sandbox.run_program("curl", &[&fixed[..], &[root.to_str().expect("a path")], arguments].concat())
    }

    /// A program of the sandbox's, which knows of the proxy door, of the token and of whom to trust what `tidegate env` prints, and no more.
    #[track_caller]
    pub(crate) fn told(&self, command: &[&str]) -> Done {
        let script = "told=$(\"$0\" env --config \"$1\" --proxy \"$2\" --token-file \"$3\") && eval \"$told\" && shift 3 && exec \"$@\"";
        let [config, token] = ["tidegate.toml", "s1.token"].map(|name| self.gate().path(name).display().to_string());
        let proxy = format!("http://{}", self.gate().proxy());
        let told = ["-c", script, TIDEGATE, &config, &proxy, &token];
        self.sandbox.run_program("sh", &[&told[..], command].concat())
    }

    /// A clone of `octo/spoon` with commits on `main` and on these branches.
    #[track_caller]
    pub(crate) fn cloned(self, branches: &[&str]) -> Self {
        self.sandbox.cloned(&self.url("octo/spoon"), branches);
        self
    }

    /// `git push` from the clone.
    #[track_caller]
    pub(crate) fn push(&self, arguments: &[&str]) -> Done {
        self.sandbox.git("clone", &[&["push"], arguments].concat())
    }

    /// One request on a connection of its own, whose answer is kept for the search.
    #[track_caller]
    pub(crate) fn ask(&self, request: impl AsRef<[u8]>) -> Reply {
        let reply = super::client::ask(self.door(), request);
        self.hear(&reply);
        reply
    }

    /// A request of the session's.
    #[track_caller]
    pub(crate) fn ask_as(&self, method: &str, target: &str, lines: &[&str], body: &[u8]) -> Reply {
        let authorization = basic("x", &self.token);
        self.ask(request(method, target, &[&[authorization.as_str()], lines].concat(), body))
    }

    /// A push of the session's to `octo/spoon`, with a body of the test's.
    #[track_caller]
    pub(crate) fn post_push(&self, body: &[u8]) -> Reply {
        self.ask_as("POST", "/git/octo/spoon/git-receive-pack", &[PUSH_TYPE], body)
    }

    /// A connection to the door; what comes over it has to be given to [`World::hear`].
    #[track_caller]
    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.door())
    }

    pub(crate) fn hear(&self, reply: &Reply) {
        let fields: Vec<_> = reply.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.push(("the head of an answer".into(), fields.concat().into_bytes()));
        heard.push(("the body of an answer".into(), reply.body.clone()));
    }

    /// `tidegate session …` on the running program's admin socket.
    #[track_caller]
    pub(crate) fn session(&self, arguments: &[&str]) -> String {
        let (command, rest) = arguments.split_first().expect("a command");
        let config = self.gate().path("tidegate.toml");
        let output = Command::new(TIDEGATE).args(["session", command, "--config"]).arg(config).args(rest).output().expect("tidegate runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let out = String::from_utf8(output.stdout).expect("text").trim_end().to_owned();
        if out.starts_with("v4.public.") {
            self.shown.lock().unwrap_or_else(PoisonError::into_inner).push(out.clone());
        }
        out
    }

    /// The record of a push that named refs, once there is one.
    #[track_caller]
    pub(crate) fn push_record(&self, verdict: &str) -> Value {
        self.gate().wait_for_record(|record| {
            record["kind"] == "push" && record["verdict"] == verdict && record["refs"].as_array().is_some_and(|refs| !refs.is_empty())
        })
    }

    /// Fails unless a push of exactly these refs was refused for this reason, and recorded so.
    #[track_caller]
    pub(crate) fn assert_push_denied(&self, reason: &str, refs: &[&str]) {
        let record = self.push_record("deny");
        assert_eq!(
            (&record["reason"], &record["repository"], refs_of(&record)),
            (&reason.into(), &"octo/spoon".into(), refs.into()),
            "{record:#}"
        );
        assert_eq!((&record["door"], &record["session"]), (&"git".into(), &"s1".into()), "{record:#}");
    }

    /// Fails unless a record says that this was refused.
    #[track_caller]
    pub(crate) fn assert_denied(&self, kind: &str, reason: &str) -> Value {
        self.gate().wait_for_record(|record| record["kind"] == kind && record["verdict"] == "deny" && record["reason"] == reason)
    }

    /// The pushes that reached the upstream.
    pub(crate) fn pushes(&self) -> Vec<Seen> {
        self.hub.seen_at("/git-receive-pack").into_iter().filter(|seen| seen.method == "POST").collect()
    }

    /// Ends the program and looks for secrets in everything: the real credential in all that a sandbox heard or has, in the records,
    /// the log and the metrics; the session's tokens in all that went upstream and in all that is kept.
    #[track_caller]
    pub(crate) fn finish(mut self) {
        let gate = self.gate.take().expect("it runs until the end");
        let kept = [("the metrics", gate.metrics().into_bytes()), ("the records", gate.audit_text().into_bytes())];
        let state = files_below(&gate.path("state"));
        let log = gate.finish().into_bytes();
        let real = Leaks::of(&self.real);
        let of_storage = [Leaks::of(&self.hub.lfs.signature), Leaks::of(&self.hub.lfs.key)];
        let shown = std::mem::take(&mut *self.shown.lock().unwrap_or_else(PoisonError::into_inner));
        let shown: Vec<_> = shown.iter().map(|token| Leaks::of(token)).collect();
        for (place, bytes) in kept.iter().map(|(place, bytes)| (*place, bytes)).chain([("the log", &log)]) {
            for secret in shown.iter().chain([&real]).chain(&of_storage) {
                secret.assert_absent(place, bytes);
            }
        }
        let heard = std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner));
        for (place, bytes) in heard.into_iter().chain(self.sandbox.files()).chain(state) {
            for secret in of_storage.iter().chain([&real]) {
                secret.assert_absent(&place, &bytes);
            }
        }
        for seen in self.hub.lfs.seen() {
            let foreign: Vec<_> = seen.headers.iter().filter(|(name, _)| !MAY_GO_TO_STORAGE.contains(&name.as_str())).collect();
            assert!(foreign.is_empty(), "{foreign:?} went to storage: {seen:#?}");
            let everything = format!("{} {}\n{:?}\n{}", seen.method, seen.target, seen.headers, String::from_utf8_lossy(&seen.body));
            for secret in shown.iter().chain([&real]) {
                secret.assert_absent("a request to storage", everything.as_bytes());
            }
        }
        for seen in self.hub.seen() {
            assert_as_judged(&seen);
            let everything = format!("{} {}\n{:?}\n{}", seen.method, seen.target, seen.headers, String::from_utf8_lossy(&seen.body));
            for secret in &shown {
                secret.assert_absent("a request upstream", everything.as_bytes());
            }
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        assert!(thread::panicking() || self.gate.is_none(), "a world ends with finish(), which looks for secrets");
        if thread::panicking() {
            eprintln!(
                "── the upstream saw\n{:#?}\n──",
                self.hub.seen().iter().map(|seen| (&seen.method, &seen.target)).collect::<Vec<_>>()
            );
        }
    }
}

/// What holds for every request upstream, whatever a sandbox did: nothing of its own but what git needs.
#[track_caller]
fn assert_as_judged(seen: &Seen) {
    let names: BTreeSet<_> = seen.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.len(), seen.headers.len(), "a header stands twice: {seen:#?}");
    let is_file =
        ["/codeload/octo/", "/raw/octo/"].iter().any(|begin| seen.target.starts_with(begin)) || seen.target.contains("/releases/");
    let is_api = seen.target.starts_with("/api/") || seen.target.starts_with("/storage/");
    let may_go_up = |name: &&&str| {
        MAY_GO_UP.contains(name) || is_file && MAY_GO_UP_FOR_A_FILE.contains(name) || is_api && MAY_GO_UP_WITH_A_CALL.contains(name)
    };
    let foreign: Vec<_> = names.iter().filter(|name| !may_go_up(name)).collect();
    assert!(foreign.is_empty(), "{foreign:?} went upstream: {seen:#?}");
    let judged = if seen.target.contains("/info/lfs/locks?") { seen.target.split('?').next().unwrap_or_default() } else { &seen.target };
    assert!((is_file || is_api || judged.starts_with("/octo/")) && !judged.contains(['%', '\\', ';']), "{seen:#?}");
    let for_push = seen.target.contains("git-receive-pack");
    assert!(!(for_push && seen.header("git-protocol").is_some()), "a push is asked for in the first version: {seen:#?}");
}

/// The refs of a record.
pub(crate) fn refs_of(record: &Value) -> Vec<&str> {
    record["refs"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// One of a sandbox's own pages, by the proxy door and with this token.
#[track_caller]
pub(crate) fn own_page(gate: &Tidegate, token: &str, method: &str, path: &str, body: &str) -> Reply {
    let (authorization, length) = (basic("x", token), body.len());
    let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nProxy-{authorization}\r\nContent-Length: {length}\r\n\r\n");
    let shown = super::client::ask(gate.proxy(), head + body);
    assert_eq!(shown.status, 200, "{shown:?}");
    shown
}

pub(crate) fn files_below(directory: &std::path::Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let (directories, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let files = files.iter().filter_map(|path| Some((path.display().to_string(), fs::read(path).ok()?)));
    files.chain(directories.iter().flat_map(|path| files_below(path))).collect()
}

/// One branch of `octo/spoon` to push, and `octo/reading` to read.
pub(crate) const GRANTS: &str = r#"
[[session.repository]]
name = "octo/spoon"
access = "write"
push = ["refs/heads/agent/fix-1"]

[[session.repository]]
name = "octo/reading"
access = "read"
"#;

const MAY_GO_UP_FOR_A_FILE: &[&str] = &["accept-encoding", "if-modified-since", "if-none-match", "if-range", "range"];
const MAY_GO_UP_WITH_A_CALL: &[&str] = &["accept-encoding", "if-modified-since", "if-none-match", "x-github-api-version"];
const MAY_GO_UP: &[&str] = &[
    "accept",
    "authorization",
    "content-encoding",
    "content-length",
    "content-type",
    "git-protocol",
    "host",
    "transfer-encoding",
    "user-agent",
];

const MAY_GO_TO_STORAGE: &[&str] =
    &["accept", "accept-encoding", "connection", "content-length", "content-type", "host", "range", "user-agent", "x-storage-key"];
