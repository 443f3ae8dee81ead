//! SOCKS of version 5 as a client speaks it (RFC 1928), with a user name and a password (RFC 1929): a greeting, a password if it is asked
//! for one, and a request. What follows those may come with them.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::authorization::Presented;
use crate::{
    destination::{Destination, DestinationError, Host},
    reason::Reason,
    secret::Secret,
};

/// What a client can be asked for; other methods are passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Greeting {
    /// Nothing at all.
    pub nothing: bool,
    /// A user name and a password.
    pub password: bool,
}

/// Reads a greeting (RFC 1928, section 3) and tells how long it is; `None` while more octets are needed.
pub fn read_greeting(bytes: &[u8]) -> Result<Option<(Greeting, usize)>, SocksError> {
    let mut rest = Rest(bytes);
    match rest.octet() {
        None => return Ok(None),
        Some(VERSION) => {}
        Some(VERSION_4) => return Err(SocksError::Version4),
        Some(_) => return Err(SocksError::NotSocks),
    }
    let Some(methods) = rest.counted() else { return Ok(None) };
    let greeting = Greeting { nothing: methods.contains(&NOTHING), password: methods.contains(&PASSWORD) };
    Ok(Some((greeting, bytes.len() - rest.0.len())))
}

/// Reads a user name and a password (RFC 1929, section 2), either of which may be empty, and tells how long they are; `None` while more
/// octets are needed. The token is the password or, where that is empty, the user name. A token that is too long for one field begins in the
/// user name, fills it, and goes on in the password. Nothing at all shows none.
pub fn read_password(bytes: &[u8]) -> Result<Option<(Option<Presented>, usize)>, SocksError> {
    let mut rest = Rest(bytes);
    match rest.octet() {
        None => return Ok(None),
        Some(PASSWORD_VERSION) => {}
        Some(_) => return Err(SocksError::PasswordVersion),
    }
    let (Some(user), Some(password)) = (rest.counted(), rest.counted()) else { return Ok(None) };
    let token = if user.len() == FULL {
        Secret::new([user, password].concat())
    } else {
        Secret::new(if password.is_empty() { user } else { password })
    };
    let is_shown = !(user.is_empty() && password.is_empty());
    Ok(Some((is_shown.then_some(Presented { token }), bytes.len() - rest.0.len())))
}

/// Reads a request to connect (RFC 1928, section 4) and tells how long it is; `None` while more octets are needed. A name is read as
/// strictly as in an authority, and may spell an address as it may there.
///
/// # Errors
/// As soon as no further octet could mend it.
pub fn read_request(bytes: &[u8]) -> Result<Option<(Destination, usize)>, SocksError> {
    let mut rest = Rest(bytes);
    match rest.octet() {
        Some(VERSION) | None => {}
        Some(_) => return Err(SocksError::RequestVersion),
    }
    match rest.octet() {
        Some(CONNECT) | None => {}
        Some(command) => return Err(SocksError::Command(command)),
    }
    match rest.octet() {
        Some(RESERVED) | None => {}
        Some(_) => return Err(SocksError::Reserved),
    }
    let host = match rest.octet() {
        None => return Ok(None),
        Some(ADDRESS_4) => rest.array::<4>().map(|octets| Host::Ip(IpAddr::V4(Ipv4Addr::from(octets)))),
        Some(ADDRESS_6) => rest.array::<16>().map(|octets| Host::Ip(IpAddr::V6(Ipv6Addr::from(octets)))),
        Some(NAME) => rest.counted().map(Host::parse).transpose().map_err(SocksError::Name)?,
        Some(kind) => return Err(SocksError::AddressType(kind)),
    };
    let (Some(host), Some(port)) = (host, rest.array().map(u16::from_be_bytes)) else { return Ok(None) };
    if port == 0 {
        return Err(SocksError::Port);
    }
    Ok(Some((Destination { host, port }, bytes.len() - rest.0.len())))
}

/// What is left to be read. Whatever is missing is `None`, and what comes after it as well.
struct Rest<'b>(&'b [u8]);

impl<'b> Rest<'b> {
    fn octet(&mut self) -> Option<u8> {
        self.array().map(|[octet]| octet)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.first_chunk().copied()
    }

    /// As many octets as the one before them says.
    fn counted(&mut self) -> Option<&'b [u8]> {
        let count = self.octet()?;
        self.take(count.into())
    }

    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let Some((taken, rest)) = self.0.split_at_checked(count) else {
            self.0 = &[];
            return None;
        };
        self.0 = rest;
        Some(taken)
    }
}

/// Why something is no SOCKS, or no SOCKS that is spoken here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocksError {
    /// What a client of version 4 or 4a sends.
    Version4,
    NotSocks,
    PasswordVersion,
    RequestVersion,
    /// Another command than CONNECT, by its number.
    Command(u8),
    Reserved,
    /// A type of address that nobody knows, by its number.
    AddressType(u8),
    Name(DestinationError),
    Port,
}

impl SocksError {
    pub fn reason(&self) -> Reason {
        match self {
            Self::Command(_) => Reason::MethodRefused,
            Self::Version4
            | Self::NotSocks
            | Self::PasswordVersion
            | Self::RequestVersion
            | Self::Reserved
            | Self::AddressType(_)
            | Self::Name(_)
            | Self::Port => Reason::BadRequest,
        }
    }
}

impl fmt::Display for SocksError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version4 => f.write_str("version 4 of SOCKS, where only version 5 is spoken"),
            Self::NotSocks => f.write_str("the first octet is not that of SOCKS, version 5"),
            Self::PasswordVersion => f.write_str("what stands in the place of a password is of an unknown version"),
            Self::RequestVersion => f.write_str("the request is not of version 5"),
            Self::Command(number) => match command_name(*number) {
                Some(name) => write!(f, "{name}, where only CONNECT is served"),
                None => write!(f, "command {number}, where only CONNECT is served"),
            },
            Self::Reserved => f.write_str("the reserved octet of a request is zero"),
            Self::AddressType(number) => write!(f, "an address of type {number}, where 1, 3 and 4 are known"),
            Self::Name(error) => write!(f, "{error}"),
            Self::Port => f.write_str("a port is a number from 1 to 65535: 0"),
        }
    }
}

impl std::error::Error for SocksError {}

/// How the RFC calls a command that is not CONNECT.
pub fn command_name(number: u8) -> Option<&'static str> {
    match number {
        BIND => Some("BIND"),
        UDP_ASSOCIATE => Some("UDP ASSOCIATE"),
        _ => None,
    }
}

/// Most octets that a greeting, a password or a request takes.
pub const MAX_MESSAGE: usize = 1 + 2 * (1 + FULL);
/// Of what is counted by one octet.
const FULL: usize = u8::MAX as usize;

const VERSION: u8 = 5;
const VERSION_4: u8 = 4;
const PASSWORD_VERSION: u8 = 1;
const NOTHING: u8 = 0;
const PASSWORD: u8 = 2;
const CONNECT: u8 = 1;
const BIND: u8 = 2;
const UDP_ASSOCIATE: u8 = 3;
const RESERVED: u8 = 0;
const ADDRESS_4: u8 = 1;
const NAME: u8 = 3;
const ADDRESS_6: u8 = 4;

#[cfg(test)]
mod tests;
