//! The TLS `ClientHello` that opens a tunnel (RFC 8446, section 4.1.2; RFC 5246, section 7.4.1.2; RFC 6066, section 3).
//!
//! Only as much as judging needs: which name, whether another one is hidden, which protocols. Every length must add up
//! exactly, so that no server can find another name in the same octets.

use std::{fmt, net::IpAddr};

use super::excerpt;
use crate::{
    destination::{DestinationError, Host, Name},
    reason::Reason,
};

/// Most octets of a `ClientHello` with the headers of its records. One with post-quantum shares has about 2 KiB.
pub const MAX_CLIENT_HELLO: usize = 64 * 1024;

/// What a `ClientHello` tells before anything is encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientHello {
    /// The one name of the `server_name` extension, in canonical form.
    pub server_name: Option<Name>,
    /// An Encrypted `ClientHello` is inside, or what is made to look like one; `server_name` is then the outer name.
    pub encrypted: bool,
    /// The protocols of ALPN in the client's order; empty without the extension.
    pub alpn: Vec<Box<[u8]>>,
}

/// [`HelloReader::read`] on a buffer that is seen once.
pub fn parse(buffer: &[u8]) -> Result<Option<ClientHello>, HelloError> {
    HelloReader::default().read(buffer)
}

/// Reads a `ClientHello` from a growing buffer, however it was cut into segments and records.
#[derive(Debug, Default)]
pub struct HelloReader {
    next_record: usize,
    message: Vec<u8>,
}

impl HelloReader {
    /// Reads the `ClientHello` at the beginning of `buffer`, which holds what it held at the last call and what came since.
    /// `None`: it is not whole yet. The message must end where a record ends; octets after that are not looked at.
    pub fn read(&mut self, buffer: &[u8]) -> Result<Option<ClientHello>, HelloError> {
        let window = &buffer[..buffer.len().min(MAX_CLIENT_HELLO)];
        while let Some(fragment) = next_fragment(window.get(self.next_record..).unwrap_or_default(), self.next_record == 0)? {
            self.next_record += RECORD_HEADER + fragment.len();
            self.message.extend_from_slice(fragment);
            if let Some(body) = whole_message(&self.message)? {
                return parse_body(body).map(Some);
            }
        }
        if window.len() == MAX_CLIENT_HELLO { Err(HelloError::TooLong) } else { Ok(None) }
    }
}

/// The content of the handshake record at the beginning of `bytes`, if it is whole.
fn next_fragment(bytes: &[u8], first: bool) -> Result<Option<&[u8]>, HelloError> {
    if let Some(wrong) = bytes.iter().zip([HANDSHAKE, MAJOR_VERSION]).position(|(&byte, expected)| byte != expected) {
        return Err(if first { HelloError::NotTls(excerpt(&bytes[..=wrong])) } else { HelloError::Malformed("record header") });
    }
    let [_, _, _, high, low, content @ ..] = bytes else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    if !(1..=MAX_RECORD).contains(&length) {
        return Err(HelloError::Malformed("record length"));
    }
    Ok(content.get(..length))
}

/// The body of the handshake message, if it is whole.
fn whole_message(message: &[u8]) -> Result<Option<&[u8]>, HelloError> {
    if message.first().is_some_and(|&kind| kind != CLIENT_HELLO) {
        return Err(HelloError::Malformed("handshake type"));
    }
    let [_, high, middle, low, body @ ..] = message else {
        return Ok(None);
    };
    let length = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
    if length > MAX_CLIENT_HELLO {
        return Err(HelloError::TooLong);
    }
    if body.len() > length {
        return Err(HelloError::Malformed("handshake length"));
    }
    Ok((body.len() == length).then_some(body))
}

fn parse_body(body: &[u8]) -> Result<ClientHello, HelloError> {
    let mut rest = Octets { rest: body, part: "message" };
    if rest.take(2)?.first() != Some(&MAJOR_VERSION) {
        return Err(HelloError::Malformed("version"));
    }
    rest.take(RANDOM)?;
    if rest.vector8("session id")?.rest.len() > MAX_SESSION_ID {
        return Err(HelloError::Malformed("session id"));
    }
    let suites = rest.vector16("cipher suites")?.rest;
    if suites.is_empty() || suites.len() % 2 != 0 {
        return Err(HelloError::Malformed("cipher suites"));
    }
    if rest.vector8("compression methods")?.rest.is_empty() {
        return Err(HelloError::Malformed("compression methods"));
    }
    let mut hello = ClientHello { server_name: None, encrypted: false, alpn: Vec::new() };
    // Before TLS 1.3 a ClientHello may end here.
    if !rest.is_empty() {
        let extensions = rest.vector16("extensions")?;
        rest.end()?;
        parse_extensions(extensions, &mut hello)?;
    }
    Ok(hello)
}

fn parse_extensions(mut extensions: Octets<'_>, hello: &mut ClientHello) -> Result<(), HelloError> {
    let mut seen = Vec::new();
    while !extensions.is_empty() {
        let kind = extensions.number16()?;
        let content = extensions.vector16("extension")?;
        match kind {
            SERVER_NAME if seen.contains(&kind) => return Err(HelloError::ServerNameCount),
            SERVER_NAME => hello.server_name = Some(parse_server_name(content)?),
            ALPN => hello.alpn = parse_alpn(content)?,
            ESNI | FIRST_ECH..=LAST_ECH => hello.encrypted = true,
            _ => {}
        }
        seen.push(kind);
    }
    seen.sort_unstable();
    if seen.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(HelloError::Malformed("extensions, one of which stands there twice"));
    }
    Ok(())
}

fn parse_server_name(mut content: Octets<'_>) -> Result<Name, HelloError> {
    let mut names = content.vector16("server_name extension")?;
    content.end()?;
    let mut found = None;
    while !names.is_empty() {
        let kind = names.number8()?;
        let name = names.vector16("server_name extension")?.rest;
        if kind != HOST_NAME || found.replace(name).is_some() {
            return Err(HelloError::ServerNameCount);
        }
    }
    match Host::parse(found.ok_or(HelloError::ServerNameCount)?)? {
        Host::Name(name) => Ok(name),
        Host::Ip(address) => Err(HelloError::ServerNameAddress(address)),
    }
}

fn parse_alpn(mut content: Octets<'_>) -> Result<Vec<Box<[u8]>>, HelloError> {
    let mut list = content.vector16("ALPN extension")?;
    content.end()?;
    let mut protocols = Vec::new();
    while !list.is_empty() {
        match list.vector8("ALPN extension")?.rest {
            [] => return Err(HelloError::Malformed("ALPN extension")),
            protocol => protocols.push(protocol.into()),
        }
    }
    if protocols.is_empty() { Err(HelloError::Malformed("ALPN extension")) } else { Ok(protocols) }
}

/// Octets still to be read, and what an error calls them.
struct Octets<'a> {
    rest: &'a [u8],
    part: &'static str,
}

impl<'a> Octets<'a> {
    fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], HelloError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(HelloError::Malformed(self.part))?;
        self.rest = rest;
        Ok(taken)
    }

    fn number8(&mut self) -> Result<u8, HelloError> {
        Ok(self.take(1)?.iter().fold(0, |_, &byte| byte))
    }

    fn number16(&mut self) -> Result<u16, HelloError> {
        Ok(self.take(2)?.iter().fold(0, |number, &byte| number << 8 | u16::from(byte)))
    }

    /// A vector with its length in one octet before it.
    fn vector8(&mut self, part: &'static str) -> Result<Octets<'a>, HelloError> {
        let length = self.number8()?;
        Ok(Octets { rest: self.take(usize::from(length))?, part })
    }

    /// A vector with its length in two octets before it.
    fn vector16(&mut self, part: &'static str) -> Result<Octets<'a>, HelloError> {
        let length = self.number16()?;
        Ok(Octets { rest: self.take(usize::from(length))?, part })
    }

    fn end(&self) -> Result<(), HelloError> {
        if self.is_empty() { Ok(()) } else { Err(HelloError::Malformed(self.part)) }
    }
}

/// What is no `ClientHello`, or one that names its server in a way that two readers could read differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HelloError {
    /// The first octets are not those of a TLS handshake record.
    NotTls(Box<str>),
    /// TLS so far, but this part does not add up.
    Malformed(&'static str),
    /// Longer than [`MAX_CLIENT_HELLO`].
    TooLong,
    /// A `server_name` extension without exactly one host name, or more than one such extension.
    ServerNameCount,
    ServerName(DestinationError),
    /// An IP address, which `server_name` may not hold (RFC 6066, section 3).
    ServerNameAddress(IpAddr),
}

impl HelloError {
    pub fn reason(&self) -> Reason {
        match self {
            Self::NotTls(_) | Self::Malformed(_) | Self::TooLong => Reason::OpaqueTunnel,
            Self::ServerNameCount | Self::ServerName(_) | Self::ServerNameAddress(_) => Reason::Misdirected,
        }
    }
}

impl From<DestinationError> for HelloError {
    fn from(error: DestinationError) -> Self {
        Self::ServerName(error)
    }
}

impl fmt::Display for HelloError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTls(beginning) => write!(f, "TLS is expected, and no ClientHello begins with \"{beginning}\""),
            Self::Malformed(part) => write!(f, "the ClientHello is malformed in its {part}"),
            Self::TooLong => write!(f, "the ClientHello is longer than {MAX_CLIENT_HELLO} octets"),
            Self::ServerNameCount => f.write_str("the ClientHello does not name exactly one server"),
            Self::ServerName(error) => write!(f, "in the server name of the ClientHello: {error}"),
            Self::ServerNameAddress(address) => write!(f, "the server name of the ClientHello is an address: \"{address}\""),
        }
    }
}

impl std::error::Error for HelloError {}

const HANDSHAKE: u8 = 22;
const MAJOR_VERSION: u8 = 3;
const CLIENT_HELLO: u8 = 1;
const HOST_NAME: u8 = 0;

const RECORD_HEADER: usize = 5;
/// Longest content of a plaintext record (RFC 8446, section 5.1).
const MAX_RECORD: usize = 1 << 14;
const RANDOM: usize = 32;
const MAX_SESSION_ID: usize = 32;

const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
/// Encrypted `ClientHello`: the drafts that were deployed, and the number that stayed.
const FIRST_ECH: u16 = 0xfe08;
const LAST_ECH: u16 = 0xfe0d;
/// Its forerunner, the encrypted server name.
const ESNI: u16 = 0xffce;

#[cfg(test)]
mod tests;
