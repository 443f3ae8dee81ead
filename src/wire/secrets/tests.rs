use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD},
};
use proptest::prelude::*;

use super::*;

const HELD: &[u8] = b"real/credential+0123456789";
const TOKEN: &str = "ghp_0123456789abcdefghijklmnopqrstuvwxyz";

fn known() -> Arc<Known> {
    Arc::new(Known::new([HELD, b"short"]).unwrap())
}

fn percent(text: &[u8]) -> Vec<u8> {
    text.iter().flat_map(|byte| format!("%{byte:02X}").into_bytes()).collect()
}

/// In a string of JSON, in the ways of several libraries.
fn json(text: &[u8]) -> [Vec<u8>; 2] {
    let whole: Vec<_> = text.iter().flat_map(|byte| format!("\\u{:04x}", u16::from(*byte)).into_bytes()).collect();
    let text = String::from_utf8(text.to_vec()).unwrap();
    [whole, text.replace('\\', "\\\\").replace('/', "\\/").replace('+', "\\u002B").into_bytes()]
}

fn utf16(text: &[u8]) -> Vec<u8> {
    text.iter().flat_map(|byte| [*byte, 0]).collect()
}

/// Every way of writing a secret that is found.
fn spellings(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut spellings = vec![secret.to_vec(), percent(secret), percent(&percent(secret)), utf16(secret)];
    for spelling in json(secret) {
        spellings.extend(json(&spelling));
        spellings.extend([percent(&spelling), spelling]);
    }
    spellings.push(BASE64_STANDARD.encode(utf16(secret)).into_bytes());
    let of_php = BASE64_STANDARD.encode(secret).replace('/', "\\/").into_bytes();
    spellings.extend([utf16(&of_php), of_php]);
    for before in ["", "a", "ab", "abc", "user:"] {
        for after in ["", "x", "xy"] {
            let text = [before.as_bytes(), secret, after.as_bytes()].concat();
            spellings.extend([BASE64_STANDARD.encode(&text), BASE64_URL_SAFE_NO_PAD.encode(&text)].map(String::into_bytes));
            spellings.push(percent(BASE64_STANDARD.encode(&text).as_bytes()));
        }
        // Tools break it into lines.
        let lines = BASE64_STANDARD.encode([before.as_bytes(), secret].concat());
        let lines: Vec<_> = lines.as_bytes().chunks(19).collect();
        spellings.extend([&b"\r\n"[..], b"\n    ", b"\\n", b"\\r\\n\\t", b"%0D%0A"].map(|end| lines.join(end)));
        // What stands in front of it may be of the same alphabet.
        spellings.push(format!("/{before}{}", BASE64_STANDARD_NO_PAD.encode(secret)).into_bytes());
    }
    spellings
}

#[test]
fn secrets_are_found_however_they_are_spelled_and_cut() {
    let known = known();
    for (secret, found) in [(HELD, Found::Held), (TOKEN.as_bytes(), Found::Shaped("a GitHub token"))] {
        for spelling in spellings(secret) {
            let text = [b"{\"key\": \"", &spelling[..], b"\"}"].concat();
            assert_eq!(known.find(&text), Some(found), "{}", text.escape_ascii());
            for cut in 1..text.len() {
                let mut scan = Scan::new(&known);
                assert_eq!(scan.push(&text[..cut]).or_else(|| scan.push(&text[cut..])), Some(found), "{cut}");
            }
        }
    }
}

#[test]
fn the_last_octet_of_a_secret_never_goes() {
    let known = known();
    for secret in [HELD, TOKEN.as_bytes()] {
        for spelling in [secret.to_vec(), percent(secret), BASE64_STANDARD_NO_PAD.encode(secret).into_bytes()] {
            let mut scan = Scan::new(&known);
            let held_back = spelling.iter().position(|byte| scan.push(std::slice::from_ref(byte)).is_some());
            assert!(held_back.is_some_and(|at| at < spelling.len()), "{}", spelling.escape_ascii());
        }
    }
}

#[test]
fn every_shape_is_found_whole_and_not_before() {
    let known = known();
    for shape in SHAPES {
        let filling = b"A1".iter().copied().find(|&byte| (shape.takes)(byte)).unwrap();
        for beginning in shape.beginnings {
            let text = [beginning.as_bytes(), &vec![filling; shape.length.into()]].concat();
            assert_eq!(known.find(&text), Some(Found::Shaped(shape.name)), "{beginning}");
            assert_eq!(known.find(&text[..text.len() - 1]), None, "{beginning}");
            let broken = [beginning.as_bytes(), b" ", &vec![filling; shape.length.into()]].concat();
            assert_eq!(known.find(&broken).filter(|_| shape.length > 0), None, "{beginning}");
            let twice = [beginning.as_bytes(), &text].concat();
            assert_eq!(known.find(&twice), Some(Found::Shaped(shape.name)), "{beginning}");
        }
    }
}

#[test]
fn what_is_no_secret_passes() {
    let known = known();
    for text in [
        "",
        "short",
        "real/credential+012345678",
        "ghp_",
        "ghp_too_short",
        "%",
        "%6",
        "%zz",
        "AKIA lower case",
        "sk-learn",
        "100%25",
        "\\",
        "\\u00",
        "\\q",
    ] {
        assert_eq!(known.find(text.as_bytes()), None, "{text}");
    }
    let text = format!("{known:?} {:?} {}", Scan::new(&known), Found::Held);
    assert!(!text.contains("0123456789"), "{text}");
}

proptest! {
    #[test]
    fn pieces_change_nothing(text in proptest::collection::vec(prop_oneof![Just(b'%'), Just(b'\\'), Just(b'u'), Just(b'0'), Just(b'g'), any::<u8>()], 0..200), size in 1..9_usize) {
        let known = known();
        let mut scan = Scan::new(&known);
        let slowly = text.chunks(size).find_map(|piece| scan.push(piece));
        prop_assert_eq!(known.find(&text), slowly);
    }

    #[test]
    fn a_held_secret_is_found_in_base64_of_anything(
        before in proptest::collection::vec(any::<u8>(), 0..20),
        secret in proptest::collection::vec(1..=u8::MAX, MIN_SECRET..40),
        after in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let known = Arc::new(Known::new([&secret[..]]).unwrap());
        let whole = [before, secret, after].concat();
        prop_assert!(known.find(BASE64_STANDARD.encode(&whole).as_bytes()).is_some());
        prop_assert!(known.find(&percent(&whole)).is_some());
    }
}
