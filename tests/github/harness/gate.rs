//! The program between clients of the API and a GitHub, by each door that the API has.

use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::{
    bytes::basic,
    client::{self, Client, Reply},
    crab::Way,
    fake::{Fake, Place, Speech},
    hub::{certs, random},
    leak::Leaks,
    sandbox::{Heard, Sandbox},
    scripts::Work,
    tidegate::{Setup, Tidegate},
    tls::trusting,
};

/// A way to the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// `/api/v3` on the git door.
    Git,
    /// `https://api.github.com` through the proxy.
    Intercepted,
    /// `https://ghe.test/api/v3` through the proxy.
    Server,
    /// `http://api.github.localhost` through the proxy, as `gh` has it for `github.localhost`.
    Localhost,
}

impl Door {
    pub(crate) const ALL: [Self; 4] = [Self::Git, Self::Intercepted, Self::Server, Self::Localhost];

    fn host(self) -> &'static str {
        match self {
            Self::Git | Self::Intercepted => "github.com",
            Self::Server => "ghe.test",
            Self::Localhost => "github.localhost",
        }
    }

    /// How the GitHub behind it is spoken to, and where its API is.
    fn upstream(self) -> (Speech, Place) {
        match self {
            Self::Git | Self::Localhost => (Speech::Plain, Place::Api),
            Self::Intercepted => (Speech::Http2, Place::Api),
            Self::Server => (Speech::Http1, Place::Web),
        }
    }

    /// What stands before the path of a call.
    fn prefix(self) -> &'static str {
        match self {
            Self::Git | Self::Server => "/api/v3",
            Self::Intercepted | Self::Localhost => "",
        }
    }
}

/// A call of the API's, as a client sends it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent<'s> {
    pub(crate) method: &'s str,
    pub(crate) path: &'s str,
    /// More lines of its head.
    pub(crate) lines: &'s [&'s str],
    pub(crate) body: &'s [u8],
}

/// It has to be brought to its end with [`Gate::finish`].
pub(crate) struct Gate {
    pub(crate) door: Door,
    pub(crate) fake: Fake,
    pub(crate) sandbox: Sandbox,
    pub(crate) tidegate: Tidegate,
    /// Its session has the grants of the plan.
    pub(crate) token: String,
    real: String,
    heard: Heard,
    root: String,
    kept: Mutex<Option<Client>>,
}

/// What a session may do by most plans: work on pull requests from the branches below `agent`.
pub(crate) const USUAL: &str = r#"grants = ["pull_requests", "issues", "comments"]"#;

/// Every grant that there is but `merge` and `search`, so that nothing but its condition, or a denial for everybody, refuses a call.
pub(crate) const EVERYTHING: &str = r#"create = true
update = true
force = true
delete = true
grants = ["pull_requests", "issues", "comments", "comments.delete", "assignees", "reviewers", "labels", "milestones", "refs", "contents", "releases",
          "actions.rerun", "actions.dispatch", "alerts.read", "environments.read", "administration.read", "organization.read"]
"#;

impl Gate {
    /// One whose session may push the branches below `agent` of `octo/spoon`, open pull requests into `main`, and has these `grants`.
    #[track_caller]
    pub(crate) fn granting(door: Door, grants: &str) -> Self {
        let [real, token] = ["ghp_", "sbx-one-"].map(|kind| format!("{kind}{}", random()));
        let (speech, place) = door.upstream();
        let fake = Fake::start(speech, &real);
        let uploads =
            if place == Place::Web { format!("{}/api/uploads", fake.url(Place::Web)) } else { fake.url(Place::Uploads).to_owned() };
        let github = format!(
            "[[github]]\nhost = \"{}\"\ngit_url = \"{}\"\napi_url = \"{}\"\nupload_url = \"{uploads}\"\nca_file = \"{}\"\n\
             credential = {{ env = \"REAL_TOKEN\" }}\n",
            door.host(),
            fake.url(Place::Web),
            fake.api(place),
            certs().join("ca.pem").display(),
        );
        let tidegate = Setup::new(POLICY)
            .listen("git = \"127.0.0.1:0\"\nadmin = \"unix:admin.sock\"\nrequire_session = true")
            .environment("REAL_TOKEN", &real)
            .environment("TIDEGATE_LOG", "trace")
            .tables(&github)
            .session("s1", &token, &format!("{GRANT}{grants}\n"))
            .start();
        let heard = Heard::default();
        let sandbox = Sandbox::new(&heard);
        let authorization = basic("x", &token);
        let root = client::ask(tidegate.proxy(), format!("GET /ca.pem HTTP/1.1\r\nHost: x\r\nProxy-{authorization}\r\n\r\n")).text();
        Self { door, fake, sandbox, tidegate, token, real, heard, root, kept: Mutex::default() }
    }

    /// What a script has to know to come through this door.
    pub(crate) fn work(&self) -> Work<'_> {
        let proxy = format!("http://x:{}@{}", self.token, self.tidegate.proxy());
        let base = match self.door {
            Door::Git => format!("http://{}", self.tidegate.listener("git")),
            Door::Localhost => "http://api.github.localhost".to_owned(),
            Door::Intercepted => "https://api.github.com".to_owned(),
            Door::Server => "https://ghe.test".to_owned(),
        };
        let proxy = if self.door == Door::Git { String::new() } else { proxy };
        Work { base: base + self.door.prefix(), token: &self.token, proxy, root: self.root.clone() }
    }

    /// The same for octocrab.
    pub(crate) fn way(&self) -> Way {
        let work = self.work();
        let base: http::Uri = work.base.parse().expect("a base URL");
        let tunnel = self.authority().filter(|(_, port)| *port == 443).map(|(name, port)| {
            let authorization = basic("x", &self.token);
            format!("CONNECT {name}:{port} HTTP/1.1\r\nHost: {name}:{port}\r\nProxy-{authorization}\r\n\r\n")
        });
        let forwards =
            (self.door == Door::Localhost).then(|| basic("x", &self.token).split_once(' ').map(|(_, value)| value.to_owned())).flatten();
        let address = if self.door == Door::Git { self.tidegate.listener("git") } else { self.tidegate.proxy() };
        let tls = (base.scheme_str() == Some("https")).then(|| trusting(self.root.as_bytes(), &[]));
        Way { base, address, tunnel, forwards, tls, token: self.token.clone() }
    }

    /// The host and port that the proxy is asked for.
    fn authority(&self) -> Option<(&'static str, u16)> {
        match self.door {
            Door::Git => None,
            Door::Intercepted => Some(("api.github.com", 443)),
            Door::Server => Some(("ghe.test", 443)),
            Door::Localhost => Some(("api.github.localhost", 80)),
        }
    }

    /// The answer to a call of the session's with a JSON body, where it has one.
    #[track_caller]
    pub(crate) fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        let body = body.map(Value::to_string).unwrap_or_default();
        let lines: &[&str] = if body.is_empty() { &[] } else { &["Content-Type: application/json"] };
        self.send(Sent { method, path, lines, body: body.as_bytes() })
    }

    /// The answer to a call of the session's, byte by byte. What was heard is kept for the search.
    #[track_caller]
    pub(crate) fn send(&self, sent: Sent<'_>) -> Reply {
        let authorization = format!("Authorization: token {}", self.token);
        let mut lines = vec![authorization.as_str(), "User-Agent: test"];
        let host = self.authority().map_or("gate", |(name, _)| name);
        let (host, length) = (format!("Host: {host}"), format!("Content-Length: {}", sent.body.len()));
        let has = |begin: &str| sent.lines.iter().any(|line| line.to_ascii_lowercase().starts_with(begin));
        if has("authorization:") {
            lines.remove(0);
        }
        lines.extend([host.as_str()].into_iter().filter(|_| !has("host:")));
        lines.extend(sent.lines);
        let has_length = has("content-length:") || has("transfer-encoding:");
        lines.extend([length.as_str()].into_iter().filter(|_| !has_length && (!sent.body.is_empty() || sent.method != "GET")));
        let origin = if self.door == Door::Localhost { "http://api.github.localhost" } else { "" };
        let proxied = format!("Proxy-{}", basic("x", &self.token));
        lines.extend([proxied.as_str()].into_iter().filter(|_| !origin.is_empty()));
        let target = format!("{origin}{}{}", self.door.prefix(), sent.path);
        let head = format!("{} {target} HTTP/1.1\r\n{}\r\n\r\n", sent.method, lines.join("\r\n"));
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut client = kept.take().unwrap_or_else(|| self.connect());
        let reply = client.send([head.as_bytes(), sent.body].concat()).reply_to(sent.method);
        if !reply.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            *kept = Some(client);
        }
        let said = format!("{:?}\n{}", reply.headers, reply.text()).into_bytes();
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).push((format!("the answer to {} {}", sent.method, sent.path), said));
        reply
    }

    #[track_caller]
    fn connect(&self) -> Client {
        let Some((name, port)) = self.authority() else { return Client::connect(self.tidegate.listener("git")) };
        let mut client = Client::connect(self.tidegate.proxy());
        if port == 80 {
            return client;
        }
        let authorization = basic("x", &self.token);
        client.send(format!("CONNECT {name}:{port} HTTP/1.1\r\nHost: {name}:{port}\r\nProxy-{authorization}\r\n\r\n"));
        let reply = client.reply_to("CONNECT");
        assert_eq!(reply.status, 200, "{reply:?}");
        client.secured(name, trusting(self.root.as_bytes(), &["http/1.1"]))
    }

    /// Everything that the API upstream was asked to do, beside reading: method and path without what stands before it.
    pub(crate) fn writes(&self) -> Vec<(String, String)> {
        let seen = [Place::Web, Place::Api, Place::Uploads].into_iter().flat_map(|place| self.fake.seen(place));
        let writes = seen.filter(|seen| !["GET", "HEAD"].contains(&seen.method.as_str()));
        let path = |target: &str| {
            let target = target.split('?').next().unwrap_or_default();
            target.strip_prefix("/api/v3").or_else(|| target.strip_prefix("/api/uploads")).unwrap_or(target).to_owned()
        };
        writes.map(|seen| (seen.method.clone(), path(&seen.target))).filter(|(_, path)| !path.ends_with("/git-upload-pack")).collect()
    }

    /// The records that say so of what was asked of the API.
    pub(crate) fn denials(&self) -> Vec<Value> {
        self.tidegate.records().into_iter().filter(|record| record["verdict"] == "deny").collect()
    }

    /// Ends the program and looks for secrets in everything: the real credential, and what opens storage, in all that the sandbox heard and
    /// has, in the records, the log and the metrics; the session's token in all that went upstream and in all that is kept.
    #[track_caller]
    pub(crate) fn finish(self) {
        let Self { fake, sandbox, tidegate, token, real, heard, .. } = self;
        let mut kept = vec![("the metrics".to_owned(), tidegate.metrics().into_bytes())];
        kept.push(("the records".to_owned(), tidegate.audit_text().into_bytes()));
        kept.push(("the log".to_owned(), tidegate.finish().into_bytes()));
        let (token, real, signature) = (Leaks::of(&token), Leaks::of(&real), Leaks::of(fake.signature()));
        for (place, bytes) in &kept {
            for secret in [&token, &real, &signature] {
                secret.assert_absent(place, bytes);
            }
        }
        let heard = std::mem::take(&mut *heard.lock().unwrap_or_else(PoisonError::into_inner));
        for (place, bytes) in heard.into_iter().chain(sandbox.files()) {
            for secret in [&real, &signature] {
                secret.assert_absent(&place, &bytes);
            }
        }
        for place in [Place::Web, Place::Api, Place::Uploads, Place::Storage] {
            for seen in fake.seen(place) {
                let everything = format!("{} {}\n{:?}\n{}", seen.method, seen.target, seen.headers, String::from_utf8_lossy(&seen.body));
                token.assert_absent("a request upstream", everything.as_bytes());
                let foreign: Vec<_> = seen.headers.iter().filter(|(name, _)| !MAY_GO_UP.contains(&name.as_str())).collect();
                assert!(foreign.is_empty(), "{foreign:?} went upstream: {seen:#?}");
            }
        }
    }
}

/// Fails unless it is a refusal of the program's, of which a client of the API can make sense.
#[track_caller]
pub(crate) fn assert_refused(reply: &Reply, what: &str) {
    assert!((400..500).contains(&reply.status), "{what}: {reply:?}");
    assert!(!["", "of-the-origin"].contains(&reply.reason()), "{what}: {reply:?}");
    let said: Value = serde_json::from_slice(&reply.body).unwrap_or_else(|error| panic!("{what}: {error}: {reply:?}"));
    assert!(said["message"].as_str().is_some_and(|message| message.len() > 20), "{what}: {said:#}");
    assert_eq!(said["status"], json!(reply.status.to_string()), "{what}: {said:#}");
}

const POLICY: &str = "access = \"none\"\n[limits]\nrequests_per_second = 100000\napi_calls_per_hour = 1000000\n\
                      api_writes_per_hour = 1000000\napi_comments_per_hour = 1000000\n[addresses]\nallow = [\"127.0.0.0/8\"]\n";

const GRANT: &str = r#"
[[session.repository]]
name = "octo/spoon"
access = "write"
push = ["refs/heads/agent/*"]
tags = ["v9*"]
bases = ["main"]
"#;

const MAY_GO_UP: &[&str] = &[
    "accept",
    "accept-encoding",
    "authorization",
    "content-length",
    "content-type",
    "host",
    "if-modified-since",
    "if-none-match",
    "transfer-encoding",
    "user-agent",
    "x-github-api-version",
];
