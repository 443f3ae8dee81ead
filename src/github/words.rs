//! What an upstream says to git beside objects, with secrets taken out of it: lines of an advertisement or a report, and the bands that git
//! prints after `remote: ` (git's `gitprotocol-pack`).

use super::{
    Service,
    pkt_line::{self, Band},
};
use crate::wire::masking::Masker;

/// Masks secrets in one answer while it arrives, however it is cut into pieces. Lines stay as long as they were; a text in bands may be cut
/// into other lines, since a secret may begin in one and end in the next. Of an answer to a fetch the objects pass as they are: they are
/// compressed, and nothing in them can be seen. What has no lines is masked as a whole. After a failure nothing goes on.
pub struct Words {
    /// A masker at the beginning of a text.
    fresh: Masker,
    /// Of the bands that are read, and of the data of an answer to a push.
    said: Masker,
    data: Masker,
    masks_data: bool,
    state: State,
    /// What has come of a line that is not whole.
    line: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Within a line.
    Line,
    /// Within a line of objects, of which so many octets are to come.
    Objects(usize),
    /// No line, nor anything after it.
    Stream,
    /// After a failure, at which whoever reads gives up.
    Over,
}

impl Words {
    /// At the beginning of an answer of `service`.
    pub fn new(masker: Masker, service: Service) -> Self {
        let masks_data = service == Service::ReceivePack;
        Self { said: masker.clone(), data: masker.clone(), fresh: masker, masks_data, state: State::Line, line: Vec::new() }
    }

    /// Whether a piece of so many octets goes on as it is, which then has been taken.
    pub fn passes(&mut self, length: usize) -> bool {
        let State::Objects(left) = &mut self.state else { return false };
        let passes = length < *left;
        if passes {
            *left -= length;
        }
        passes
    }

    /// Takes the next piece, and gives what goes on.
    pub fn push(&mut self, mut piece: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(piece.len() + self.line.len());
        while !piece.is_empty() {
            piece = match self.state {
                State::Line => self.take(piece, &mut out),
                State::Objects(left) => {
                    let (now, rest) = piece.split_at(left.min(piece.len()));
                    out.extend_from_slice(now);
                    self.state = if now.len() < left { State::Objects(left - now.len()) } else { State::Line };
                    rest
                }
                State::Stream => {
                    out.append(&mut self.said.push(piece));
                    &[]
                }
                State::Over => &[],
            };
        }
        out
    }

    /// What is left: the answer has ended.
    pub fn finish(&mut self) -> Vec<u8> {
        match self.state {
            State::Stream => return self.said.finish(),
            // Within objects that were cut off nothing of ours may stand.
            State::Over | State::Objects(_) => return Vec::new(),
            State::Line => {}
        }
        let mut out = Vec::new();
        let line = std::mem::take(&mut self.line);
        // A length without its text would take in what follows.
        if line.len() != BAND || length(&line) == Some(BAND) {
            self.pass(line, &mut out);
        }
        if self.state == State::Line {
            self.release(&mut out);
        }
        out
    }

    /// Takes octets of a line, no further than is known of its length, and gives the rest of them.
    fn take<'p>(&mut self, piece: &'p [u8], out: &mut Vec<u8>) -> &'p [u8] {
        let (now, rest) = piece.split_at(self.wanted().saturating_sub(self.line.len()).min(piece.len()));
        self.line.extend_from_slice(now);
        if self.line.len() < self.wanted() {
            return rest;
        }
        let line = std::mem::take(&mut self.line);
        match (length(&line), line.get(LENGTH)) {
            (None, _) => {
                self.state = State::Stream;
                out.append(&mut self.said.push(&line));
            }
            // What ends a section ends what was said in it.
            (Some(..LENGTH), _) => {
                self.release(out);
                out.extend(line);
            }
            (Some(whole), Some(&DATA)) if !self.masks_data => {
                out.extend(line);
                self.state = if whole > BAND { State::Objects(whole - BAND) } else { State::Line };
            }
            (Some(_), _) => self.pass(line, out),
        }
        rest
    }

    /// Lets a line through, or as much of it as came. An empty one in a band says that there is more to come.
    fn pass(&mut self, line: Vec<u8>, out: &mut Vec<u8>) {
        match line.get(LENGTH..).unwrap_or_default() {
            [DATA, text @ ..] if !text.is_empty() => pkt_line::write_band(Band::Data, &self.data.push(text), out),
            [PROGRESS, text @ ..] if !text.is_empty() => pkt_line::write_band(Band::Progress, &self.said.push(text), out),
            // Nothing of it may be held back: it is the last that is read, and what could end a secret that it begins goes no further.
            [FAILURE, text @ ..] if !text.is_empty() => {
                let said = [self.said.push(text), self.said.finish()].concat();
                pkt_line::write_band(Band::Failure, &said, out);
                self.state = State::Over;
            }
            [DATA..=FAILURE] => out.extend(line),
            _ => {
                // What was said before it comes before it.
                self.release(out);
                out.extend(self.fresh.mask(&line).unwrap_or(line));
            }
        }
    }

    /// Octets of a line that have to be there before it is looked at again.
    fn wanted(&self) -> usize {
        match (length(&self.line), self.line.get(LENGTH)) {
            (None | Some(..=LENGTH), _) => LENGTH,
            (Some(_), None) => BAND,
            (Some(_), Some(&DATA)) if !self.masks_data => BAND,
            (Some(whole), Some(_)) => whole,
        }
    }

    /// What was held back of texts in bands.
    fn release(&mut self, out: &mut Vec<u8>) {
        pkt_line::write_band(Band::Data, &self.data.finish(), out);
        pkt_line::write_band(Band::Progress, &self.said.finish(), out);
    }
}

/// The length of the line at the beginning, if it is one: 0 to 2 are no lines but ends of something.
fn length(line: &[u8]) -> Option<usize> {
    let digits = std::str::from_utf8(line.get(..LENGTH)?).ok()?;
    let plain = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    usize::from_str_radix(digits, 16).ok().filter(|length| plain && *length != 3)
}

/// Octets of the length, and of length and band.
const LENGTH: usize = 4;
const BAND: usize = 5;
const DATA: u8 = Band::Data as u8;
const PROGRESS: u8 = Band::Progress as u8;
const FAILURE: u8 = Band::Failure as u8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECRET: &[u8] = b"ghs_0123456789secret";

    fn words(service: Service) -> Words {
        Words::new(Masker::new([SECRET]), service)
    }

    fn through(mut words: Words, pieces: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in pieces {
            if words.passes(piece.len()) { out.extend_from_slice(piece) } else { out.extend(words.push(piece)) }
        }
        out.extend(words.finish());
        out
    }

    /// What bands and lines say, one after another: without the lines that they are cut into.
    fn read(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut found: Vec<(u8, Vec<u8>)> = Vec::new();
        while let Some(whole) = length(bytes) {
            let end = whole.clamp(LENGTH, bytes.len());
            match (bytes[LENGTH..end].split_first(), found.last_mut()) {
                (Some((band @ 1..=3, text)), Some((last, before))) if last == band => before.extend_from_slice(text),
                (Some((band @ 1..=3, text)), _) => found.push((*band, text.to_vec())),
                (line, _) => found.push((0, line.map(|_| bytes[LENGTH..end].to_vec()).unwrap_or_default())),
            }
            bytes = &bytes[end..];
        }
        found
    }

    fn bands(parts: &[(Band, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (band, text) in parts {
            pkt_line::write_band(*band, text, &mut out);
        }
        out.extend_from_slice(pkt_line::FLUSH);
        out
    }

    #[test]
    fn threat_119_a_secret_is_masked_wherever_git_would_print_it() {
        let hidden = vec![b'*'; SECRET.len()];
        let (first, second) = SECRET.split_at(7);
        for parts in [
            &[(Band::Progress, [b"a ", SECRET, b"\n"].concat())][..],
            &[(Band::Progress, [b"a ", first].concat()), (Band::Data, b"PACK".to_vec()), (Band::Progress, [second, b"\n"].concat())],
            &[(Band::Progress, [b"a ", first].concat()), (Band::Failure, [second, b"\n"].concat())],
            &[(Band::Failure, [b"a ", SECRET, b"\n"].concat()), (Band::Failure, b"b".to_vec())],
        ] {
            let parts: Vec<_> = parts.iter().map(|(band, text)| (*band, text.as_slice())).collect();
            let shown = through(words(Service::UploadPack), &[&bands(&parts)]);
            let said: Vec<u8> = read(&shown).into_iter().filter(|(band, _)| *band > 1).flat_map(|(_, text)| text).collect();
            assert_eq!(said, [b"a ", &*hidden, b"\n"].concat(), "{}", shown.escape_ascii());
        }
        for service in [Service::UploadPack, Service::ReceivePack] {
            let mut lines = Vec::new();
            pkt_line::write(&[b"ERR you sent ", SECRET].concat(), &mut lines);
            let shown = through(words(service), &[&lines]);
            assert_eq!(read(&shown), [(0, [b"ERR you sent ", &*hidden].concat())]);
            let page = [b"<html>", SECRET].concat();
            assert_eq!(through(words(service), &[&page]), [b"<html>", &*hidden].concat());
        }
        // What git makes of a report it prints; what it makes of a pack it does not.
        let report = bands(&[(Band::Data, &[b"ng refs/heads/a ", SECRET].concat())]);
        assert_eq!(read(&through(words(Service::ReceivePack), &[&report]))[0].1, [b"ng refs/heads/a ", &*hidden].concat());
        assert_eq!(through(words(Service::UploadPack), &[&report]), report);
    }

    #[test]
    fn the_end_of_a_failure_stays_in_it_however_the_secret_ends() {
        let secret = b"ghs_0123456789secreg";
        let sent = bands(&[(Band::Failure, &[b"no: ", &secret[..]].concat())]);
        let shown = through(Words::new(Masker::new([&secret[..]]), Service::UploadPack), &[&sent]);
        assert_eq!(read(&shown), [(FAILURE, [b"no: ", &[b'*'; 20][..]].concat())]);
    }

    #[test]
    fn a_line_that_only_says_that_there_is_more_goes_on() {
        for line in [&b"0005\x01"[..], b"0005\x02", b"0004"] {
            for service in [Service::UploadPack, Service::ReceivePack] {
                assert_eq!(words(service).push(line), line);
            }
        }
    }

    #[test]
    fn threat_119_what_moves_a_cursor_is_data() {
        let text = b"\x1b[2J\x1b]0;owned\x07\r100%\n";
        let sent = bands(&[(Band::Progress, text), (Band::Data, b"PACK\0\x1b")]);
        assert_eq!(through(words(Service::UploadPack), &[&sent]), sent, "git is who shows it, and it comes as it was said");
    }

    fn part() -> impl Strategy<Value = Vec<u8>> {
        let text = prop_oneof![
            Just(SECRET.to_vec()),
            Just(SECRET[..9].to_vec()),
            Just(SECRET[9..].to_vec()),
            "[ -~]{0,9}".prop_map(String::into_bytes)
        ];
        prop_oneof![
            (1u8..=3, text.clone()).prop_map(|(band, text)| {
                let mut out = Vec::new();
                pkt_line::write(&[&[band], text.as_slice()].concat(), &mut out);
                out
            }),
            text.prop_map(|text| {
                let mut out = Vec::new();
                pkt_line::write(&[b"x", text.as_slice()].concat(), &mut out);
                out
            }),
            Just(b"0000".to_vec()),
            Just(b"0001".to_vec()),
            Just(b"0004".to_vec()),
        ]
    }

    proptest! {
        #[test]
        fn pieces_change_nothing_and_no_secret_is_shown(
            parts in proptest::collection::vec(part(), 0..12),
            cut in proptest::option::of(0usize..40),
            size in 1usize..30,
            fetch in any::<bool>(),
        ) {
            let service = if fetch { Service::UploadPack } else { Service::ReceivePack };
            let whole = parts.concat();
            let whole = &whole[..whole.len() - cut.unwrap_or_default().min(whole.len())];
            let pieces: Vec<_> = whole.chunks(size).collect();
            let (at_once, in_pieces) = (through(words(service), &[whole]), through(words(service), &pieces));
            prop_assert_eq!(&at_once, &in_pieces);
            let shown = read(&at_once);
            let masked = |band: u8| band != 1 || !fetch;
            for (band, text) in shown.iter().filter(|(band, _)| masked(*band)) {
                prop_assert!(!text.windows(SECRET.len()).any(|window| window == SECRET), "band {}", band);
            }
            let octets = |parts: Vec<(u8, Vec<u8>)>| parts.iter().map(|(_, text)| text.len()).sum::<usize>();
            let sent = read(whole);
            if cut.is_some() || sent.iter().any(|(band, text)| *band == FAILURE && !text.is_empty()) {
                prop_assert!(octets(shown) <= octets(sent));
            } else {
                prop_assert_eq!(octets(shown), octets(sent));
            }
        }
    }
}
