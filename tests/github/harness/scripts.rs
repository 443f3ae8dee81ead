//! Clients of GitHub's API in JavaScript: `@octokit/rest` with a script of these tests.

use std::{fs, path::Path};

use serde_json::Value;

use super::sandbox::Sandbox;

/// Where and as whom a script works.
#[derive(Debug, Clone)]
pub(crate) struct Work<'w> {
    /// The base URL of the API.
    pub(crate) base: String,
    pub(crate) token: &'w str,
    /// The proxy that it goes through, where it does.
    pub(crate) proxy: String,
    /// Whom it trusts, in PEM.
    pub(crate) root: String,
}

impl Work<'_> {
    /// Runs a script of `tests/github/clients`, which prints one line of JSON: what it found.
    #[track_caller]
    pub(crate) fn run(&self, sandbox: &Sandbox, script: &str, arguments: &[&str]) -> Value {
        let root = sandbox.path("api-root.pem");
        fs::write(&root, &self.root).expect("a root");
        let place = Path::new(env!("CARGO_MANIFEST_DIR"));
        let modules = place.join("target/components/node/node_modules");
        assert!(modules.join("@octokit/rest").is_dir(), "@octokit/rest is needed: make setup");
        let script = place.join("tests/github/clients").join(script);
        let command = "NODE_PATH=$1 NODE_EXTRA_CA_CERTS=$2 BASE=$3 TOKEN=$4 PROXY=$5; \
                       export NODE_PATH NODE_EXTRA_CA_CERTS BASE TOKEN PROXY; script=$6; shift 6; exec node \"$script\" \"$@\"";
        let (modules, root, script) = (modules.display().to_string(), root.display().to_string(), script.display().to_string());
        let fixed = ["-c", command, "sh", &modules, &root, &self.base, self.token, &self.proxy, &script];
        let done = sandbox.run_program("sh", &[&fixed[..], arguments].concat());
        assert_eq!(done.code, Some(0), "{script}\n{}{}", done.out, done.err);
        serde_json::from_str(&done.out).unwrap_or_else(|error| panic!("{error}: {}", done.out))
    }
}
