//! Secrets taken out of what an origin answers: one that mirrors a request back would show the sandbox what was put into it.
//!
//! Found are a secret as it is, in base64 (each of its three alignments, standard and URL-safe), in hexadecimal, and with any of its
//! characters escaped once: percent-encoded, as strings of JSON and JavaScript have them, or as HTML does. A mask is as long as what
//! it hides, so no length changes.

use std::{fmt, sync::LazyLock};

use base64::{
    Engine,
    prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD},
};
use zeroize::Zeroizing;

/// Shorter secrets, in octets, are found as they are alone: their other forms are too short to mean anything.
pub const MIN_ENCODED: usize = 8;
/// What stands in place of each octet of a secret.
pub const MASK: u8 = b'*';

/// Masks secrets in a stream, however it is cut into pieces. It holds back only what may be the beginning of a secret.
#[derive(Clone)]
pub struct Masker {
    /// All that is looked for as it stands here; none is empty.
    needles: Vec<Zeroizing<Vec<u8>>>,
    /// All that is looked for with any of its characters escaped.
    escapable: Vec<Zeroizing<Vec<u8>>>,
    /// Whether any of it may begin with an octet.
    begins: [bool; 256],
    /// The octets that were held back, as they came.
    held: Zeroizing<Vec<u8>>,
    /// Which of them a mask hides.
    hidden: Vec<bool>,
}

impl Masker {
    /// A masker at the beginning of a stream. An empty secret hides nothing.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let secrets: Vec<_> = secrets.into_iter().filter(|secret| !secret.is_empty()).collect();
        let mut needles: Vec<_> = secrets.iter().flat_map(|secret| forms(secret)).collect();
        needles.sort_by(|one, other| one.as_slice().cmp(other.as_slice()));
        needles.dedup_by(|one, other| one.as_slice() == other.as_slice());
        let long = secrets.iter().filter(|secret| secret.len() >= MIN_ENCODED);
        let escapable: Vec<_> = long.map(|secret| Zeroizing::new(secret.to_vec())).collect();
        let mut begins = [false; 256];
        let escapes = ESCAPES.iter().filter(|_| !escapable.is_empty());
        for first in needles.iter().filter_map(|needle| needle.first()).chain(escapes) {
            begins[usize::from(*first)] = true;
        }
        Self { needles, escapable, begins, held: Zeroizing::default(), hidden: Vec::new() }
    }

    /// Takes the next piece and gives what can be passed on: all octets so far but those that may begin a secret, at most one fewer
    /// than the longest form of one.
    pub fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        let held = self.held.len();
        let mut whole = Zeroizing::new(Vec::with_capacity(held + piece.len()));
        whole.extend_from_slice(&self.held);
        whole.extend_from_slice(piece);
        self.hidden.resize(whole.len(), false);
        let keep_from = self.hide(&whole);
        self.held = Zeroizing::new(whole[keep_from..].to_vec());
        let hidden = self.hidden.drain(..keep_from);
        whole[..keep_from].iter().zip(hidden).map(|(&byte, hidden)| if hidden { MASK } else { byte }).collect()
    }

    /// Gives what was held back: the stream has ended.
    pub fn finish(&mut self) -> Vec<u8> {
        let rest = self.held.iter().zip(&self.hidden).map(|(&byte, &hidden)| if hidden { MASK } else { byte }).collect();
        self.held = Zeroizing::default();
        self.hidden.clear();
        rest
    }

    /// Whether nothing is held back.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Octets that are held back.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// A whole text of its own, masked; `None` where it holds no secret.
    pub fn mask(&self, text: &[u8]) -> Option<Vec<u8>> {
        let mut alone = Self { held: Zeroizing::default(), hidden: Vec::new(), ..self.clone() };
        let mut masked = alone.push(text);
        masked.append(&mut alone.finish());
        (masked != text).then_some(masked)
    }

    /// Marks every needle that lies in `whole`, and gives where one may begin that ends behind it.
    fn hide(&mut self, whole: &[u8]) -> usize {
        let mut keep_from = whole.len();
        for start in (0..whole.len()).filter(|&start| self.begins[usize::from(whole[start])]) {
            let rest = &whole[start..];
            for needle in self.needles.iter().filter(|needle| needle.first() == rest.first()) {
                if rest.starts_with(needle) {
                    self.hidden[start..start + needle.len()].fill(true);
                } else if needle.starts_with(rest) {
                    keep_from = keep_from.min(start);
                }
            }
            for secret in &self.escapable {
                let (length, cut) = follow(secret, rest);
                self.hidden[start..start + length].fill(true);
                if cut {
                    keep_from = keep_from.min(start);
                }
            }
        }
        keep_from
    }
}

/// Nothing of what it looks for.
impl fmt::Debug for Masker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Masker").field("needles", &self.needles.len()).finish_non_exhaustive()
    }
}

/// How an origin may show a secret, but for what [`follow`] finds.
fn forms(secret: &[u8]) -> Vec<Zeroizing<Vec<u8>>> {
    let mut forms = vec![Zeroizing::new(secret.to_vec())];
    if secret.len() < MIN_ENCODED {
        return forms;
    }
    for digits in [LOWER, UPPER] {
        forms.push(Zeroizing::new(
            secret.iter().flat_map(|&byte| [digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]).collect(),
        ));
    }
    for engine in [BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD] {
        forms.extend((0..3).map(|before| base64_inside(secret, before, &engine)));
    }
    forms
}

/// How many octets at the beginning of a text spell a secret (0 where they do not), and whether more text may yet make it spell it.
/// What could be read as an escape is; a secret that holds such a thing itself is found as it is by another way.
fn follow(secret: &[u8], text: &[u8]) -> (usize, bool) {
    let mut at = 0;
    for (place, &octet) in secret.iter().enumerate() {
        let rest = &text[at..];
        let Some(&first) = rest.first() else { return (0, true) };
        let escapes = if ESCAPES.contains(&first) { SPELLINGS[usize::from(octet)].as_slice() } else { &[] };
        if let Some(spelling) = escapes.iter().find(|spelling| rest.starts_with(spelling)) {
            at += spelling.len();
        } else if escapes.iter().any(|spelling| spelling.starts_with(rest)) {
            let ends = first == octet && rest.len() == 1 && place + 1 == secret.len();
            return (if ends { text.len() } else { 0 }, true);
        } else if first == octet {
            at += 1;
        } else {
            return (0, false);
        }
    }
    (at, false)
}

/// What each octet may be escaped as: percent-encoded (RFC 3986, section 2.1), in a string of JSON (RFC 8259, section 7) or JavaScript,
/// and as a character reference of HTML, as libraries write them.
static SPELLINGS: LazyLock<Vec<Vec<Vec<u8>>>> = LazyLock::new(|| (0..=u8::MAX).map(spellings).collect());

fn spellings(octet: u8) -> Vec<Vec<u8>> {
    let mut spellings = vec![format!("&#{octet};"), format!("&#0{octet};"), format!("&#x{octet:x};"), format!("&#x{octet:X};")];
    for before in ["%", "\\u00", "\\x"] {
        spellings.extend([format!("{before}{octet:02x}"), format!("{before}{octet:02X}")]);
    }
    let name = match octet {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'>' => Some("&gt;"),
        b'"' => Some("&quot;"),
        b'\'' => Some("&apos;"),
        _ => None,
    };
    spellings.extend(name.map(str::to_owned));
    if octet.is_ascii_punctuation() {
        spellings.push(format!("\\{}", char::from(octet)));
    }
    spellings.into_iter().map(String::into_bytes).collect()
}

/// The characters of base64 that depend on a secret alone, where so many octets stand before it. One that it shares with a neighbour
/// is left out: it shows at most four bits of it.
fn base64_inside(secret: &[u8], before: usize, engine: &impl Engine) -> Zeroizing<Vec<u8>> {
    let whole = Zeroizing::new([&[0, 0][..before], secret].concat());
    let text = Zeroizing::new(engine.encode(whole.as_slice()));
    let inside = (before * 8).div_ceil(6)..whole.len() * 8 / 6;
    Zeroizing::new(text.as_bytes().get(inside).unwrap_or_default().to_vec())
}

/// What every spelling begins with.
const ESCAPES: &[u8] = b"%&\\";
const LOWER: &[u8; 16] = b"0123456789abcdef";
const UPPER: &[u8; 16] = b"0123456789ABCDEF";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECRET: &[u8] = b"sk-ant/0123+xyz=";

    fn masked(text: &[u8]) -> String {
        let masker = Masker::new([SECRET]);
        String::from_utf8(masker.mask(text).unwrap_or_else(|| text.to_vec())).unwrap()
    }

    #[test]
    fn threat_89_every_form_of_a_secret_is_masked() {
        let stars = "*".repeat(SECRET.len());
        let table: [(&[u8], String); 15] = [
            (b"sk-ant/0123+xyz=", stars.clone()),
            (b"x-api-key: sk-ant/0123+xyz=.", format!("x-api-key: {stars}.")),
            (b"sk-ant%2F0123%2Bxyz%3D", "*".repeat(22)),
            (b"?key=sk-ant%2f0123%2bxyz%3d&a", format!("?key={}&a", "*".repeat(22))),
            (b"\"sk-ant\\/0123+xyz=\"", format!("\"{}\"", "*".repeat(17))),
            (b"\"sk-ant/0123\\u002Bxyz=\"", format!("\"{}\"", "*".repeat(21))),
            (b"\"sk-ant/0123\\u002bxyz\\u003d\"", format!("\"{}\"", "*".repeat(26))),
            (b"'sk-ant\\/0123\\x2bxyz='", format!("'{}'", "*".repeat(20))),
            (b"<b>sk-ant&#x2F;0123&#43;xyz&#x3d;</b>", format!("<b>{}</b>", "*".repeat(30))),
            (b"sk-ant%2F0123%2Bxyz&#61;", "*".repeat(24)),
            (b"%73%6B%2D%61%6E%74%2f%30%31%32%33%2b%78%79%7a%3D", "*".repeat(48)),
            (b"736b2d616e742f303132332b78797a3d", "*".repeat(32)),
            (b"736B2D616E742F303132332B78797A3D", "*".repeat(32)),
            (b"sk-ant/0123+xyz", "sk-ant/0123+xyz".to_owned()),
            (b"SK-ANT/0123+XYZ=", "SK-ANT/0123+XYZ=".to_owned()),
        ];
        for (text, expected) in table {
            assert_eq!(masked(text), expected, "{}", text.escape_ascii());
        }
    }

    /// `echo json_encode($s)`, `html.escape(s)`, `json.Marshal(s)` and the like of what they escape, and of what looks escaped.
    #[test]
    fn what_a_secret_shares_with_escapes_changes_nothing() {
        let secret = b"a&b<c>\"d'\\e/%f";
        let masker = Masker::new([secret.as_slice(), b"x&amp;%2Fyz\\"]);
        for text in [
            r#"a&b<c>"d'\e/%f"#,
            r#"a\u0026b\u003cc\u003e\"d'\\e/%f"#,
            r"a\u0026b\u003Cc\u003E\u0022d\u0027\\e\/%f",
            r"a&amp;b&lt;c&gt;&quot;d&#x27;\e/%f",
            r"a&amp;b&lt;c&gt;&#34;d&#39;\e/%f",
            r"a&amp;b&lt;c&gt;&quot;d&#039;\e/%f",
            r"a&amp;b&lt;c&gt;&quot;d&apos;\e&#x2F;%f",
            "a%26b%3Cc%3E%22d'%5Ce/%25f",
            "x&amp;%2Fyz\\",
            "x&amp;amp;%2Fyz\\",
            "x%26amp%3B%252Fyz\\",
            "x%26amp%3B%252Fyz%5C",
            r"x\u0026amp;%2Fyz\\",
        ] {
            let shown = masker.mask(text.as_bytes()).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(String::from_utf8(shown), Ok("*".repeat(text.len())), "{text}");
        }
        for text in ["x&amp;%2Fyz", "x&amp;%2fyz\\", "a&ampb<c>\"d'\\e/%f"] {
            assert_eq!(masker.mask(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn base64_is_masked_wherever_the_secret_stands_in_it() {
        for user in ["", "x", "ab", "abc", "x-access-token"] {
            for after in ["", "1", "12", "123"] {
                let pair = [user.as_bytes(), b":", SECRET, after.as_bytes()].concat();
                for text in [BASE64_STANDARD_NO_PAD.encode(&pair), BASE64_URL_SAFE_NO_PAD.encode(&pair)] {
                    let shown = masked(text.as_bytes());
                    assert_eq!(shown.len(), text.len());
                    // All but one character at either end, which neighbours share.
                    assert!(shown.matches('*').count() >= SECRET.len() * 8 / 6 - 1, "{shown}");
                }
            }
        }
    }

    #[test]
    fn overlapping_secrets_are_hidden_whole() {
        let masker = Masker::new([b"abcab".as_slice(), b"bc"]);
        assert_eq!(masker.mask(b"abcabcab bc ab").unwrap(), b"******** ** ab");
        assert_eq!(masker.mask(b"ab ca"), None);
        assert_eq!(Masker::new([b"".as_slice()]).mask(b"ab ca"), None);
    }

    #[test]
    fn only_what_may_begin_a_secret_is_held_back() {
        let mut masker = Masker::new([b"secret".as_slice()]);
        assert_eq!((masker.push(b"data: 1\n\n"), masker.len()), (b"data: 1\n\n".to_vec(), 0));
        assert_eq!((masker.push(b"a se"), masker.len()), (b"a ".to_vec(), 2));
        assert_eq!((masker.push(b"cre"), masker.len()), (Vec::new(), 5));
        assert_eq!((masker.push(b"t se"), masker.len()), (b"****** ".to_vec(), 2));
        assert_eq!((masker.finish(), masker.is_empty()), (b"se".to_vec(), true));
    }

    #[test]
    fn nothing_of_a_secret_is_shown() {
        let mut masker = Masker::new([b"secret".as_slice()]);
        masker.push(b"secre");
        assert_eq!(format!("{masker:?}"), "Masker { needles: 1, .. }");
    }

    /// Secrets of all that escapes mean something to.
    const CHARACTERS: &str = "[ -~]{8,20}";

    proptest! {
        #[test]
        fn a_secret_is_hidden_however_its_characters_are_escaped(
            secret in CHARACTERS,
            ways in proptest::collection::vec(proptest::option::of(0usize..32), 20),
            (before, after) in ("[a-z ]{0,3}", "[a-z ]{0,3}"),
            cut in 0usize..200,
        ) {
            // What a server leaves as it is cannot begin an escape: the server escapes those that do.
            let spelled: Vec<u8> = secret.bytes().zip(ways).flat_map(|(octet, way)| {
                let spellings = &SPELLINGS[usize::from(octet)];
                let way = way.or(ESCAPES.contains(&octet).then_some(0));
                way.map_or_else(|| vec![octet], |way| spellings[way % spellings.len()].clone())
            }).collect();
            let text = [before.as_bytes(), &spelled, after.as_bytes()].concat();
            let mut masker = Masker::new([secret.as_bytes()]);
            let (one, other) = text.split_at(cut.min(text.len()));
            let mut shown = masker.push(one);
            shown.append(&mut masker.push(other));
            shown.append(&mut masker.finish());
            let hidden = [before.as_bytes(), &vec![MASK; spelled.len()], after.as_bytes()].concat();
            prop_assert_eq!(String::from_utf8(shown), String::from_utf8(hidden));
        }

        #[test]
        fn escapes_in_pieces_change_nothing(
            secret in "[a&;%\\\\2]{8}",
            text in "([a&;%\\\\2]|&amp;|%25|%26|\\\\\\\\){0,40}",
            cuts in proptest::collection::vec(0usize..100, 0..6),
        ) {
            let masker = || Masker::new([secret.as_bytes(), &secret.as_bytes()[..3]]);
            let text = [secret.as_bytes(), text.as_bytes(), secret.as_bytes()].concat();
            let mut slow = masker();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).chain([0, text.len()]).collect();
            cuts.sort_unstable();
            let mut slowly: Vec<_> = cuts.windows(2).flat_map(|pair| slow.push(&text[pair[0]..pair[1]])).collect();
            slowly.append(&mut slow.finish());
            prop_assert_eq!(Some(slowly), masker().mask(&text));
        }

        #[test]
        fn pieces_change_nothing_and_no_secret_survives(
            secrets in proptest::collection::vec("[ab]{1,9}", 1..3),
            text in "[abYW/%6]{0,60}",
            cuts in proptest::collection::vec(0usize..60, 0..6),
        ) {
            let at_once = {
                let masker = Masker::new(secrets.iter().map(String::as_bytes));
                masker.mask(text.as_bytes()).unwrap_or_else(|| text.clone().into_bytes())
            };
            let mut masker = Masker::new(secrets.iter().map(String::as_bytes));
            let longest = masker.needles.iter().map(|needle| needle.len()).max().unwrap_or_default();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).chain([0, text.len()]).collect();
            cuts.sort_unstable();
            let mut slowly = Vec::new();
            for pair in cuts.windows(2) {
                slowly.append(&mut masker.push(&text.as_bytes()[pair[0]..pair[1]]));
                prop_assert!(masker.len() < longest);
            }
            slowly.append(&mut masker.finish());
            prop_assert_eq!(&slowly, &at_once);
            prop_assert_eq!(at_once.len(), text.len());
            for needle in &masker.needles {
                prop_assert!(!at_once.windows(needle.len()).any(|window| window == needle.as_slice()));
            }
            for (octet, was) in at_once.iter().zip(text.bytes()) {
                prop_assert!(*octet == was || *octet == MASK);
            }
        }
    }
}
