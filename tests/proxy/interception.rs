//! Interception with real clients and a real origin: what is read inside TLS, and what goes on from there.

use std::process::Command;

use crate::harness::{
    Dns, Nginx, Pki, Setup, Tidegate,
    client::ask,
    eventually,
    program::{Ran, program, run},
};

const KEY: &str = "sk-real-0123456789abcdef0123456789";

/// A proxy that intercepts `api.test` and passes `pinned.test` on as it is, both served by one nginx.
pub(crate) struct Ground {
    pub(crate) gate: Tidegate,
    nginx: Nginx,
    pki: Pki,
    root: tempfile::NamedTempFile,
}

impl Ground {
    pub(crate) fn new(more: &str) -> Self {
        Self::over(Pki::for_names(&["api.test", "pinned.test"]), more)
    }

    fn over(pki: Pki, more: &str) -> Self {
        let nginx = Nginx::start(&pki);
        nginx.put("v1/file", "from nginx").put("v1/long", vec![b'x'; 3 << 20]).put("v2/file", "elsewhere");
        let port = nginx.https();
        let entry = |host: &str| format!("{{ host = \"{host}:{port}\", tls = true }}");
        let policy = format!("allow = [{}, {}]\n[addresses]\nallow = [\"127.0.0.0/8\"]\n{more}", entry("api.test"), entry("pinned.test"))
            .replace("PORT", &port.to_string());
        let gate = Setup::new(policy)
            .dns(Dns::loopback().address())
            .tables("[upstream]\nca_file = \"origin-ca.pem\"")
            .file("origin-ca.pem", &std::fs::read_to_string(pki.root()).unwrap())
            .environment("KEY", KEY)
            .start();
        let shown = ask(gate.proxy(), "GET /ca.pem HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(shown.status, 200);
        let root = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(root.path(), shown.text()).unwrap();
        Self { gate, nginx, pki, root }
    }

    pub(crate) fn curl(&self, arguments: &[&str], host: &str, path: &str) -> Ran {
        self.trusting(self.root.path(), arguments, host, path)
    }

    fn trusting(&self, root: &std::path::Path, arguments: &[&str], host: &str, path: &str) -> Ran {
        let mut curl: Command = program("curl");
        curl.args(["--silent", "--show-error", "--include", "--max-time", "20", "--cacert"]).arg(root);
        curl.args(["--proxy", &format!("http://{}", self.gate.proxy())]).args(arguments);
        curl.arg(format!("https://{host}:{}{path}", self.nginx.https()));
        run(&mut curl, "curl")
    }
}

const RULE: &str = "[[rule]]\nname = \"reading v1\"\nhosts = [\"api.test:PORT\"]\nmethods = [\"GET\", \"HEAD\"]\npaths = [\"/v1/**\"]\n";
const CREDENTIAL: &str = "[[credential]]\nhosts = [\"api.test:PORT\"]\nheader = \"x-api-key\"\nvalue = { env = \"KEY\" }\n";

#[test]
fn what_a_rule_allows_arrives_over_http_1_1_and_http_2() {
    let ground = Ground::new(RULE);
    for (version, shown) in [("--http1.1", "HTTP/1.1 200"), ("--http2", "HTTP/2 200")] {
        let ran = ground.curl(&[version], "api.test", "/v1/file");
        assert!(ran.stdout.contains(shown) && ran.stdout.ends_with("from nginx"), "{}{}", ran.stdout, ran.said);
        let long = ground.curl(&[version, "--output", "/dev/null", "--write-out", "%{http_code} %{size_download}"], "api.test", "/v1/long");
        assert!(long.stdout.ends_with("200 3145728"), "{}{}", long.stdout, long.said);
        // The upstream speaks its own version, whatever the client does.
        let mirrored = ground.curl(&[version], "api.test", "/v1/mirror");
        assert!(mirrored.stdout.contains(&format!("HTTP/2.0 host=api.test:{}", ground.nginx.https())), "{}", mirrored.stdout);
    }
    let record = ground.gate.wait_for_record(|record| record["kind"] == "http");
    assert_eq!((record["path"].as_str(), record["verdict"].as_str()), (Some("/v1/file"), Some("allow")));
}

#[test]
fn what_a_rule_refuses_is_told_inside_and_never_asked_for() {
    let ground = Ground::new(RULE);
    for version in ["--http1.1", "--http2"] {
        for (arguments, path, reason) in [
            (&["--request", "POST", "--data", "x"][..], "/v1/file", "method_not_allowed"),
            (&[], "/v2/file", "path_not_allowed"),
            (&["--path-as-is"], "/v1/../v2/file", "bad_request"),
            (&["--path-as-is"], "/v1/%2e%2e/v2/file", "bad_request"),
            (&["--header", "Host: pinned.test"], "/v1/file", "misdirected"),
        ] {
            let ran = ground.curl(&[&[version], arguments].concat(), "api.test", path);
            assert!(ran.stdout.contains(&format!("x-deny-reason: {reason}\r\n")), "{version} {path}: {}{}", ran.stdout, ran.said);
            assert!(!ran.stdout.contains("elsewhere") && !ran.stdout.contains("from nginx"), "{}", ran.stdout);
        }
    }
    let served = std::fs::read_to_string(ground.nginx.root().parent().unwrap().join("access.log")).unwrap_or_default();
    assert_eq!(served, "", "the origin was asked");
}

#[test]
fn a_host_that_nothing_asks_to_intercept_shows_its_own_certificate() {
    let ground = Ground::new(RULE);
    let through = ground.trusting(&ground.pki.root(), &[], "pinned.test", "/v2/file");
    assert!(through.stdout.ends_with("elsewhere"), "{}{}", through.stdout, through.said);
    // Nobody who trusts the origin alone takes a leaf of ours for it.
    let refused = ground.trusting(&ground.pki.root(), &[], "api.test", "/v1/file");
    assert!(!refused.success && !refused.stdout.contains("from nginx"), "{}", refused.stdout);
}

#[test]
fn threat_92_the_real_key_goes_up_and_the_sandbox_s_own_does_not() {
    let ground = Ground::new(CREDENTIAL);
    for version in ["--http1.1", "--http2"] {
        let own = ["--header", "X-Api-Key: stolen", "--header", "Authorization: Bearer stolen"];
        let ran = ground.curl(&[&[version], &own[..]].concat(), "api.test", "/v1/mirror");
        // The origin shows what it got; the real key is masked on its way back, letter by letter.
        let masked = "*".repeat(KEY.len());
        assert!(ran.stdout.contains(&format!("key={masked} authorization= ")), "{}{}", ran.stdout, ran.said);
        assert!(ran.stdout.to_ascii_lowercase().contains(&format!("x-mirrored: {masked}")), "{}", ran.stdout);
        assert!(!ran.stdout.contains("stolen") && !ran.stdout.contains(KEY), "{}", ran.stdout);
    }
    for text in [ground.gate.stderr(), std::fs::read_to_string(ground.gate.path("audit.jsonl")).unwrap()] {
        assert!(!text.contains(KEY), "{text}");
    }
}

#[test]
fn with_pin_a_credential_of_the_sandbox_s_own_is_refused() {
    let ground = Ground::new(&format!("{CREDENTIAL}pin = true\n"));
    let refused = ground.curl(&["--header", "X-Api-Key: stolen"], "api.test", "/v1/mirror");
    assert!(refused.stdout.contains("x-deny-reason: credential_not_allowed"), "{}{}", refused.stdout, refused.said);
    let passed = ground.curl(&[], "api.test", "/v1/mirror");
    assert!(passed.stdout.contains("key=***") && !passed.stdout.contains(KEY), "{}", passed.stdout);
}

#[test]
fn threat_44_a_bad_certificate_is_told_and_not_hidden_behind_a_good_leaf() {
    let ground = Ground::over(Pki::for_names(&["other.test"]), RULE);
    let ran = ground.curl(&[], "api.test", "/v1/file");
    assert!(ran.stdout.contains(" 502") && ran.stdout.contains("x-deny-reason: tls_failed"), "{}{}", ran.stdout, ran.said);
    assert!(ran.stdout.contains("certificate for another name"), "{}", ran.stdout);
}

#[test]
fn roots_that_change_are_trusted_without_a_restart() {
    let ground = Ground::new(RULE);
    let own = std::fs::read_to_string(ground.pki.root()).unwrap();
    let put = |root: &str| {
        let before = ground.gate.metric("tidegate_policy_generation");
        std::fs::write(ground.gate.path("origin-ca.pem"), root).unwrap();
        eventually("the roots are read again", || ground.gate.metric("tidegate_policy_generation") > before);
        ground.curl(&[], "api.test", "/v1/file").stdout
    };
    let strange = std::fs::read_to_string(Pki::for_names(&["api.test"]).root()).unwrap();
    let refused = put(&strange);
    assert!(refused.contains("x-deny-reason: tls_failed"), "{refused}");
    let passed = put(&own);
    assert!(passed.ends_with("from nginx"), "{passed}");
}
