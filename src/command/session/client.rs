//! One request to the admin listener of a running proxy, and its answer.

use std::{
    fmt,
    io::{self, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    time::Duration,
};

use serde_json::Value;

use crate::config::Admin;

/// Asks and waits for the answer: what the proxy says in JSON, or what went wrong, in words.
pub(super) fn ask(admin: &Admin, method: &str, path: &str, body: &str) -> Result<Value, Failure> {
    let shown = match admin {
        Admin::Unix(path) => format!("unix:{}", path.display()),
        Admin::Tcp { address, .. } => address.to_string(),
    };
    let answer = exchange(admin, method, path, body).map_err(|error| Failure::Unreachable(shown, error))?;
    read(&answer)
}

fn exchange(admin: &Admin, method: &str, path: &str, body: &str) -> io::Result<Vec<u8>> {
    let mut request =
        format!("{method} {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\nContent-Length: {}\r\n", body.len()).into_bytes();
    if let Admin::Tcp { token, .. } = admin {
        request.extend_from_slice(b"Authorization: Bearer ");
        request.extend_from_slice(token.expose());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    request.extend_from_slice(body.as_bytes());
    match admin {
        Admin::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            converse(stream, &request)
        }
        Admin::Tcp { address, .. } => {
            let stream = TcpStream::connect_timeout(address, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            converse(stream, &request)
        }
    }
}

fn converse(mut stream: impl Read + Write, request: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    Ok(answer)
}

/// The JSON of a success; the sentence of anything else.
fn read(answer: &[u8]) -> Result<Value, Failure> {
    let text = std::str::from_utf8(answer).map_err(|_| Failure::Unreadable)?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or(Failure::Unreadable)?;
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).ok_or(Failure::Unreadable)?;
    let value = serde_json::from_str::<Value>(body);
    match (status.starts_with('2'), value) {
        (true, Ok(value)) => Ok(value),
        (true, Err(_)) => Err(Failure::Unreadable),
        (false, Ok(value)) => {
            Err(Failure::Refused(value.get("error").and_then(Value::as_str).map_or_else(|| body.to_owned(), str::to_owned)))
        }
        (false, Err(_)) => Err(Failure::Refused(body.trim_end().to_owned())),
    }
}

/// Why there is no answer, or not the wanted one.
#[derive(Debug)]
pub(super) enum Failure {
    Unreachable(String, io::Error),
    Unreadable,
    /// The proxy's own words.
    Refused(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(admin, error) => {
                write!(f, "no proxy answers at {admin}: {error}; is it running, with this admin in [listen], and are you its user?")
            }
            Self::Unreadable => f.write_str("what answers is no proxy of this version"),
            Self::Refused(why) => f.write_str(why),
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
/// Most octets of an answer that are read.
const MAX_ANSWER: u64 = 64 * 1024 * 1024;
