//! The search for a secret in whatever form it may have got out.

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE},
};

/// What a secret looks like: plain, in base64 wherever it begins in there, percent-encoded, in hexadecimal, as a list of numbers.
pub(crate) struct Leaks {
    forms: Vec<(&'static str, String)>,
}

impl Leaks {
    pub(crate) fn of(secret: &str) -> Self {
        let bytes = secret.as_bytes();
        let each = |form: fn(&u8) -> String| bytes.iter().map(form).collect::<String>();
        let mut forms = vec![
            ("plain", secret.to_owned()),
            ("reversed", secret.chars().rev().collect()),
            ("percent-encoded", each(|byte| format!("%{byte:02X}"))),
            ("percent-encoded", each(|byte| format!("%{byte:02x}"))),
            ("hexadecimal", each(|byte| format!("{byte:02x}"))),
            ("hexadecimal", each(|byte| format!("{byte:02X}"))),
            ("numbers", bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(", ")),
        ];
        for shift in 0..3 {
            forms.push(("base64", inside(&BASE64_STANDARD.encode([&[0; 2][..shift], bytes].concat()), shift, bytes.len())));
            forms.push(("base64 for URLs", inside(&BASE64_URL_SAFE.encode([&[0; 2][..shift], bytes].concat()), shift, bytes.len())));
        }
        Self { forms }
    }

    /// Fails if `bytes` holds the secret in any form.
    #[track_caller]
    pub(crate) fn assert_absent(&self, place: &str, bytes: &[u8]) {
        if let Some(form) = self.find(bytes) {
            panic!("a secret ({form}) got into {place}:\n{}", String::from_utf8_lossy(&bytes[..bytes.len().min(4096)]));
        }
    }

    /// The form in which it stands there.
    pub(crate) fn find(&self, bytes: &[u8]) -> Option<&'static str> {
        let text = String::from_utf8_lossy(bytes);
        self.forms.iter().find(|(_, needle)| text.contains(needle.as_str())).map(|(form, _)| *form)
    }
}

/// The characters of an encoding that depend on the secret alone, which begins after `shift` octets.
fn inside(encoded: &str, shift: usize, length: usize) -> String {
    let begin = (shift * 8).div_ceil(6);
    let end = (shift + length) * 8 / 6;
    encoded[begin..end].to_owned()
}
