//! The same search in files: fast, as most of them hold nothing.
//!
//! Beginnings of what is looked for are found as they are, in UTF-16 and in base64; what stands around one is then looked at as
//! anything else that leaves. Who writes the first letters themselves in escapes is not found here.

use std::{collections::HashMap, sync::Arc};

use super::{Found, Known, Scan};

/// How what is looked for begins, in each way of writing it.
pub(super) struct Beginnings {
    /// Whether the three octets of this hash begin one.
    keys: Box<[u64; HASHES / 64]>,
    /// By their first three octets.
    by_key: HashMap<u32, Vec<Beginning>>,
    /// Most octets that a whole one takes, and what may stand before what of it is found.
    reach: usize,
}

struct Beginning {
    octets: Box<[u8]>,
    /// Octets that belong to it before and behind these.
    around: usize,
}

impl Default for Beginnings {
    fn default() -> Self {
        Self { keys: Box::new([0; HASHES / 64]), by_key: HashMap::new(), reach: 0 }
    }
}

impl Beginnings {
    /// Adds a text and how many octets follow it.
    pub(super) fn add(&mut self, text: &[u8], follow: usize) {
        // Of all that stands in a long one, letters and digits are written in one way only, and a word in the middle is rarer.
        let runs = text.split_inclusive(|byte| !byte.is_ascii_alphanumeric()).filter(|run| run.len() > KEY && text.len() > LONG);
        let found = runs.max_by_key(|run| run.len()).unwrap_or(text);
        let around = 3 * (text.len() + follow) + SLACK;
        self.reach = self.reach.max(around);
        let utf16: Vec<_> = found.iter().flat_map(|byte| [*byte, 0]).take(WORD).collect();
        let plain: Vec<_> = found.iter().copied().take(WORD).collect();
        for octets in (0..3).flat_map(|before| in_base64(found, before)).chain([plain, utf16]) {
            self.insert(octets, around);
        }
    }

    fn insert(&mut self, octets: Vec<u8>, around: usize) {
        let Some(key) = octets.first_chunk::<KEY>().map(|[one, two, three]| u32::from_be_bytes([0, *one, *two, *three])) else { return };
        let hash = hash(key);
        self.keys[hash >> 6 & (HASHES / 64 - 1)] |= 1 << (hash & 63);
        self.by_key.entry(key).or_default().push(Beginning { octets: octets.into(), around });
    }

    /// Whether something may begin with these octets.
    #[inline]
    fn may_begin(&self, key: u32) -> bool {
        let hash = hash(key);
        self.keys[hash >> 6 & (HASHES / 64 - 1)] >> (hash & 63) & 1 == 1
    }

    /// How far to look around what begins here, if something does.
    fn at(&self, key: u32, text: &[u8]) -> Option<usize> {
        let found = self.by_key.get(&key)?.iter().filter(|beginning| text.starts_with(&beginning.octets));
        found.map(|beginning| beginning.around).max()
    }
}

#[inline]
fn hash(key: u32) -> usize {
    (key.wrapping_mul(0x9e37_79b1) >> 16) as usize
}

/// What stands for a text in base64 whatever stands around it, behind so many octets modulo three; in each alphabet.
fn in_base64(text: &[u8], before: usize) -> Vec<Vec<u8>> {
    let octets = [vec![0; before], text.to_vec()].concat();
    let characters = (8 * octets.len()) / 6;
    let skipped = (8 * before).div_ceil(6);
    let sextet = |at: usize| {
        let pair = |index: usize| u16::from(octets.get(index).copied().unwrap_or_default());
        let (byte, shift) = (6 * at / 8, 6 * at % 8);
        (((pair(byte) << 8 | pair(byte + 1)) >> (10 - shift)) & 63) as usize
    };
    let spelled = |alphabet: &[u8; 64]| -> Vec<u8> {
        // Short, so that a line that ends within it is unlikely.
        (skipped..characters).take(SEXTETS).filter_map(|at| alphabet.get(sextet(at)).copied()).collect()
    };
    let mut spellings = vec![spelled(STANDARD), spelled(URL_SAFE)];
    spellings.dedup();
    spellings
}

/// A search through one file, however it is cut into pieces.
pub struct FileScan {
    known: Arc<Known>,
    /// What came and may still be needed.
    text: Vec<u8>,
    /// Up to where in it beginnings were looked for.
    at: usize,
    /// What is looked at closely, and up to where in the text.
    close: Option<(Scan, usize)>,
    /// Octets that were looked at closely.
    strained: u64,
    found: Option<Found>,
}

impl FileScan {
    pub fn new(known: &Arc<Known>) -> Self {
        Self { known: Arc::clone(known), text: Vec::new(), at: 0, close: None, strained: 0, found: None }
    }

    /// Octets that were looked at closely since this was last asked: each takes some thirty times as long as any other.
    pub fn take_strain(&mut self) -> u64 {
        std::mem::take(&mut self.strained)
    }

    /// Takes the next piece.
    pub fn push(&mut self, piece: &[u8]) {
        if self.found.is_some() {
            return;
        }
        self.text.extend_from_slice(piece);
        let reach = self.known.beginnings.reach;
        // What begins here is whole in the text.
        if let Some(until) = self.text.len().checked_sub(reach).filter(|until| *until > self.at) {
            self.look(until);
            let gone = self.at.saturating_sub(reach);
            self.text.drain(..gone);
            self.at -= gone;
            if let Some((_, until)) = &mut self.close {
                *until = until.saturating_sub(gone);
            }
        }
    }

    /// What was found in all of it.
    pub fn finish(mut self) -> Option<Found> {
        if self.found.is_none() {
            self.look(self.text.len());
        }
        self.found
    }

    fn look(&mut self, until: usize) {
        let Self { known, text, at, close, strained, found } = self;
        let mut key = match text.get(*at..) {
            Some([one, two, ..]) => u32::from_be_bytes([0, 0, *one, *two]),
            _ => return,
        };
        let from = *at;
        let end = until.min(text.len() - (KEY - 1)).max(from);
        for (start, byte) in (from..).zip(text.get(from + KEY - 1..end + KEY - 1).unwrap_or_default()) {
            key = (key << 8 | u32::from(*byte)) & 0x00ff_ffff;
            if !known.beginnings.may_begin(key) {
                continue;
            }
            let Some(around) = known.beginnings.at(key, text.get(start..).unwrap_or_default()) else { continue };
            let before = start.saturating_sub(around);
            let (mut scan, looked) = match close.take() {
                Some((scan, looked)) if looked >= before => (scan, looked),
                _ => (Scan::new(known), before),
            };
            let behind = (start + around).min(text.len()).max(looked);
            *strained += (behind - looked) as u64;
            *found = scan.push(text.get(looked..behind).unwrap_or_default());
            if found.is_some() {
                return;
            }
            *close = Some((scan, behind));
        }
        *at = end;
    }
}

/// Octets by which a beginning is found.
const KEY: usize = 3;
const HASHES: usize = 1 << 16;
/// Most octets of a beginning that are compared.
const WORD: usize = 8;
/// Most octets of a text that is found by its beginning.
const LONG: usize = 12;
/// Most characters of one in base64 that are compared.
const SEXTETS: usize = 4;
/// Octets of ends of lines, spaces and what is cut off at either end.
const SLACK: usize = 64;
const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

#[cfg(test)]
mod tests {
    use base64::{
        Engine,
        prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
    };
    use proptest::prelude::*;

    use super::*;

    const HELD: &[u8] = b"real/credential+0123456789";
    const TOKEN: &[u8] = b"ghp_0123456789abcdefghijklmnopqrstuvwxyz";

    fn known() -> Arc<Known> {
        Arc::new(Known::new([HELD]).unwrap())
    }

    fn find(known: &Arc<Known>, text: &[u8], piece: usize) -> Option<Found> {
        let mut scan = FileScan::new(known);
        text.chunks(piece).for_each(|piece| scan.push(piece));
        scan.finish()
    }

    #[test]
    fn secrets_are_found_where_they_stand_in_a_file() {
        let known = known();
        for (secret, found) in [(HELD, Found::Held), (TOKEN, Found::Shaped("a GitHub token"))] {
            let utf16: Vec<u8> = secret.iter().flat_map(|byte| [*byte, 0]).collect();
            let mut spellings = vec![secret.to_vec(), utf16];
            for before in ["", "a", "ab", "abc", "user:"] {
                let text = [before.as_bytes(), secret].concat();
                spellings.extend([BASE64_STANDARD.encode(&text), BASE64_URL_SAFE_NO_PAD.encode(&text)].map(String::into_bytes));
            }
            for spelling in spellings {
                for (before, behind) in [(0, 0), (1000, 0), (0, 5000), (70_000, 70_000)] {
                    let text = [&vec![b' '; before][..], &spelling, &vec![b'\n'; behind]].concat();
                    for piece in [1, 7, 4096, 1 << 20] {
                        if piece > 1 || text.len() < 10_000 {
                            assert_eq!(find(&known, &text, piece), Some(found), "{} {before} {piece}", spelling.escape_ascii());
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn every_shape_is_found() {
        let known = known();
        for shape in super::super::shapes::SHAPES {
            let filling = b"A1".iter().copied().find(|&byte| (shape.takes)(byte)).unwrap();
            for beginning in shape.beginnings {
                let text = [b"x = ", beginning.as_bytes(), &vec![filling; shape.length.into()]].concat();
                assert_eq!(find(&known, &text, 5), Some(Found::Shaped(shape.name)), "{beginning}");
                assert_eq!(find(&known, &text[..text.len() - 1], 5), None, "{beginning}");
                let encoded = BASE64_STANDARD.encode(&text).into_bytes();
                assert_eq!(find(&known, &encoded, 5), Some(Found::Shaped(shape.name)), "{beginning}");
            }
        }
    }

    proptest! {
        /// It finds nothing but what a close look at all of it finds.
        #[test]
        fn what_is_found_is_there(
            parts in proptest::collection::vec(prop_oneof![
                Just(TOKEN.to_vec()), Just(TOKEN[..39].to_vec()), Just(HELD.to_vec()), Just(b"sk-".to_vec()), Just(b"Z2hw".to_vec()),
                proptest::collection::vec(any::<u8>(), 0..40), "[a-zA-Z0-9+/_-]{0,40}".prop_map(String::into_bytes),
            ], 0..8),
            piece in 1..50_usize,
        ) {
            let (known, text) = (known(), parts.concat());
            let found = find(&known, &text, piece);
            prop_assert!(found.is_none() || known.find(&text).is_some());
            prop_assert_eq!(found, find(&known, &text, text.len().max(1)));
            // Plainly written, it is found for certain.
            let plain = |secret: &[u8]| text.windows(secret.len()).any(|window| window == secret);
            prop_assert!(found.is_some() || !(plain(TOKEN) || plain(HELD)));
        }
    }
}
