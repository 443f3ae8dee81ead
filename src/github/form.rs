//! Values as forms write them (`application/x-www-form-urlencoded`).

/// What a value of a form means. `None` for an escape that is none, and for what is no UTF-8.
pub(super) fn decoded(value: &str) -> Option<String> {
    let mut bytes = value.bytes();
    let mut octets = Vec::with_capacity(value.len());
    while let Some(byte) = bytes.next() {
        octets.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                let (high, low) = (digit()?, digit()?);
                high << 4 | low
            }
            other => other,
        });
    }
    String::from_utf8(octets).ok()
}

/// The one spelling of a value, which is the same in a path (RFC 3986, section 2.3): all but unreserved characters are escaped.
pub(super) fn encoded(value: &str) -> String {
    let spelled = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let written = |byte: u8| if spelled(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    value.bytes().map(written).collect()
}
