//! How long an API wants to be left alone, by the head of its answer.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header};

/// The wait that an answer of 403 or 429 asks for: by `Retry-After` in seconds where it is there (GitHub's secondary limits), else until
/// `X-RateLimit-Reset` where nothing remains. None where it asks for none.
pub fn wanted(status: u16, headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    if !matches!(status, 403 | 429) {
        return None;
    }
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    if let Some(seconds) = number(header::RETRY_AFTER.as_str()) {
        return Some(Duration::from_secs(seconds));
    }
    let reset = number("x-ratelimit-reset").filter(|_| number("x-ratelimit-remaining") == Some(0))?;
    let reset = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(reset))?;
    reset.duration_since(now).ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn github_says_how_long_to_wait() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let wait = |status, fields: &[(&'static str, &'static str)]| {
            let headers: HeaderMap = fields.iter().map(|&(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect();
            wanted(status, &headers, now).map(|wait| wait.as_secs())
        };
        let spent = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1060")];
        for (status, fields, expected) in [
            (429, &[("retry-after", "30")][..], Some(30)),
            (403, &[("retry-after", "30"), spent[0], spent[1]], Some(30)),
            (403, &spent, Some(60)),
            (200, &spent, None),
            (403, &[("x-ratelimit-remaining", "1"), spent[1]], None),
            (403, &[spent[0], ("x-ratelimit-reset", "999")], None),
            (403, &[spent[0], ("x-ratelimit-reset", "18446744073709551615")], None),
            (403, &[("retry-after", "soon")], None),
            (403, &[], None),
        ] {
            assert_eq!(wait(status, fields), expected, "{status} {fields:?}");
        }
    }
}
