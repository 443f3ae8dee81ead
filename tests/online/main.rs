//! Real clients to the real registries that this machine reaches: `cargo test --test online`.
//!
//! Names are resolved as this machine resolves them. Where a mirror stands behind the registries' names, at an address
//! that is not public, the policy opens exactly that address, which is found when the test runs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "a test fails by panicking, and its output is read")]

#[allow(dead_code, unused_imports, reason = "other tests use the rest")]
mod harness;
mod apt;
mod run;

use std::{
    env, fs,
    net::{IpAddr, ToSocketAddrs},
    path::Path,
    process::Command,
};

use tempfile::TempDir;

use harness::{
    program::{Ran, run},
    tidegate::{Setup, Tidegate},
};

/// A proxy with the policy of a level, and a directory for what clients fetch.
struct Ground {
    gate: Tidegate,
    directory: TempDir,
}

impl Ground {
    fn at_level(access: &str) -> Self {
        Self::under(&format!("access = \"{access}\""), &npm_registry())
    }

    /// A policy under which this host may be a mirror.
    fn under(policy: &str, host: &str) -> Self {
        let policy = opened(policy, host);
        Self { gate: Setup::new(policy).dns("system").start(), directory: tempfile::tempdir().expect("a directory") }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A client with this machine's roots and settings, whose way out is the proxy.
    fn client(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command.current_dir(self.path());
        for variable in ["NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy", "PIP_FIND_LINKS", "PIP_NO_INDEX", "CARGO_NET_OFFLINE"] {
            command.env_remove(variable);
        }
        for variable in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"] {
            command.env(variable, format!("http://{}", self.gate.proxy()));
        }
        command
    }

    fn pip(&self) -> Ran {
        let options =
            ["-m", "pip", "--no-cache-dir", "--disable-pip-version-check", "--retries", "1", "download", "--no-deps", "-d", "out", "six"];
        run(self.client("python3").args(options), "python3-pip")
    }

    fn npm(&self) -> Ran {
        run(self.client("npm").args(["view", "react", "version", "--fetch-retries", "0", "--cache", "cache"]), "npm")
    }

    fn cargo(&self) -> Ran {
        fs::create_dir_all(self.path().join("src")).unwrap();
        fs::write(self.path().join("src/lib.rs"), "").unwrap();
        let manifest = "[package]\nname = \"user\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\nitoa = \"1\"\n";
        fs::write(self.path().join("Cargo.toml"), manifest).unwrap();
        run(self.client(env!("CARGO")).arg("fetch").env("CARGO_HOME", self.path().join("home")).env("CARGO_NET_RETRY", "0"), "cargo")
    }

    fn curl(&self) -> Ran {
        let url = format!("https://{}/react/latest", npm_registry());
        run(self.client("curl").args(["-sS", "--max-time", "60", &url]), "curl")
    }

    /// Refused as `network_disabled`, and told so by the client in these words.
    #[track_caller]
    fn assert_disabled(&self, ran: &Ran, says: &str) {
        assert!(!ran.success && ran.said.contains(says), "{says:?} in\n{}", ran.said);
        let records = self.gate.wait_for_records(1);
        assert!(records.iter().all(|record| record["reason"] == "network_disabled" && record["verdict"] == "deny"), "{records:#?}");
    }
}

/// The host that npm is configured to use.
fn npm_registry() -> String {
    let url = run(Command::new("npm").args(["config", "get", "registry"]), "npm").stdout;
    let authority = url.trim().split("://").nth(1).and_then(|rest| rest.split('/').next());
    authority.unwrap_or_else(|| panic!("not a URL: {url:?}")).to_owned()
}

/// A policy that opens the addresses of a host too, where they are not public.
fn opened(policy: &str, host: &str) -> String {
    let opened: Vec<String> = mirrors(host).iter().map(|address| format!("\"{address}\"")).collect();
    format!("{policy}\n[addresses]\nallow = [{}]\n", opened.join(", "))
}

/// The addresses of a host that are not public.
fn mirrors(host: &str) -> Vec<IpAddr> {
    let addresses = (host, 443).to_socket_addrs().unwrap_or_else(|error| panic!("this test needs the internet: {host}: {error}"));
    let mut mirrors: Vec<IpAddr> = addresses.map(|address| address.ip()).filter(|address| !is_public(*address)).collect();
    mirrors.sort_unstable();
    mirrors.dedup();
    mirrors
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !(address.is_documentation() || address.is_private() || address.is_loopback()),
        IpAddr::V6(address) => !(address.is_unique_local() || address.is_loopback() || address.segments()[..2] == [0x2001, 0x0db8]),
    }
}

#[track_caller]
fn assert_success(ran: &Ran) {
    assert!(ran.success, "{}", ran.said);
}

#[test]
fn trusted_pip_downloads() {
    let ground = Ground::at_level("trusted");
    assert_success(&ground.pip());
    let wheels: Vec<_> = fs::read_dir(ground.path().join("out")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(matches!(&wheels[..], [one] if one.to_string_lossy().starts_with("six-")), "{wheels:?}");
}

#[test]
fn trusted_npm_views() {
    let ran = Ground::at_level("trusted").npm();
    assert_success(&ran);
    assert!(ran.stdout.trim().split('.').count() == 3, "{}", ran.said);
}

#[test]
fn trusted_cargo_fetches() {
    let ground = Ground::at_level("trusted");
    assert_success(&ground.cargo());
    assert!(fs::read_to_string(ground.path().join("Cargo.lock")).unwrap().contains("itoa"));
}

#[test]
fn trusted_curl_fetches() {
    let ran = Ground::at_level("trusted").curl();
    assert_success(&ran);
    let package: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(package["name"], "react");
}

#[test]
fn none_refuses_pip() {
    let ground = Ground::at_level("none");
    let ran = ground.pip();
    ground.assert_disabled(&ran, "403 Forbidden");
}

#[test]
fn none_refuses_npm() {
    let ground = Ground::at_level("none");
    let ran = ground.npm();
    ground.assert_disabled(&ran, "403");
}

#[test]
fn none_refuses_cargo() {
    let ground = Ground::at_level("none");
    let ran = ground.cargo();
    ground.assert_disabled(&ran, "CONNECT tunnel failed, response 403");
}

#[test]
fn none_refuses_curl() {
    let ground = Ground::at_level("none");
    let ran = ground.curl();
    ground.assert_disabled(&ran, "CONNECT tunnel failed, response 403");
}
