//! Two hosts of repositories at once, each with a credential and an authority of its own; and at the end the search for what got to the other one.

use std::fs;

use super::{
    hub::{Hub, Wire, certs, random},
    identity,
    leak::Leaks,
    sandbox::{Heard, Sandbox},
    tidegate::{Setup, Tidegate},
    world::own_page,
};

/// The names by which a sandbox knows them.
pub(crate) const FIRST: &str = "github.test";
pub(crate) const OTHER: &str = "ghe.test";

/// It has to be brought to its end with [`Pair::finish`].
pub(crate) struct Pair {
    /// `github.test`, whose certificate the published test authority has signed.
    pub(crate) first: Hub,
    /// `ghe.test`, under an authority of its own.
    pub(crate) other: Hub,
    pub(crate) sandbox: Sandbox,
    pub(crate) gate: Tidegate,
    pub(crate) token: String,
    reals: [String; 2],
    heard: Heard,
}

/// What is different in the pair of a test.
pub(crate) struct Terms<'t> {
    /// How a session is known.
    pub(crate) entry: &'t str,
    /// The grants of the session `s1`.
    pub(crate) grants: &'t str,
    /// The name of the second host.
    pub(crate) other: &'t str,
    /// Whether the second host's authority is written for the first, and the first's for the second.
    pub(crate) crossed: bool,
    /// Whether the hosts' credentials stand with the session, and others with the hosts.
    pub(crate) own_credentials: bool,
}

impl Default for Terms<'_> {
    fn default() -> Self {
        Self { entry: "require_session = true", grants: GRANTS, other: OTHER, crossed: false, own_credentials: false }
    }
}

impl Pair {
    #[track_caller]
    pub(crate) fn new() -> Self {
        Self::of(&Terms::default())
    }

    #[track_caller]
    pub(crate) fn of(terms: &Terms<'_>) -> Self {
        let [first_real, other_real, token] = ["ghs_", "ghp_", "sbx-one-"].map(|kind| format!("{kind}{}", random()));
        let first = Hub::start(Wire::Tls, Some(&first_real));
        let other = Hub::showing(identity::server(&["127.0.0.1"]), &other_real);
        for (hub, number) in [(&first, 7), (&other, 1_000_007)] {
            hub.number("octo/spoon", number);
            hub.number("octo/reading", number + 1);
        }
        let ours = certs().join("ca.pem").display().to_string();
        let mut authorities = [ours.as_str(), "other.pem"];
        if terms.crossed {
            authorities.reverse();
        }
        let [first_variable, other_variable] = if terms.own_credentials { ["WRONG"; 2] } else { ["FIRST", "OTHER"] };
        let github = |host: &str, hub: &Hub, authority: &str, variable: &str| {
            format!(
                "[[github]]\nhost = \"{host}\"\ngit_url = \"{}\"\napi_url = \"{}\"\nca_file = \"{authority}\"\n\
                 credential = {{ env = \"{variable}\" }}\n",
                hub.url(),
                hub.api_url()
            )
        };
        let own = if terms.own_credentials {
            format!("credential = {{ env = \"FIRST\" }}\ncredentials = [{{ host = \"{}\", env = \"OTHER\" }}]\n", terms.other)
        } else {
            String::new()
        };
        let setup = Setup::new("access = \"none\"")
            .listen(&format!("git = \"127.0.0.1:0\"\nadmin = \"unix:admin.sock\"\n{}", terms.entry))
            .environment("FIRST", &first_real)
            .environment("OTHER", &other_real)
            .environment("WRONG", &format!("ghs_{}", random()))
            .environment("TIDEGATE_LOG", "trace")
            .file("other.pem", identity::root())
            .tables(&github(FIRST, &first, authorities[0], first_variable))
            .tables(&github(terms.other, &other, authorities[1], other_variable))
            .session("s1", &token, &format!("{own}{}", terms.grants.replace(OTHER, terms.other)));
        let heard = Heard::default();
        Self { first, other, sandbox: Sandbox::new(&heard), gate: setup.start(), token, reals: [first_real, other_real], heard }
    }

    /// The same, whose sandbox uses remotes as they are: through the proxy door.
    #[track_caller]
    pub(crate) fn behind_the_proxy(self) -> Self {
        self.sandbox.behind(&format!("http://x:{}@{}", self.token, self.gate.proxy()), &self.root());
        self
    }

    /// The root by which intercepted hosts are served.
    #[track_caller]
    pub(crate) fn root(&self) -> String {
        own_page(&self.gate, &self.token, "GET", "/ca.pem", "").text()
    }

    /// The git door's URL of a repository, such as `octo/spoon` or `ghe.test/octo/spoon`.
    pub(crate) fn door(&self, repository: &str) -> String {
        format!("http://x:{}@{}/git/{repository}", self.token, self.gate.listener("git"))
    }

    /// Clones a remote, pushes a commit of this name to `agent/fix-1`, fetches it again, and finds it upstream.
    #[track_caller]
    pub(crate) fn work(&self, remote: &str, hub: &Hub, name: &str) {
        self.sandbox.git_ok(".", &["clone", "--quiet", remote, name]);
        self.sandbox.git_ok(name, &["checkout", "--quiet", "-B", "agent/fix-1"]);
        self.sandbox.commit(name, name);
        self.sandbox.git_ok(name, &["push", "--quiet", "--force", "origin", "agent/fix-1"]);
        self.sandbox.git_ok(name, &["fetch", "--quiet", "origin"]);
        let pushed = self.sandbox.git_ok(name, &["rev-parse", "agent/fix-1"]).out.trim_end().to_owned();
        assert_eq!(hub.refs("octo/spoon")["refs/heads/agent/fix-1"], pushed, "{remote}");
    }

    /// Ends the program and looks for each credential everywhere but at its own host.
    #[track_caller]
    pub(crate) fn finish(self) {
        let Self { first, other, sandbox, gate, token, reals, heard } = self;
        let mut places =
            vec![("the metrics".to_owned(), gate.metrics().into_bytes()), ("the records".to_owned(), gate.audit_text().into_bytes())];
        places.extend(
            fs::read_dir(gate.path("state/sessions"))
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| (entry.path().display().to_string(), fs::read(entry.path()).expect("a record"))),
        );
        places.push(("the log".to_owned(), gate.finish().into_bytes()));
        let [at_first, at_other] = [&first, &other].map(everything);
        let [first_real, other_real] = reals.map(|real| Leaks::of(&real));
        let token = Leaks::of(&token);
        for (place, bytes) in &places {
            for secret in [&first_real, &other_real, &token] {
                secret.assert_absent(place, bytes);
            }
        }
        let heard = heard.lock().expect("what was heard").clone();
        for (place, bytes) in heard.into_iter().chain(sandbox.files()) {
            for secret in [&first_real, &other_real] {
                secret.assert_absent(&place, &bytes);
            }
        }
        for (host, bytes, foreign) in [(FIRST, at_first, other_real), (OTHER, at_other, first_real)] {
            for secret in [&foreign, &token] {
                secret.assert_absent(host, bytes.as_bytes());
            }
        }
    }
}

fn everything(hub: &Hub) -> String {
    let seen = hub.seen().into_iter();
    let texts = seen.map(|seen| format!("{} {}\n{:?}\n{}", seen.method, seen.target, seen.headers, String::from_utf8_lossy(&seen.body)));
    texts.collect::<Vec<_>>().join("\n")
}

/// The same owner and name on both.
const GRANTS: &str = r#"
[[session.repository]]
name = "octo/spoon"
access = "write"
push = ["refs/heads/agent/fix-1"]

[[session.repository]]
name = "ghe.test/octo/spoon"
access = "write"
push = ["refs/heads/agent/fix-1"]
"#;
