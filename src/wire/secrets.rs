//! Secrets in what a sandbox sends: those that this process holds, and tokens of known shapes.
//!
//! They are found as they are, percent-encoded and in strings of JSON, each up to twice over, in base64 (standard and URL-safe, wherever
//! they stand in it), in base64 that is escaped so, and in UTF-16 of any of it. This stops accidents and simple tricks; who encrypts
//! what is to be carried out is held by the destinations alone.

mod decoding;
mod machine;
mod shapes;
mod lookout;
mod bulk;

use std::{
    fmt,
    sync::{Arc, LazyLock},
};

use aho_corasick::automaton::StateID;

pub use self::bulk::FileScan;
pub use self::lookout::Lookout;
use self::{
    bulk::Beginnings,
    decoding::{Base64, Escapes, value},
    machine::{Machine, Match},
    shapes::{GITHUB, SHAPES},
};

/// Shorter secrets, in octets, are not looked for: they would be found in anything.
pub const MIN_SECRET: usize = 8;

/// What is looked for.
pub struct Known {
    machine: Machine,
    /// By number of pattern: the beginning of this shape, or a whole secret that this process holds.
    patterns: Vec<Option<usize>>,
    beginnings: Beginnings,
}

/// What was found, in words that hold nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// A real credential of this process.
    Held,
    /// A token or key of a known shape: which, as "a GitHub token".
    Shaped(&'static str),
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Held => "a real credential of the proxy's",
            Self::Shaped(name) => name,
        })
    }
}

/// What is looked for is too much to be looked for at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany;

impl Known {
    /// All known shapes, and these secrets; those below [`MIN_SECRET`] octets are left out, and what holds a NUL, which is no credential.
    ///
    /// # Errors
    /// [`TooMany`] where they do not fit one automaton of 2³¹ states.
    pub fn new<'a>(held: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, TooMany> {
        Self::of(SHAPES.len(), held)
    }

    /// The first so many shapes, and these secrets.
    fn of<'a>(count: usize, held: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, TooMany> {
        let shaped = SHAPES.iter().take(count).enumerate();
        let shaped = shaped.flat_map(|(number, shape)| shape.beginnings.iter().map(move |text| (text.as_bytes(), Some(number))));
        let held = held.into_iter().filter(|secret| secret.len() >= MIN_SECRET && !secret.contains(&0)).map(|secret| (secret, None));
        let (texts, patterns): (Vec<_>, Vec<_>) = shaped.chain(held).unzip();
        let mut beginnings = Beginnings::default();
        for (text, shape) in texts.iter().zip(&patterns) {
            let follow = shape.and_then(|number: usize| SHAPES.get(number)).map_or(0, |shape| shape.length);
            beginnings.add(text, follow.into());
        }
        Ok(Self { machine: Machine::new(&texts)?, patterns, beginnings })
    }

    /// Whether a text of its own holds something.
    pub fn find(self: &Arc<Self>, text: &[u8]) -> Option<Found> {
        Scan::new(self).push(text)
    }
}

/// Whether a text is a token of one of GitHub's shapes and nothing else.
pub fn is_github_token(text: &[u8]) -> bool {
    let spelled = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.-".contains(byte);
    text.starts_with(b"gh") && text.iter().all(spelled) && Lookout::finds(text)
}

/// Whether a text of its own holds a token of one of GitHub's shapes, in whatever form it is looked for.
pub fn shows_github_token(text: &[u8]) -> bool {
    static TOKENS: LazyLock<Option<Arc<Known>>> = LazyLock::new(|| Known::of(GITHUB, []).ok().map(Arc::new));
    TOKENS.as_ref().is_none_or(|known| known.find(text).is_some())
}

/// Nothing of what is looked for.
impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Known").field("patterns", &self.patterns.len()).finish_non_exhaustive()
    }
}

/// One stream on its way out, however it is cut into pieces. What is found is found with the piece that holds its last octet, or
/// before: whoever lets no piece go before it was scanned lets no secret go whole.
#[derive(Clone)]
pub struct Scan {
    known: Arc<Known>,
    sent: Layer,
    run: Run,
}

impl Scan {
    /// A scan at the beginning of a stream.
    pub fn new(known: &Arc<Known>) -> Self {
        Self { known: Arc::clone(known), sent: Layer::new(Track::new(known)), run: Run::default() }
    }

    /// Takes the next piece; what it completes may not go on.
    pub fn push(&mut self, piece: &[u8]) -> Option<Found> {
        let Self { known, sent, run } = self;
        let mut found = None;
        for &byte in piece {
            sent.push(known, byte, ESCAPED, run, &mut found);
            if found.is_some() {
                return found;
            }
        }
        None
    }
}

/// Nothing of what passed.
impl fmt::Debug for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan").field("known", &self.known).finish_non_exhaustive()
    }
}

/// A stream as it is, and with its escapes undone as long as that is something else.
#[derive(Clone)]
struct Layer {
    track: Track,
    undone: Option<Box<(Escapes, Layer)>>,
}

impl Layer {
    fn new(track: Track) -> Self {
        Self { track, undone: None }
    }

    /// Takes an octet, whose escapes are undone up to `depth` times; what is left then is read as base64 too.
    #[inline]
    fn push(&mut self, known: &Known, byte: u8, depth: u8, run: &mut Run, found: &mut Option<Found>) {
        // Every other octet of UTF-16 that is ASCII.
        if byte == 0 {
            return;
        }
        if self.undone.is_none() && depth > 0 && Escapes::begin_with(byte) {
            self.undone = Some(Box::new((Escapes::default(), Self::new(self.track.clone()))));
        }
        self.track.push(known, byte, found);
        if self.undone.is_some() {
            self.undo(known, byte, depth, run, found);
        } else {
            run.push(known, byte, found);
        }
    }

    fn undo(&mut self, known: &Known, byte: u8, depth: u8, run: &mut Run, found: &mut Option<Found>) {
        let Some((escapes, undone)) = self.undone.as_deref_mut() else { return };
        escapes.push(byte, &mut |octet| undone.push(known, octet, depth - 1, run, found));
        if escapes.is_clear() && undone.undone.is_none() && undone.track == self.track {
            self.undone = None;
        }
    }
}

/// Characters of base64, one after another.
#[derive(Clone, Default)]
struct Run {
    /// Its first ones, which are too few to hold a secret.
    first: [u8; SHORTEST_RUN],
    length: usize,
    /// Whether a new line has just begun.
    at_start: bool,
    /// What they mean, for each character of a group at which a meaning may begin; made once there are more.
    meanings: Option<Box<[(Base64, Track); GROUP]>>,
}

impl Run {
    fn push(&mut self, known: &Known, byte: u8, found: &mut Option<Found>) {
        let Some(value) = value(byte) else {
            // Lines of base64 are one text (RFC 2045, section 6.8), and may be indented.
            self.at_start = matches!(byte, b'\r' | b'\n') || (self.at_start && matches!(byte, b' ' | b'\t'));
            if self.length > 0 && !self.at_start {
                self.length = 0;
                self.meanings = None;
            }
            return;
        };
        self.at_start = false;
        if let Some(first) = self.first.get_mut(self.length) {
            *first = value;
            self.length += 1;
            return;
        }
        let meanings = self.meanings.get_or_insert_with(|| {
            let mut meanings = Box::new(PHASES.map(|skip| (Base64::skipping(skip), Track::new(known))));
            self.first.iter().for_each(|&value| mean(&mut meanings, known, value, found));
            meanings
        });
        mean(meanings, known, value, found);
    }
}

/// Takes a character's six bits for every meaning.
fn mean(meanings: &mut [(Base64, Track); GROUP], known: &Known, value: u8, found: &mut Option<Found>) {
    for (characters, track) in meanings {
        if let Some(octet) = characters.push(value).filter(|&octet| octet != 0) {
            track.push(known, octet, found);
        }
    }
}

/// Where one way of reading a stream has come to.
#[derive(Clone, PartialEq)]
struct Track {
    state: StateID,
    /// Octets that each shape still has to go on for, where it has begun. The first beginning of several is the one that ends first.
    going: [u16; SHAPES.len()],
    /// How many of them have begun.
    begun: u8,
}

impl Track {
    fn new(known: &Known) -> Self {
        Self { state: known.machine.start(), going: [0; SHAPES.len()], begun: 0 }
    }

    #[inline]
    fn push(&mut self, known: &Known, byte: u8, found: &mut Option<Found>) {
        if self.begun > 0 {
            self.go_on(byte, found);
        }
        let (state, matches) = known.machine.step(self.state, byte);
        self.state = state;
        if matches == Match::Some {
            self.take_matches(known, found);
        }
    }

    #[cold]
    fn take_matches(&mut self, known: &Known, found: &mut Option<Found>) {
        for pattern in known.machine.patterns_at(self.state) {
            match known.patterns.get(pattern).copied().flatten() {
                Some(shape) => self.begin(shape, found),
                None => *found = Some(Found::Held),
            }
        }
    }

    fn begin(&mut self, shape: usize, found: &mut Option<Found>) {
        let (Some(shape), Some(going)) = (SHAPES.get(shape), self.going.get_mut(shape)) else { return };
        if shape.length == 0 {
            *found = found.or(Some(Found::Shaped(shape.name)));
        } else if *going == 0 {
            *going = shape.length;
            self.begun += 1;
        }
    }

    fn go_on(&mut self, byte: u8, found: &mut Option<Found>) {
        for (shape, going) in SHAPES.iter().zip(&mut self.going).filter(|(_, going)| **going > 0) {
            *going = if (shape.takes)(byte) { *going - 1 } else { 0 };
            if *going == 0 {
                self.begun -= 1;
                if (shape.takes)(byte) {
                    *found = found.or(Some(Found::Shaped(shape.name)));
                }
            }
        }
    }
}

/// How often escapes are undone: JSON stands in strings of JSON, and URLs in queries of URLs.
const ESCAPED: u8 = 2;
/// Characters of base64 that make a whole number of octets.
const GROUP: usize = 4;
/// Characters of base64 that hold no secret of [`MIN_SECRET`] octets.
const SHORTEST_RUN: usize = 10;
const PHASES: [u8; GROUP] = [0, 1, 2, 3];

#[cfg(test)]
mod tests;
