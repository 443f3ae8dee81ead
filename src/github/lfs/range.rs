//! The part of an object that a client still wants (RFC 9110, section 14).

use std::fmt;

/// Octets from the first to the last, both of them included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub first: u64,
    pub last: u64,
}

impl Range {
    /// Reads the values of `Range` for an object of `size` octets: one range of octets, `bytes=A-` or `bytes=A-B`, which a server may
    /// also answer with the whole. None where it means anything else, or everything.
    pub fn parse<'a>(values: impl IntoIterator<Item = &'a [u8]>, size: u64) -> Option<Self> {
        let mut values = values.into_iter();
        let (value, None) = (values.next()?, values.next()) else { return None };
        let (first, last) = std::str::from_utf8(value).ok()?.strip_prefix("bytes=")?.split_once('-')?;
        let end = size.checked_sub(1)?;
        let first = number(first)?;
        let last = if last.is_empty() { end } else { number(last)?.min(end) };
        (first <= last && (first, last) != (0, end)).then_some(Self { first, last })
    }

    /// How many octets it has.
    pub fn length(&self) -> u64 {
        self.last - self.first + 1
    }

    /// As `Content-Range` has it.
    pub fn content_range(&self, size: u64) -> String {
        format!("bytes {}-{}/{size}", self.first, self.last)
    }
}

/// As `Range` has it.
impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes={}-{}", self.first, self.last)
    }
}

/// Whether the one value of `Content-Range` is of just this range.
pub fn is_range_of<'a>(values: impl IntoIterator<Item = &'a [u8]>, range: Range, size: u64) -> bool {
    values.into_iter().eq([range.content_range(size).as_bytes()])
}

fn number(digits: &str) -> Option<u64> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}
