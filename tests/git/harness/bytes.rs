//! Requests to the git door byte by byte, and git's answers taken apart.

use std::fmt::Write as _;

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::client::Reply;

/// A line of git's protocol.
pub(crate) fn line(content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    [format!("{:04x}", content.len() + 4).as_bytes(), content].concat()
}

/// `Authorization: Basic …`, as git sends it.
pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Authorization: Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

/// A request whose target, header lines and body are the test's.
pub(crate) fn request(method: &str, target: &str, lines: &[&str], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: gate\r\n");
    for line in lines {
        head += line;
        head += "\r\n";
    }
    if method == "POST" && !lines.iter().any(|line| line.to_ascii_lowercase().starts_with("transfer-encoding")) {
        let _ = write!(head, "Content-Length: {}\r\n", body.len());
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

/// A body in chunks of so many octets.
pub(crate) fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let chunks = body.chunks(size).flat_map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
    chunks.chain(*b"0\r\n\r\n").collect()
}

pub(crate) const PUSH_TYPE: &str = "Content-Type: application/x-git-receive-pack-request";
pub(crate) const FETCH_TYPE: &str = "Content-Type: application/x-git-upload-pack-request";

/// What a git without extensions asks for.
pub(crate) const CAPABILITIES: &str = " report-status side-band-64k object-format=sha1 agent=git/2.47.3";

/// No object.
pub(crate) const ZERO: &str = "0000000000000000000000000000000000000000";

/// A pack without objects.
pub(crate) const EMPTY_PACK: &[u8] =
    b"PACK\0\0\0\x02\0\0\0\0\x02\x9d\x08\x82\x3b\xd8\xa8\xea\xb5\x10\xad\x6a\xc7\x5c\x82\x3c\xfd\x3e\xd3\x1e";

/// The body of a push with these commands, capabilities behind the first, and an empty pack.
pub(crate) fn push_body(commands: &[String], capabilities: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for (number, command) in commands.iter().enumerate() {
        body.extend(line(if number == 0 { format!("{command}\0{capabilities}") } else { command.clone() }));
    }
    body.extend_from_slice(b"0000");
    body.extend_from_slice(EMPTY_PACK);
    body
}

/// The lines of a sequence of them; a flush is an empty one.
#[track_caller]
pub(crate) fn lines(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let digits = std::str::from_utf8(&bytes[..4]).expect("digits");
        let length = usize::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("a length: {digits:?}")).max(4);
        found.push(bytes[4..length].to_vec());
        bytes = &bytes[length..];
    }
    found
}

/// An answer to a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    /// The lines of the report, without line feeds.
    pub(crate) lines: Vec<String>,
    /// What git prints after `remote: `.
    pub(crate) advice: String,
}

/// Takes an answer in bands apart, as git does.
#[track_caller]
pub(crate) fn report(reply: &Reply) -> Report {
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("application/x-git-receive-pack-result"), "{reply:?}");
    let (mut data, mut advice) = (Vec::new(), String::new());
    for packet in lines(&reply.body) {
        match packet.split_first() {
            Some((1, rest)) => data.extend_from_slice(rest),
            Some((2, rest)) => advice += &String::from_utf8_lossy(rest),
            Some(other) => panic!("no band: {other:?} in \"{}\"", reply.body.escape_ascii()),
            None => {}
        }
    }
    assert!(reply.body.ends_with(b"0000"), "the outer flush: \"{}\"", reply.body.escape_ascii());
    Report { lines: plain_report(&data), advice }
}

/// The lines of a report that is not in bands.
#[track_caller]
pub(crate) fn plain_report(body: &[u8]) -> Vec<String> {
    assert!(body.ends_with(b"0000"), "a flush ends it: \"{}\"", body.escape_ascii());
    let packets = lines(body).into_iter().filter(|packet| !packet.is_empty());
    packets.map(|packet| String::from_utf8(packet).expect("text").trim_end_matches('\n').to_owned()).collect()
}

/// Octets that no compression makes fewer.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}
