//! Why a head was refused.

use std::fmt;

use super::{MAX_FIELDS, MAX_HEAD, field::FieldError};
use crate::{destination::DestinationError, reason::Reason, wire::target::MAX_TARGET};

/// A head that is no HTTP/1 request, or is one whose meaning another reader could dispute. Shown input is bounded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeadError {
    /// The first octets cannot begin a request line: TLS, SOCKS, PROXY protocol or noise.
    NotHttp(Box<str>),
    /// The preface of HTTP/2, or a request with its method `PRI`.
    Http2,
    /// Not `METHOD SP TARGET SP VERSION` with one space each.
    RequestLine,
    RequestLineCharacter(u8),
    /// Longer than [`MAX_TARGET`], or a request line that can hold no shorter one.
    TargetTooLong,
    /// Neither `HTTP/1.1` nor `HTTP/1.0`.
    Version(Box<str>),
    /// Not `HTTP/1.x SP STATUS` with a status from 100 to 599.
    StatusLine(Box<str>),
    /// LF without CR.
    LineEnd,
    Field(FieldError),
    /// Longer than [`MAX_HEAD`].
    TooLarge,
    /// More lines than [`MAX_FIELDS`].
    TooManyFields,
    HostMissing,
    HostTwice,
    Host(DestinationError),
    /// Not plain digits of a number below 2^63.
    ContentLength(Box<str>),
    ContentLengthTwice,
    /// Anything but `chunked` alone.
    TransferEncoding(Box<str>),
    TransferEncodingTwice,
    BothLengths,
    ChunkedHttp10,
    ConnectBody,
    /// Not a token, or a header that must not be removed on the way.
    ConnectionOption(Box<str>),
    /// An expectation other than `100-continue`.
    Expect(Box<str>),
}

impl HeadError {
    pub fn reason(&self) -> Reason {
        match self {
            Self::Http2 => Reason::MethodRefused,
            Self::TooLarge | Self::TooManyFields => Reason::HeadTooLarge,
            Self::NotHttp(_)
            | Self::RequestLine
            | Self::RequestLineCharacter(_)
            | Self::TargetTooLong
            | Self::Version(_)
            | Self::StatusLine(_)
            | Self::LineEnd
            | Self::Field(_)
            | Self::HostMissing
            | Self::HostTwice
            | Self::Host(_)
            | Self::ContentLength(_)
            | Self::ContentLengthTwice
            | Self::TransferEncoding(_)
            | Self::TransferEncodingTwice
            | Self::BothLengths
            | Self::ChunkedHttp10
            | Self::ConnectBody
            | Self::ConnectionOption(_)
            | Self::Expect(_) => Reason::BadRequest,
        }
    }
}

impl From<FieldError> for HeadError {
    fn from(error: FieldError) -> Self {
        Self::Field(error)
    }
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHttp(beginning) => write!(f, "this door speaks HTTP/1, and no request begins with \"{beginning}\""),
            Self::Http2 => f.write_str("this door speaks HTTP/1.1 and HTTP/1.0, not HTTP/2"),
            Self::RequestLine => f.write_str("a request line is a method, a target and a version with one space between"),
            Self::RequestLineCharacter(byte) => write!(f, "\"{}\" may not stand in a request line", byte.escape_ascii()),
            Self::TargetTooLong => write!(f, "the request-target is longer than {MAX_TARGET} octets"),
            Self::Version(version) => write!(f, "the version is neither HTTP/1.1 nor HTTP/1.0: \"{version}\""),
            Self::StatusLine(line) => write!(f, "a response begins with HTTP/1.x and a status from 100 to 599: \"{line}\""),
            Self::LineEnd => f.write_str("a line of the head ends in LF without CR"),
            Self::Field(error) => error.fmt(f),
            Self::TooLarge => write!(f, "the head is longer than {MAX_HEAD} octets"),
            Self::TooManyFields => write!(f, "the head has more than {MAX_FIELDS} header lines"),
            Self::HostMissing => f.write_str("an HTTP/1.1 request needs a Host header"),
            Self::HostTwice => f.write_str("there is more than one Host header"),
            Self::Host(error) => write!(f, "in the Host header: {error}"),
            Self::ContentLength(value) => write!(f, "Content-Length is not one decimal number: \"{value}\""),
            Self::ContentLengthTwice => f.write_str("there is more than one Content-Length header"),
            Self::TransferEncoding(value) => write!(f, "Transfer-Encoding may only be \"chunked\": \"{value}\""),
            Self::TransferEncodingTwice => f.write_str("there is more than one Transfer-Encoding header"),
            Self::BothLengths => f.write_str("Content-Length and Transfer-Encoding exclude each other"),
            Self::ChunkedHttp10 => f.write_str("an HTTP/1.0 request has no Transfer-Encoding"),
            Self::ConnectBody => f.write_str("a CONNECT request has no body"),
            Self::ConnectionOption(option) => write!(f, "the Connection header may not name \"{option}\""),
            Self::Expect(value) => write!(f, "the only expectation that is met is \"100-continue\": \"{value}\""),
        }
    }
}

impl std::error::Error for HeadError {}
