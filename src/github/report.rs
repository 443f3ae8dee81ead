//! What git is answered in its own words: a push that is refused, and whatever else is.

use super::{
    pkt_line::{self, Band},
    push::{Capabilities, RefName},
};

/// The answer to a push that changes nothing: `ng REF REASON` for each command, and lines of advice that git prints after `remote: `.
/// Its content type is that of any answer to a push, its status 200.
///
/// `None` where the sender reads no report.
pub fn refusal<'a>(
    capabilities: &Capabilities,
    refs: impl IntoIterator<Item = (&'a RefName, &'a str)>,
    advice: &[String],
) -> Option<Vec<u8>> {
    let mut report = Vec::new();
    // The objects were not even looked at. An error here would make git speak of damaged objects.
    pkt_line::write(b"unpack ok\n", &mut report);
    for (name, reason) in refs {
        pkt_line::write(format!("ng {name} {}\n", one_line(reason)).as_bytes(), &mut report);
    }
    framed(capabilities, report, advice)
}

/// The answer to a push that cannot be taken as a whole, be it too large: git prints `remote unpack failed: ERROR`.
///
/// `None` where the sender reads no report.
pub fn unpack_error(capabilities: &Capabilities, error: &str, advice: &[String]) -> Option<Vec<u8>> {
    let mut report = Vec::new();
    pkt_line::write(format!("unpack {}\n", one_line(error)).as_bytes(), &mut report);
    framed(capabilities, report, advice)
}

/// What ends the answer to a push that was sent on, and whose report did not come: git prints TEXT after `remote: ` and fails. It claims
/// neither that the push landed nor that it did not, and nothing of an answer may stand before it that was not whole.
///
/// `None` where the sender reads no bands: then nothing can be said but by breaking off.
pub fn interrupted(capabilities: &Capabilities, text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    // git ends this line itself.
    pkt_line::write_band(Band::Failure, one_line(text).as_bytes(), &mut out);
    out.extend_from_slice(pkt_line::FLUSH);
    capabilities.has_bands().then_some(out)
}

/// What an answer to a push says before there is one: TEXT, which git prints after `remote: `, or as git's own server does nothing at all
/// to whoever asked for quiet.
///
/// `None` where the sender reads no bands, or no report.
pub fn waiting(capabilities: &Capabilities, text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    if capabilities.is_quiet() {
        pkt_line::write_empty_band(Band::Data, &mut out);
    } else {
        pkt_line::write_band(Band::Progress, format!("{}\n", one_line(text)).as_bytes(), &mut out);
    }
    (capabilities.has_bands() && capabilities.has_report()).then_some(out)
}

/// The answer to a request to `git-upload-pack` that git prints as `fatal: remote error: TEXT`.
pub fn fetch_error(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    pkt_line::write(format!("ERR {}", one_line(text)).as_bytes(), &mut out);
    out
}

fn framed(capabilities: &Capabilities, mut report: Vec<u8>, advice: &[String]) -> Option<Vec<u8>> {
    if !capabilities.has_report() {
        return None;
    }
    report.extend_from_slice(pkt_line::FLUSH);
    if !capabilities.has_bands() {
        return Some(report);
    }
    let mut out = Vec::new();
    for line in advice {
        pkt_line::write_band(Band::Progress, format!("{}\n", one_line(line)).as_bytes(), &mut out);
    }
    pkt_line::write_band(Band::Data, &report, &mut out);
    out.extend_from_slice(pkt_line::FLUSH);
    Some(out)
}

/// Text that cannot be taken for more than one line, nor move a terminal's cursor.
pub(super) fn one_line(text: &str) -> String {
    let shown = text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter });
    let mut line = String::new();
    for letter in shown {
        if line.len() + letter.len_utf8() > MAX_TEXT {
            line.push('…');
            break;
        }
        line.push(letter);
    }
    line
}

/// Most octets of one line of text.
const MAX_TEXT: usize = 1000;

#[cfg(test)]
mod tests;
