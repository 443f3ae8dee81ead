//! Real clients against a real nginx: what is allowed arrives, and what is refused is told in each client's own words.

use std::{fs, path::Path, process::Command};

use tempfile::TempDir;

use crate::harness::{
    Client, Dns, Nginx, Pki, Setup, Tidegate,
    program::{Ran, program, run},
    tls::Tls,
};

/// A proxy that allows `pkg.test` on nginx' two ports and nothing else.
pub(crate) struct Ground {
    pub(crate) gate: Tidegate,
    nginx: Nginx,
    pki: Pki,
    directory: TempDir,
}

impl Ground {
    fn new() -> Self {
        Self::under(|nginx| {
            format!(
                "allow = [{{ host = \"pkg.test:{}\", tls = true }}, {{ host = \"pkg.test:{}\", http = true }}]\n[addresses]\nallow = [\"127.0.0.0/8\"]",
                nginx.https(),
                nginx.http()
            )
        })
    }

    /// The same with another policy.
    pub(crate) fn under(policy: impl FnOnce(&Nginx) -> String) -> Self {
        let pki = Pki::for_names(&["pkg.test", "evil.test"]);
        let nginx = Nginx::start(&pki);
        nginx.put("file", "from nginx");
        let dns = Dns::loopback();
        let gate = Setup::new(policy(&nginx)).dns(dns.address()).start();
        Self { gate, nginx, pki, directory: tempfile::tempdir().expect("a directory") }
    }

    /// Clients find nothing of what they did before.
    pub(crate) fn forget(&mut self) {
        self.directory = tempfile::tempdir().expect("a directory");
    }

    fn proxy(&self) -> String {
        format!("http://{}", self.gate.proxy())
    }

    pub(crate) fn https(&self, host: &str) -> String {
        format!("https://{host}:{}", self.nginx.https())
    }

    pub(crate) fn http(&self, host: &str) -> String {
        format!("http://{host}:{}", self.nginx.http())
    }

    fn root(&self) -> String {
        self.pki.root().display().to_string()
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A client with the variables that sandboxes get.
    fn client(&self, name: &str) -> Command {
        let mut command = program(name);
        for variable in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"] {
            command.env(variable, self.proxy());
        }
        for variable in [
            "SSL_CERT_FILE",
            "CURL_CA_BUNDLE",
            "PIP_CERT",
            "REQUESTS_CA_BUNDLE",
            "NODE_EXTRA_CA_CERTS",
            "GIT_SSL_CAINFO",
            "CARGO_HTTP_CAINFO",
        ] {
            command.env(variable, self.root());
        }
        command.current_dir(self.path());
        command
    }

    /// Something was refused, and all of it was `evil.test`.
    #[track_caller]
    fn assert_refused_evil(&self) {
        let record = self.gate.wait_for_record(|record| record["verdict"] == "deny");
        assert_eq!((record["host"].as_str(), record["reason"].as_str()), (Some("evil.test"), Some("host_not_allowed")), "{record:#}");
    }
}

#[track_caller]
fn assert_success(ran: &Ran) {
    assert!(ran.success, "{}", ran.said);
}

/// It failed, and said this.
#[track_caller]
fn assert_failure(ran: &Ran, says: &str) {
    assert!(!ran.success && ran.said.contains(says), "{says:?} in\n{}", ran.said);
}

#[test]
fn a_tls_session_through_a_tunnel() {
    let ground = Ground::new();
    let authority = format!("pkg.test:{}", ground.nginx.https());
    let tunnel = Client::tunnel(ground.gate.proxy(), &authority).expect("a tunnel").into_stream();
    let answer =
        Tls::over(tunnel, "pkg.test", &ground.pki).ask(&format!("GET /file HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n"));
    assert!(answer.expect("an answer").ends_with("\r\n\r\nfrom nginx"));
    let tunnel = Client::tunnel(ground.gate.proxy(), &authority).expect("a tunnel").into_stream();
    let error = Tls::over(tunnel, "evil.test", &ground.pki).ask("GET / HTTP/1.1\r\n\r\n").expect_err("an alert");
    assert!(error.to_string().contains("UnrecognisedName"), "{error}");
}

// ── curl

fn curl(ground: &Ground, arguments: &[&str]) -> Ran {
    run(ground.client("curl").args(["-sS", "--max-time", "30"]).args(arguments), "curl")
}

#[test]
fn curl_through_connect() {
    let ground = Ground::new();
    let ran = curl(&ground, &[&format!("{}/file", ground.https("pkg.test"))]);
    assert_success(&ran);
    assert_eq!(ran.stdout, "from nginx");
    assert_failure(&curl(&ground, &[&format!("{}/file", ground.https("evil.test"))]), "CONNECT tunnel failed, response 403");
    ground.assert_refused_evil();
}

#[test]
fn curl_in_absolute_form() {
    let ground = Ground::new();
    let ran = curl(&ground, &[&format!("{}/file", ground.http("pkg.test"))]);
    assert_success(&ran);
    assert_eq!(ran.stdout, "from nginx");
    let refused = curl(&ground, &["-D", "-", &format!("{}/file", ground.http("evil.test"))]);
    assert!(refused.stdout.contains("x-deny-reason: host_not_allowed") && refused.stdout.contains("evil.test"), "{}", refused.said);
    assert_failure(&curl(&ground, &["-f", &format!("{}/file", ground.http("evil.test"))]), "returned error: 403");
}

#[test]
fn curl_through_a_tunnel_to_a_port_that_wants_http() {
    let ground = Ground::new();
    let ran = curl(&ground, &["--proxytunnel", &format!("{}/file", ground.http("pkg.test"))]);
    assert_success(&ran);
    assert_eq!(ran.stdout, "from nginx");
}

#[test]
fn curl_asks_why_at_the_proxy_itself() {
    let ground = Ground::new();
    curl(&ground, &[&ground.https("evil.test")]);
    let ran = curl(&ground, &["http://tidegate.internal/refusals"]);
    assert!(ran.stdout.contains("host_not_allowed") && ran.stdout.contains("evil.test"), "{}", ran.said);
    let ran = curl(&ground, &["--noproxy", "*", &format!("{}/refusals", ground.proxy())]);
    assert!(ran.stdout.contains("evil.test"), "{}", ran.said);
}

#[test]
fn curl_fronting_is_an_alert() {
    let ground = Ground::new();
    let ran = curl(&ground, &["--connect-to", &format!("evil.test:{0}:pkg.test:{0}", ground.nginx.https()), &ground.https("evil.test")]);
    assert_failure(&ran, "unrecognized name");
}

#[test]
fn curl_uploads_and_downloads_much() {
    let ground = Ground::new();
    let content: Vec<u8> = (0..=255).cycle().take(20_000_000).collect();
    ground.nginx.put("much", &content);
    for base in [ground.https("pkg.test"), ground.http("pkg.test")] {
        let out = ground.path().join("out").display().to_string();
        assert_success(&curl(&ground, &["-o", &out, &format!("{base}/much")]));
        assert!(fs::read(&out).unwrap() == content, "{base}");
    }
}

// ── wget

fn wget(ground: &Ground, url: &str) -> Ran {
    run(
        ground.client("wget").args(["-O", "-", "--tries=1", "--timeout=30"]).arg(format!("--ca-certificate={}", ground.root())).arg(url),
        "wget",
    )
}

#[test]
fn wget_both_ways() {
    let ground = Ground::new();
    for base in [ground.https("pkg.test"), ground.http("pkg.test")] {
        let ran = wget(&ground, &format!("{base}/file"));
        assert_success(&ran);
        assert_eq!(ran.stdout, "from nginx");
    }
    assert_failure(&wget(&ground, &format!("{}/file", ground.http("evil.test"))), "403 Forbidden");
    assert_failure(&wget(&ground, &format!("{}/file", ground.https("evil.test"))), "Proxy tunneling failed: Forbidden");
    ground.assert_refused_evil();
}

// ── pip

fn pip(ground: &Ground, base: &str) -> Ran {
    let mut command = ground.client("python3");
    command.args(["-m", "pip", "--isolated", "--no-cache-dir", "--disable-pip-version-check", "--retries", "1", "--timeout", "30"]);
    command.args(["--cert", &ground.root(), "--proxy", &ground.proxy()]);
    let plain = format!("pkg.test:{}", ground.nginx.http());
    command.args(["download", "--no-deps", "--trusted-host", &plain, "-d", "out", "--index-url", &format!("{base}/simple/"), "tide-demo"]);
    run(&mut command, "python3-pip")
}

/// Downloads a package both ways.
pub(crate) fn pip_works(ground: &Ground) {
    let wheel = "tide_demo-1.0-py3-none-any.whl";
    ground.nginx.put("simple/tide-demo/index.html", format!("<!DOCTYPE html><a href=\"{wheel}\">{wheel}</a>"));
    let make = "import zipfile, sys\nw = zipfile.ZipFile(sys.argv[1], 'w')\nd = 'tide_demo-1.0.dist-info/'\n\
                w.writestr(d + 'METADATA', 'Metadata-Version: 2.1\\nName: tide-demo\\nVersion: 1.0\\n')\n\
                w.writestr(d + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\nw.writestr(d + 'RECORD', '')\nw.close()";
    let path = ground.nginx.root().join("simple/tide-demo").join(wheel);
    assert_success(&run(program("python3").args(["-c", make]).arg(path), "python3"));
    for base in [ground.https("pkg.test"), ground.http("pkg.test")] {
        assert_success(&pip(ground, &base));
        fs::remove_file(ground.path().join("out").join(wheel)).expect("the wheel arrived");
    }
}

#[test]
fn pip_both_ways() {
    let ground = Ground::new();
    pip_works(&ground);
    assert_failure(&pip(&ground, &ground.https("evil.test")), "403 Forbidden");
    assert_failure(&pip(&ground, &ground.http("evil.test")), "No matching distribution found");
    ground.assert_refused_evil();
}

// ── npm

fn npm(ground: &Ground, base: &str, arguments: &[&str]) -> Ran {
    let mut command = ground.client("npm");
    command.args(arguments).args([
        "--registry",
        &format!("{base}/"),
        "--fetch-retries",
        "0",
        "--cache",
        "cache",
        "--cafile",
        &ground.root(),
    ]);
    run(&mut command, "npm")
}

/// Looks up and downloads a package both ways.
pub(crate) fn npm_works(ground: &Ground) {
    let package = ground.path().join("package");
    fs::create_dir(&package).unwrap();
    fs::write(package.join("package.json"), "{\"name\": \"tide-demo\", \"version\": \"1.0.0\"}").unwrap();
    assert_success(&run(
        program("tar").args(["czf"]).arg(ground.nginx.root().join("demo.tgz")).arg("package").current_dir(ground.path()),
        "tar",
    ));
    for base in [ground.https("pkg.test"), ground.http("pkg.test")] {
        let packument = format!(
            "{{\"name\": \"tide-demo\", \"dist-tags\": {{\"latest\": \"1.0.0\"}}, \"versions\": {{\"1.0.0\": {{\"name\": \"tide-demo\", \
             \"version\": \"1.0.0\", \"dist\": {{\"tarball\": \"{base}/demo.tgz\"}}}}}}}}"
        );
        ground.nginx.put("tide-demo", packument);
        let ran = npm(ground, &base, &["view", "tide-demo", "version"]);
        assert_success(&ran);
        assert_eq!(ran.stdout.trim(), "1.0.0");
        assert_success(&npm(ground, &base, &["pack", "tide-demo"]));
        fs::remove_file(ground.path().join("tide-demo-1.0.0.tgz")).expect("the package arrived");
    }
}

#[test]
fn npm_both_ways() {
    let ground = Ground::new();
    npm_works(&ground);
    assert_failure(&npm(&ground, &ground.https("evil.test"), &["view", "tide-demo", "version"]), "403");
    assert_failure(&npm(&ground, &ground.http("evil.test"), &["view", "tide-demo", "version"]), "403");
    ground.assert_refused_evil();
}

// ── cargo

fn cargo(ground: &Ground, base: &str) -> Ran {
    let project = ground.path().join("project");
    fs::create_dir_all(project.join("src")).unwrap();
    fs::write(project.join("src/lib.rs"), "").unwrap();
    let manifest = "[package]\nname = \"user\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\ntide-demo = { version = \"1\", registry = \"test\" }\n";
    fs::write(project.join("Cargo.toml"), manifest).unwrap();
    let mut command = ground.client(env!("CARGO"));
    command.arg("fetch").current_dir(project).env("CARGO_HOME", ground.path().join("cargo")).env("CARGO_NET_RETRY", "0");
    command.env("CARGO_REGISTRIES_TEST_INDEX", format!("sparse+{base}/index/"));
    run(&mut command, "cargo")
}

/// Fetches a crate, over TLS or without.
pub(crate) fn cargo_works(ground: &Ground, secure: bool) {
    let base = if secure { ground.https("pkg.test") } else { ground.http("pkg.test") };
    let package = ground.path().join("tide-demo-1.0.0");
    fs::create_dir_all(package.join("src")).unwrap();
    fs::write(package.join("src/lib.rs"), "").unwrap();
    fs::write(package.join("Cargo.toml"), "[package]\nname = \"tide-demo\"\nversion = \"1.0.0\"\nedition = \"2021\"\n").unwrap();
    ground.nginx.put("crates/tide-demo-1.0.0.crate", "");
    let archive = ground.nginx.root().join("crates/tide-demo-1.0.0.crate");
    assert_success(&run(program("tar").arg("czf").arg(&archive).arg("tide-demo-1.0.0").current_dir(ground.path()), "tar"));
    let sum = run(program("sha256sum").arg(&archive), "coreutils").stdout;
    let sum = sum.split(' ').next().unwrap_or_default();
    ground.nginx.put("index/config.json", format!("{{\"dl\": \"{base}/crates/{{crate}}-{{version}}.crate\"}}"));
    let entry =
        format!("{{\"name\":\"tide-demo\",\"vers\":\"1.0.0\",\"deps\":[],\"cksum\":\"{sum}\",\"features\":{{}},\"yanked\":false}}\n");
    ground.nginx.put("index/ti/de/tide-demo", entry);
    assert_success(&cargo(ground, &base));
}

#[test]
fn cargo_both_ways() {
    for secure in [true, false] {
        let ground = Ground::new();
        cargo_works(&ground, secure);
        let (base, says) =
            if secure { (ground.https("evil.test"), "CONNECT tunnel failed, response 403") } else { (ground.http("evil.test"), "403") };
        assert_failure(&cargo(&ground, &base), says);
        ground.assert_refused_evil();
    }
}

// ── git

fn git(ground: &Ground, arguments: &[&str]) -> Ran {
    let identity = ["-c", "user.name=t", "-c", "user.email=t@t.test", "-c", "init.defaultBranch=main"];
    let mut command = ground.client("git");
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null").env("GIT_TERMINAL_PROMPT", "0");
    run(command.args(identity).args(arguments), "git")
}

/// Clones a repository both ways.
pub(crate) fn git_works(ground: &Ground) {
    let bare = ground.nginx.root().join("repository.git").display().to_string();
    if !Path::new(&bare).exists() {
        assert_success(&git(ground, &["init", "source"]));
        assert_success(&git(ground, &["-C", "source", "commit", "--allow-empty", "-m", "first"]));
        assert_success(&git(ground, &["clone", "--bare", "source", &bare]));
        assert_success(&git(ground, &["-C", &bare, "update-server-info"]));
    }
    for (number, base) in [ground.https("pkg.test"), ground.http("pkg.test")].iter().enumerate() {
        let clone = format!("clone-{number}");
        assert_success(&git(ground, &["clone", &format!("{base}/repository.git"), &clone]));
        assert!(git(ground, &["-C", &clone, "log", "--format=%s"]).stdout.contains("first"));
    }
}

#[test]
fn git_both_ways() {
    let ground = Ground::new();
    git_works(&ground);
    let refused = |base: String| git(&ground, &["clone", &format!("{base}/repository.git"), "refused"]);
    assert_failure(&refused(ground.https("evil.test")), "CONNECT tunnel failed, response 403");
    assert_failure(&refused(ground.http("evil.test")), "The requested URL returned error: 403");
    ground.assert_refused_evil();
}

#[test]
fn git_finds_out_that_a_session_is_required_and_asks_again() {
    let pki = Pki::for_names(&["pkg.test"]);
    let nginx = Nginx::start(&pki);
    let token = "first-token-0123456789abcdef0123456789";
    let dns = Dns::loopback();
    let policy = format!("allow = [{{ host = \"pkg.test:{}\", tls = true }}]\n[addresses]\nallow = [\"127.0.0.0/8\"]", nginx.https());
    let gate = Setup::new(policy).dns(dns.address()).listen("require_session = true").session("s1", token, "").start();
    let directory = tempfile::tempdir().unwrap();
    let ground = Ground { gate, nginx, pki, directory };
    let bare = ground.nginx.root().join("repository.git").display().to_string();
    assert_success(&git(&ground, &["init", "source"]));
    assert_success(&git(&ground, &["-C", "source", "commit", "--allow-empty", "-m", "first"]));
    assert_success(&git(&ground, &["clone", "--bare", "source", &bare]));
    assert_success(&git(&ground, &["-C", &bare, "update-server-info"]));
    let url = format!("{}/repository.git", ground.https("pkg.test"));
    let proxy = format!("http.proxy=http://x:{token}@{}", ground.gate.proxy());
    assert_success(&git(&ground, &["-c", &proxy, "clone", &url, "clone"]));
    let proxy = format!("http.proxy=http://x:wrong@{}", ground.gate.proxy());
    assert_failure(&git(&ground, &["-c", &proxy, "clone", &url, "refused"]), "407");
}
