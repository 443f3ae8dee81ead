//! Bodies that are much larger than the memory they take, there and back.

use std::{
    fs::File,
    time::{Duration, Instant},
};

use crate::harness::{
    Pki, Script,
    program::{Ran, run_for},
    script::node,
    ways::{HOST, Passage, Way},
};

const RULE: &str = "[[rule]]\nname = \"all of it\"\nhosts = [\"HOST\"]\nmethods = [\"GET\", \"PUT\"]\npaths = [\"/**\"]\n";

/// Counts what it is sent and keeps none of it; sends as many bytes as the path says.
const ORIGIN: &str = r"
const fs = require('fs'), http = require('http'), http2 = require('http2');
const [kind, key, certificate] = process.argv.slice(2);
const piece = Buffer.alloc(1 << 20);
const answer = (request, response) => {
  let count = 0;
  if (request.method === 'PUT') {
    request.on('data', (data) => { count += data.length; }).on('end', () => response.end(`${request.httpVersion} ${count}`));
    return;
  }
  const size = Number(request.url.slice(1));
  response.writeHead(200, { 'content-length': size });
  const more = () => {
    while (count < size) {
      const next = piece.subarray(0, Math.min(piece.length, size - count));
      count += next.length;
      if (!response.write(next)) return response.once('drain', more);
    }
    response.end();
  };
  more();
};
const tls = () => ({ allowHTTP1: true, key: fs.readFileSync(key), cert: fs.readFileSync(certificate) });
const server = kind === 'h2' ? http2.createSecureServer(tls(), answer) : kind === 'tls' ? require('https').createServer(tls(), answer)
  : http.createServer(answer);
server.listen(0, '127.0.0.1', () => console.log('listening ' + server.address().port));
";

/// An origin that speaks `kind`, the way to it, and a file of this size that takes no room.
struct Ground {
    _origin: Script,
    passage: Passage,
    file: tempfile::NamedTempFile,
    size: u64,
}

impl Ground {
    fn new(way: Way, kind: &str, size: u64) -> Self {
        let pki = Pki::for_names(&[HOST]);
        let mut command = node(ORIGIN);
        command.arg(kind).arg(pki.key()).arg(pki.certificate());
        let mut origin = Script::start(command);
        let passage = Passage::open(way, &pki, origin.port(), RULE);
        let file = tempfile::NamedTempFile::new().expect("a file");
        File::set_len(file.as_file(), size).expect("a large file");
        Self { _origin: origin, passage, file, size }
    }

    fn curl(&self, version: &str, arguments: &[&str], path: &str) -> Ran {
        let mut curl = self.passage.curl(&[version, "--max-time", "600", "--fail"]);
        run_for(curl.args(arguments).arg(self.passage.url(path)), "curl", Duration::from_secs(600))
    }

    /// Up with its length announced and down again; the origin saw it come by this version of HTTP.
    #[track_caller]
    fn passes(&self, version: &str, by: &str) {
        let (file, began) = (self.file.path().display().to_string(), Instant::now());
        let up = self.curl(version, &["--upload-file", &file], "/");
        assert_eq!(up.stdout, format!("{by} {}", self.size), "{}", up.said);
        let (up, after_up) = (began.elapsed(), self.passage.peak());
        let began = Instant::now();
        let shown = ["--output", "/dev/null", "--write-out", "%{http_code} %{size_download}"];
        let down = self.curl(version, &shown, &format!("/{}", self.size));
        assert_eq!(down.stdout, format!("200 {}", self.size), "{}", down.said);
        let (down, after_down) = (began.elapsed(), self.passage.peak());
        eprintln!("{version} {}: {after_up} KiB and {up:.1?} for the upload, {after_down} KiB and {down:.1?} for the download", self.size);
        assert!(after_up < MOST && after_down < MOST, "{after_up} KiB after the upload, {after_down} KiB after the download");
    }
}

#[test]
fn many_bytes_in_plain_http_take_little_memory() {
    Ground::new(Way::Plain, "plain", MANY).passes("--http1.1", "1.1");
}

#[test]
fn many_bytes_through_an_opaque_tunnel_take_little_memory() {
    Ground::new(Way::Opaque, "h2", MANY).passes("--http2", "2.0");
}

#[test]
fn many_bytes_that_are_intercepted_over_http_1_1_take_little_memory() {
    Ground::new(Way::Intercepted, "tls", MANY).passes("--http1.1", "1.1");
}

#[test]
fn many_bytes_that_are_intercepted_over_http_2_take_little_memory() {
    Ground::new(Way::Intercepted, "h2", MANY).passes("--http2", "2.0");
}

#[test]
#[ignore = "takes minutes: make long"]
fn five_gibibytes_in_plain_http_take_little_memory() {
    Ground::new(Way::Plain, "plain", FIVE_GIB).passes("--http1.1", "1.1");
}

#[test]
#[ignore = "takes minutes: make long"]
fn five_gibibytes_through_an_opaque_tunnel_take_little_memory() {
    Ground::new(Way::Opaque, "h2", FIVE_GIB).passes("--http2", "2.0");
}

#[test]
#[ignore = "takes minutes: make long"]
fn five_gibibytes_that_are_intercepted_over_http_1_1_take_little_memory() {
    Ground::new(Way::Intercepted, "tls", FIVE_GIB).passes("--http1.1", "1.1");
}

#[test]
#[ignore = "takes minutes: make long"]
fn five_gibibytes_that_are_intercepted_over_http_2_take_little_memory() {
    Ground::new(Way::Intercepted, "h2", FIVE_GIB).passes("--http2", "2.0");
}

/// In bytes: many times what the gate may hold.
const MANY: u64 = 512 << 20;
/// More than 32 bits can count.
const FIVE_GIB: u64 = 5 << 30;
/// In KiB.
const MOST: u64 = 64 * 1024;
