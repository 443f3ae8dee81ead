//! Durations as a configuration spells them.

use std::{fmt, time::Duration};

/// Reads a duration: a whole number and its unit, `ms`, `s`, `m` or `h`, with nothing between. More than zero, and at
/// most [`LONGEST`].
pub(crate) fn parse(text: &str) -> Result<Duration, DurationError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let milliseconds: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(DurationError::Spelling),
    };
    if number.is_empty() {
        return Err(DurationError::Spelling);
    }
    // What does not fit into a u64 is too long as well.
    let total = number.parse().ok().and_then(|number: u64| number.checked_mul(milliseconds)).map(Duration::from_millis);
    match total {
        Some(Duration::ZERO) => Err(DurationError::Zero),
        Some(duration) if duration <= LONGEST => Ok(duration),
        Some(_) | None => Err(DurationError::TooLong),
    }
}

/// Why a text is no duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DurationError {
    Spelling,
    Zero,
    TooLong,
}

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Spelling => "no duration",
            Self::Zero => "a timer of zero ends everything at once",
            Self::TooLong => "longer than a year",
        })
    }
}

/// A year: far beyond any use, and far from overflowing a clock.
const LONGEST: Duration = Duration::from_secs(8760 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let milliseconds = |text| parse(text).map(|duration| duration.as_millis());
        for (text, expected) in [
            ("500ms", Ok(500)),
            ("10s", Ok(10_000)),
            ("10m", Ok(600_000)),
            ("1h", Ok(3_600_000)),
            ("8760h", Ok(31_536_000_000)),
            ("8761h", Err(DurationError::TooLong)),
            ("18446744073709551615h", Err(DurationError::TooLong)),
            ("99999999999999999999s", Err(DurationError::TooLong)),
            ("0s", Err(DurationError::Zero)),
            ("00ms", Err(DurationError::Zero)),
            ("", Err(DurationError::Spelling)),
            ("10", Err(DurationError::Spelling)),
            ("s", Err(DurationError::Spelling)),
            ("-1s", Err(DurationError::Spelling)),
            ("1.5s", Err(DurationError::Spelling)),
            ("10 s", Err(DurationError::Spelling)),
            ("10S", Err(DurationError::Spelling)),
            ("1d", Err(DurationError::Spelling)),
            ("1m30s", Err(DurationError::Spelling)),
            ("½h", Err(DurationError::Spelling)),
        ] {
            assert_eq!(milliseconds(text), expected, "{text}");
        }
    }
}
