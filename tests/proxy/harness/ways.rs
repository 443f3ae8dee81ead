//! The same origin, reached by each way through the gate.

use std::{fs, process::Command};

use tempfile::NamedTempFile;

use super::{client::ask, dns::Dns, pki::Pki, program::program, tidegate::Setup, tidegate::Tidegate};

/// What the gate sees of what passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Requests in plain HTTP.
    Plain,
    /// A tunnel that it does not look into.
    Opaque,
    /// A tunnel whose TLS ends at the gate, since a rule asks for it.
    Intercepted,
}

/// A gate that lets through [`HOST`] at one port, and what its clients have to trust.
pub(crate) struct Passage {
    pub(crate) gate: Tidegate,
    way: Way,
    port: u16,
    root: NamedTempFile,
}

impl Passage {
    /// `rules` stand in the policy of an intercepted passage; `HOST` in them is the origin.
    #[track_caller]
    pub(crate) fn open(way: Way, pki: &Pki, port: u16, rules: &str) -> Self {
        Self::with(way, pki, port, rules, |setup| setup)
    }

    #[track_caller]
    pub(crate) fn with(way: Way, pki: &Pki, port: u16, rules: &str, more: impl FnOnce(Setup) -> Setup) -> Self {
        let over = if way == Way::Plain { "http" } else { "tls" };
        let rules = if way == Way::Intercepted { rules.replace("HOST", &format!("{HOST}:{port}")) } else { String::new() };
        let policy = format!("allow = [{{ host = \"{HOST}:{port}\", {over} = true }}]\n[addresses]\nallow = [\"127.0.0.0/8\"]\n{rules}");
        let setup = Setup::new(policy)
            .dns(Dns::loopback().address())
            .tables("[upstream]\nca_file = \"origin-ca.pem\"")
            .file("origin-ca.pem", &fs::read_to_string(pki.root()).expect("a root"));
        let gate = more(setup).start();
        let root = NamedTempFile::new().expect("a file");
        let trusted = match way {
            Way::Plain | Way::Opaque => fs::read(pki.root()).expect("a root"),
            Way::Intercepted => ask(gate.proxy(), "GET /ca.pem HTTP/1.1\r\nHost: x\r\n\r\n").body,
        };
        fs::write(root.path(), trusted).expect("a file");
        Self { gate, way, port, root }
    }

    /// Where the root is that its clients trust; it holds none but the one that they should see.
    pub(crate) fn root(&self) -> String {
        self.root.path().display().to_string()
    }

    pub(crate) fn proxy(&self) -> String {
        format!("http://{}", self.gate.proxy())
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{HOST}:{}{path}", if self.way == Way::Plain { "http" } else { "https" }, self.port)
    }

    /// curl on this way, told no URL yet.
    pub(crate) fn curl(&self, arguments: &[&str]) -> Command {
        let mut curl = program("curl");
        curl.args(["--silent", "--show-error", "--max-time", "60", "--proxy", &self.proxy(), "--cacert", &self.root()]).args(arguments);
        curl
    }

    /// The most memory that the gate has held so far, in KiB.
    pub(crate) fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.gate.pid())).expect("its status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        line.trim().trim_end_matches(" kB").trim().parse().expect("a number")
    }
}

/// The origin's name.
pub(crate) const HOST: &str = "real.test";
