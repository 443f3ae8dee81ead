//! Ranges, resumption, uploads that ask first, and the clients of Python.

use std::fs;

use crate::harness::{
    Nginx, Pki, Script,
    nghttpx::Nghttpx,
    program::{Ran, run},
    script::{node, python},
    ways::{HOST, Passage, Way},
};

const RULE: &str = "[[rule]]\nname = \"all of it\"\nhosts = [\"HOST\"]\nmethods = [\"GET\", \"HEAD\", \"PUT\"]\npaths = [\"/v1/**\"]\n";
const WAYS: [(Way, &str); 5] = [
    (Way::Plain, "--http1.1"),
    (Way::Opaque, "--http1.1"),
    (Way::Opaque, "--http2"),
    (Way::Intercepted, "--http1.1"),
    (Way::Intercepted, "--http2"),
];

/// nginx with one large file, and the way to it.
struct Ground {
    _nginx: Nginx,
    passage: Passage,
    content: Vec<u8>,
}

impl Ground {
    fn new(way: Way) -> Self {
        let pki = Pki::for_names(&[HOST]);
        let nginx = Nginx::start(&pki);
        let content: Vec<u8> = (0..2_000_000_u32).flat_map(u32::to_le_bytes).collect();
        nginx.put("v1/large", &content).put("v1/letters", "abcdefghijklmnopqrstuvwxyz");
        let port = if way == Way::Plain { nginx.http() } else { nginx.https() };
        Self { passage: Passage::open(way, &pki, port, RULE), _nginx: nginx, content }
    }

    fn curl(&self, version: &str, arguments: &[&str], path: &str) -> Ran {
        run(self.passage.curl(&[version]).args(arguments).arg(self.passage.url(path)), "curl")
    }

    /// The status of the answer, one field of it and its body.
    #[track_caller]
    fn shown(&self, version: &str, arguments: &[&str], field: &str) -> (u16, String, String) {
        let ran = self.curl(version, &[&["--include", "--suppress-connect-headers"], arguments].concat(), "/v1/letters");
        let (head, body) = ran.stdout.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{}", ran.said));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        let mut fields = head.lines().filter_map(|line| line.split_once(": "));
        let value = fields.find(|(name, _)| name.eq_ignore_ascii_case(field)).map_or("", |(_, value)| value);
        (status, value.to_owned(), body.to_owned())
    }
}

#[test]
fn ranges_are_what_was_asked_for() {
    for (way, version) in WAYS {
        let ground = Ground::new(way);
        let shown = |arguments: &[&str], field| ground.shown(version, arguments, field);
        let expect = |status, value: &str, body: &str| (status, value.to_owned(), body.to_owned());
        assert_eq!(shown(&["--range", "3-5"], "content-range"), expect(206, "bytes 3-5/26", "def"), "{way:?} {version}");
        assert_eq!(shown(&["--range", "-2"], "content-range"), expect(206, "bytes 24-25/26", "yz"), "{way:?} {version}");
        let (status, beyond, _) = shown(&["--range", "26-"], "content-range");
        assert_eq!((status, beyond.as_str()), (416, "bytes */26"), "{way:?} {version}");
        let (status, kind, body) = shown(&["--range", "0-1,24-25"], "content-type");
        assert!(status == 206 && kind.starts_with("multipart/byteranges; boundary="), "{way:?} {version}: {status} {kind}");
        assert!(body.contains("bytes 0-1/26\r\n\r\nab\r\n") && body.contains("bytes 24-25/26\r\n\r\nyz\r\n"), "{way:?} {version}: {body}");
        let (_, tag, whole) = shown(&[], "etag");
        let same = format!("If-Range: {tag}");
        assert_eq!(shown(&["--range", "0-0", "--header", &same], "content-range"), expect(206, "bytes 0-0/26", "a"), "{way:?} {version}");
        let changed = ["--range", "0-0", "--header", "If-Range: \"other\""];
        assert_eq!(shown(&changed, "content-range"), expect(200, "", &whole), "{way:?} {version}");
    }
}

#[test]
fn a_download_is_resumed() {
    for (way, version) in WAYS {
        let ground = Ground::new(way);
        let out = tempfile::NamedTempFile::new().expect("a file");
        fs::write(out.path(), &ground.content[..3_000_001]).expect("the beginning");
        let path = out.path().display().to_string();
        let shown = ["--continue-at", "-", "--output", &path, "--write-out", "%{http_code} %{size_download}"];
        let ran = ground.curl(version, &shown, "/v1/large");
        assert_eq!(ran.stdout, format!("206 {}", ground.content.len() - 3_000_001), "{way:?} {version}: {}", ran.said);
        assert!(fs::read(out.path()).expect("the file") == ground.content, "{way:?} {version}");
    }
}

#[test]
fn what_nghttpx_serves_passes_many_at_once() {
    let pki = Pki::for_names(&[HOST]);
    let nginx = Nginx::start(&pki);
    let nghttpx = Nghttpx::start(&pki, nginx.http());
    let numbers = 0..60;
    for number in numbers.clone() {
        nginx.put(&format!("v1/{number}"), format!("{number},").repeat(50_000));
    }
    for version in ["--http1.1", "--http2"] {
        let passage = Passage::open(Way::Intercepted, &pki, nghttpx.port(), RULE);
        let out = tempfile::tempdir().expect("a directory");
        let arguments = [version, "--parallel", "--parallel-max", "60", "--fail", "--output", "#1", &passage.url("/v1/[0-59]")];
        let ran = run(passage.curl(&arguments).current_dir(out.path()), "curl");
        assert!(ran.success, "{version}: {}", ran.said);
        for number in numbers.clone() {
            let arrived = fs::read_to_string(out.path().join(number.to_string())).expect("a file");
            assert!(arrived == format!("{number},").repeat(50_000), "{version}: {number}");
        }
        let asked = passage.gate.records().into_iter().filter(|record| record["kind"] == "http" && record["verdict"] == "allow");
        assert_eq!(asked.count(), 60, "{version}");
    }
}

/// Answers with what it was sent, over HTTP/1.1 alone.
const ECHO: &str = r"
const fs = require('fs');
const [kind, key, certificate] = process.argv.slice(2);
const answer = (request, response) => request.pipe(response);
const server = kind === 'plain' ? require('http').createServer(answer)
  : require('https').createServer({ key: fs.readFileSync(key), cert: fs.readFileSync(certificate) }, answer);
server.listen(0, '127.0.0.1', () => console.log('listening ' + server.address().port));
";

/// The client sends nothing of the body before it is told to: what is not answered with 100 takes longer than the test waits.
#[test]
fn an_upload_that_asks_first_is_told_to_go_on_where_it_may() {
    for way in [Way::Plain, Way::Opaque, Way::Intercepted] {
        let pki = Pki::for_names(&[HOST]);
        let mut command = node(ECHO);
        command.arg(if way == Way::Plain { "plain" } else { "tls" }).arg(pki.key()).arg(pki.certificate());
        let mut origin = Script::start(command);
        let passage = Passage::open(way, &pki, origin.port(), RULE);
        let upload = |url: &str| {
            let asking = ["--http1.1", "--verbose", "--expect100-timeout", "1000", "--header", "Expect: 100-continue"];
            run(passage.curl(&asking).args(["--request", "PUT", "--data", "the body", url]), "curl")
        };
        let passed = upload(&passage.url("/v1/x"));
        assert!(passed.stdout == "the body" && passed.said.contains("< HTTP/1.1 100 Continue"), "{way:?}: {}", passed.said);
        let refused = match way {
            Way::Plain => upload("http://other.test/"),
            Way::Opaque => continue,
            Way::Intercepted => upload(&passage.url("/v2/x")),
        };
        assert!(refused.said.contains("< HTTP/1.1 403") && !refused.said.contains("100 Continue"), "{way:?}: {}", refused.said);
    }
}

const PYTHON: &str = r"
import http.client, ssl, sys, urllib.request
from urllib.parse import urlsplit
proxy, root, url = sys.argv[1:4]
trusting, to = ssl.create_default_context(cafile=root), urlsplit(url)

schemes = {'http': proxy, 'https': proxy}
opener = urllib.request.build_opener(urllib.request.ProxyHandler(schemes), urllib.request.HTTPSHandler(context=trusting))
with opener.open(url, timeout=60) as answer:
    print('urllib', answer.status, answer.read().decode())

gate = urlsplit(proxy)
if to.scheme == 'https':
    connection = http.client.HTTPSConnection(gate.hostname, gate.port, context=trusting, timeout=60)
    connection.set_tunnel(to.hostname, to.port)
    target = to.path
else:
    connection, target = http.client.HTTPConnection(gate.hostname, gate.port, timeout=60), url
for _ in range(2):
    connection.request('GET', target)
    answer = connection.getresponse()
    print('http.client', answer.status, answer.read().decode())
";

#[test]
fn the_clients_of_python_pass() {
    for way in [Way::Plain, Way::Opaque, Way::Intercepted] {
        let ground = Ground::new(way);
        let arguments = [ground.passage.proxy(), ground.passage.root(), ground.passage.url("/v1/letters")];
        let ran = run(python(PYTHON).args(arguments), "python3");
        let letters = "abcdefghijklmnopqrstuvwxyz";
        assert_eq!(
            ran.stdout,
            format!("urllib 200 {letters}\nhttp.client 200 {letters}\nhttp.client 200 {letters}\n"),
            "{way:?}: {}",
            ran.said
        );
    }
}
