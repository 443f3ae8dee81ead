//! What `tidegate env` prints, as real clients take it: evaluated by a real shell, it leads them through the gate and lets them trust it.

use std::{
    fs,
    process::{Command, Output},
};

use crate::harness::{
    Client, Nginx, Pki, Setup,
    client::get,
    program::{Ran, program, run},
    tidegate::TIDEGATE,
    ways::{HOST, Passage, Way},
};

const RULE: &str = "[[rule]]\nname = \"all of it\"\nhosts = [\"HOST\"]\nmethods = [\"GET\", \"HEAD\"]\npaths = [\"/**\"]\n";

/// nginx behind a gate that reads what is said to it, and a home with nothing in it.
struct Ground {
    nginx: Nginx,
    passage: Passage,
    home: tempfile::TempDir,
}

impl Ground {
    #[track_caller]
    fn new() -> Self {
        let pki = Pki::for_names(&[HOST]);
        let nginx = Nginx::start(&pki);
        nginx.put("file", "from nginx");
        let passage = Passage::open(Way::Intercepted, &pki, nginx.https(), RULE);
        Self { nginx, passage, home: tempfile::tempdir().expect("a directory") }
    }

    /// A client in a shell that took what `tidegate env` prints.
    fn told(&self, client: &str) -> Command {
        let mut shell = program("sh");
        shell.env("HOME", self.home.path()).env_remove("JAVA_TOOL_OPTIONS").current_dir(self.home.path());
        shell.args(["-c", "told=$(\"$0\" env --config \"$1\" --proxy \"$2\") && eval \"$told\" && shift 2 && exec \"$@\"", TIDEGATE]);
        shell.arg(self.passage.gate.path("tidegate.toml")).arg(self.passage.proxy()).arg(client);
        shell
    }

    /// It succeeded, and what it asked for was read on its way.
    #[track_caller]
    fn assert_read(&self, ran: &Ran, path: &str) {
        assert!(ran.success, "{}", ran.said);
        self.passage.gate.wait_for_record(|record| record["kind"] == "http" && record["path"] == path && record["verdict"] == "allow");
    }
}

/// A6: one bundle, by the variables of each client.
#[test]
fn curl_wget_and_urllib_find_the_proxy_and_trust_it() {
    let ground = Ground::new();
    let url = ground.passage.url("/file");
    let python = "import sys, urllib.request; sys.stdout.write(urllib.request.urlopen(sys.argv[1]).read().decode())";
    for (client, package, arguments) in [
        ("curl", "curl", &["-sS", &url][..]),
        ("wget", "wget", &["-q", "-O", "-", "--tries=1", &url]),
        ("python3", "python3", &["-c", python, &url]),
    ] {
        let ran = run(ground.told(client).args(arguments), package);
        assert_eq!(ran.stdout, "from nginx", "{client}: {}", ran.said);
        ground.assert_read(&ran, "/file");
    }
}

#[test]
fn git_clones_through_the_gate() {
    let ground = Ground::new();
    let git = |arguments: &[&str]| {
        let ran = run(program("git").args(arguments).env("HOME", ground.home.path()).current_dir(ground.home.path()), "git");
        assert!(ran.success, "{}", ran.said);
    };
    let bare = ground.nginx.root().join("repository.git").display().to_string();
    git(&["init", "-q", "source"]);
    git(&["-C", "source", "-c", "user.name=t", "-c", "user.email=t@t.test", "commit", "-q", "--allow-empty", "-m", "first"]);
    git(&["clone", "-q", "--bare", "source", &bare]);
    git(&["-C", &bare, "update-server-info"]);
    let ran = run(ground.told("git").args(["clone", &ground.passage.url("/repository.git"), "clone"]), "git");
    ground.assert_read(&ran, "/repository.git/info/refs");
}

#[test]
fn npm_and_pip_download_through_the_gate() {
    let ground = Ground::new();
    ground.nginx.put(
        "tide-demo",
        "{\"name\": \"tide-demo\", \"dist-tags\": {\"latest\": \"1.0.0\"}, \
         \"versions\": {\"1.0.0\": {\"name\": \"tide-demo\", \"version\": \"1.0.0\"}}}",
    );
    let ran = run(
        ground.told("npm").args(["view", "tide-demo", "version", "--fetch-retries", "0", "--registry", &ground.passage.url("/")]),
        "npm",
    );
    assert_eq!(ran.stdout.trim(), "1.0.0", "{}", ran.said);
    ground.assert_read(&ran, "/tide-demo");
    ground.nginx.put("simple/tide-demo/index.html", "<!DOCTYPE html><a href=\"tide_demo-1.0.zip\">tide_demo-1.0.zip</a>");
    let index = ground.passage.url("/simple/");
    let ran = run(
        ground.told("python3").args([
            "-m",
            "pip",
            "--disable-pip-version-check",
            "index",
            "versions",
            "--retries",
            "0",
            "--index-url",
            &index,
            "tide-demo",
        ]),
        "python3-pip",
    );
    assert!(ran.stdout.contains("Available versions: 1.0"), "{}", ran.said);
    ground.assert_read(&ran, "/simple/tide-demo/");
}

/// What agents of Node do that read the variables themselves: CONNECT, and then TLS by what Node trusts.
const NODE: &str = r"
const [http, https] = [require('http'), require('https')];
const [proxy, url] = [new URL(process.env.https_proxy), new URL(process.argv[2])];
const asked = http.request({ host: proxy.hostname, port: proxy.port, method: 'CONNECT', path: url.host, headers: { host: url.host } });
asked.on('connect', (answer, socket) => {
  const createConnection = () => require('tls').connect({ socket, servername: url.hostname });
  https.get(url, { createConnection }, answer => answer.pipe(process.stdout));
});
asked.end();
";

#[test]
fn node_trusts_the_proxy() {
    let ground = Ground::new();
    let ran = run(ground.told("node").args(["-e", NODE, "--", "-", &ground.passage.url("/file")]), "nodejs");
    assert_eq!(ran.stdout, "from nginx", "{}", ran.said);
    ground.assert_read(&ran, "/file");
}

/// Both clients of the JDK, which read no variable of their own.
const JAVA: &str = r#"
import java.net.*;
import java.net.http.*;
public class Fetch {
    public static void main(String[] arguments) throws Exception {
        URI uri = URI.create(arguments[0]);
        System.out.write(uri.toURL().openStream().readAllBytes());
        HttpRequest request = HttpRequest.newBuilder(uri).build();
        System.out.print(" and " + HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).body());
    }
}
"#;

#[test]
fn the_jvm_finds_the_proxy_and_trusts_it() {
    let ground = Ground::new();
    fs::write(ground.home.path().join("Fetch.java"), JAVA).expect("a file");
    let ran = run(ground.told("java").args(["Fetch.java", &ground.passage.url("/file")]), "default-jdk-headless");
    assert_eq!(ran.stdout, "from nginx and from nginx", "{}", ran.said);
    ground.assert_read(&ran, "/file");
}

/// C8: what is reached without the proxy is this machine and nothing else, whatever the caller's own exceptions are.
#[test]
fn this_machine_is_reached_without_the_proxy() {
    let ground = Ground::new();
    let before = ground.passage.gate.records().len();
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("http://{host}:{}/file", ground.nginx.http());
        assert_eq!(run(ground.told("curl").args(["-sS", &url]), "curl").stdout, "from nginx", "{host}");
    }
    assert_eq!(ground.passage.gate.records().len(), before);
    let refused = run(ground.told("curl").env("NO_PROXY", "*").env("no_proxy", "*").args(["-sS", "https://evil.test/"]), "curl");
    assert!(!refused.success && refused.said.contains("403"), "{}", refused.said);
    let record = ground.passage.gate.wait_for_record(|record| record["verdict"] == "deny");
    assert_eq!((record["host"].as_str(), record["reason"].as_str()), (Some("evil.test"), Some("host_not_allowed")), "{record:#}");
}

/// Runs `tidegate env` with an environment that names no proxy.
fn env(arguments: &[&str]) -> Output {
    program(TIDEGATE).arg("env").args(arguments).output().expect("tidegate starts")
}

/// What it says where it prints nothing.
#[track_caller]
fn refused(arguments: &[&str]) -> String {
    let output = env(arguments);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), &[][..]), "{arguments:?}");
    String::from_utf8(output.stderr).expect("text")
}

#[test]
fn a_proxy_that_asks_for_a_token_is_shown_it() {
    let token = "first-token-0123456789abcdef0123456789";
    let gate = Setup::new("").listen("require_session = true").session("s1", token, "").start();
    let (config, file) = (gate.path("tidegate.toml").display().to_string(), gate.path("s1.token").display().to_string());
    let proxy = format!("http://{}", gate.proxy());
    let said = refused(&["--config", &config, "--proxy", &proxy]);
    assert!(said.contains("asks for the token of a session"), "{said}");
    let output = env(&["--config", &config, "--proxy", &proxy, "--token-file", &file, "--format", "json"]);
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(told["https_proxy"], format!("http://x:{token}@{}", gate.proxy()));
    let with =
        |variable: &str| run(program("curl").env("http_proxy", variable).args(["-sS", "http://tidegate.internal/session"]), "curl").stdout;
    assert!(with(told["http_proxy"].as_str().expect("a URL")).contains("s1"));
    assert!(with(&proxy).contains("session_required"));
    assert!(!Client::connect(gate.proxy()).send(get("tidegate.internal")).reply().text().contains(token));
}

#[test]
fn what_is_not_known_is_asked_for() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = |listen: &str| {
        let path = directory.path().join("tidegate.toml");
        // What else is in a configuration is nothing to its clients.
        let text = format!(
            "[listen]\n{listen}\n[state]\ndir = \"state\"\n[policy]\nfile = \"absent.toml\"\n\
             [[github]]\nhost = \"github.com\"\ncredential = {{ env = \"ABSENT\" }}\n"
        );
        fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    for (listen, says) in [
        ("proxy = \"127.0.0.1:0\"", "known once it runs"),
        ("proxy = \"0.0.0.0:3128\"\nsession = \"s1\"", "listens on every address"),
        ("git = \"127.0.0.1:3129\"", "no proxy in [listen]"),
    ] {
        let said = refused(&["--config", &config(listen)]);
        assert!(said.contains(says) && said.contains("--proxy"), "{said}");
    }
    let address = refused(&["--config", &config("proxy = \"127.0.0.1:3128\"\n[[github]]\nhost = \"192.0.2.1\"")]);
    assert!(address.contains("this is an address"), "{address}");
    assert!(refused(&[]).contains("--config FILE"), "nothing is guessed");
    assert!(refused(&["--proxy", "http://127.0.0.1:3128"]).contains("--ca FILE"));
    assert!(refused(&["--proxy", "http://x:secret@127.0.0.1:3128", "--ca", "ca.pem"]).contains("--token-file"));
    let output = env(&["--config", &config("proxy = \"127.0.0.1:3128\""), "--format", "docker"]);
    let (told, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.is_empty(), "{said}");
    let bundle = directory.path().join("state/ca/bundle.pem");
    for line in ["HTTPS_PROXY=http://127.0.0.1:3128".to_owned(), format!("SSL_CERT_FILE={}", bundle.display())] {
        assert!(told.lines().any(|told| told == line), "{line} in\n{told}");
    }
    let elsewhere = env(&["--proxy", "http://gate.example:3128", "--ca", "/etc/gate.pem"]);
    let (told, said) = (String::from_utf8_lossy(&elsewhere.stdout), String::from_utf8_lossy(&elsewhere.stderr));
    assert!(told.contains("export SSL_CERT_FILE='/etc/gate.pem'\n") && !told.contains("trustStore"), "{told}");
    assert!(said.contains("there is no /etc/gate.p12"), "{said}");
}

#[test]
fn inside_a_sandbox_what_was_told_is_told_again() {
    let ground = Ground::new();
    let again = run(ground.told(TIDEGATE).args(["env", "--format", "json"]), "tidegate");
    let first = run(ground.told("env").arg("-0"), "coreutils").stdout;
    let told: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&again.stdout).expect(&again.said);
    assert!(told.len() > 30, "{told:?}");
    for (name, value) in told {
        let line = format!("{name}={}", value.as_str().expect("text"));
        assert!(first.split('\0').any(|known| known == line), "{line}");
    }
}
