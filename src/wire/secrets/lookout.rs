//! Tokens of GitHub's shapes in all that a sandbox sends, whether or not it may send them. They are found as they are alone, so that
//! looking for them costs next to nothing; whatever may not leave is looked for by [`Scan`](super::Scan).

use super::shapes::{GITHUB, SHAPES, Shape};

/// A lookout over one stream, however it is cut into pieces. Beginnings of tokens end with an underscore, and octets without one are
/// passed over.
#[derive(Clone, Default)]
pub struct Lookout {
    /// What came last: a beginning may end in the next piece.
    last: [u8; LONGEST],
    /// Octets that each of GitHub's shapes still has to go on for, where it has begun.
    going: [u16; GITHUB],
}

impl Lookout {
    /// Whether a text of its own holds a token.
    pub fn finds(text: &[u8]) -> bool {
        Self::default().push(text)
    }

    /// Takes the next piece. Whether a token has been complete in it.
    pub fn push(&mut self, piece: &[u8]) -> bool {
        let mut at = 0;
        let mut found = false;
        while let Some(rest) = piece.get(at..).filter(|rest| !found && !rest.is_empty()) {
            let skipped = if self.is_going() { 0 } else { rest.iter().position(|&byte| byte == UNDERSCORE).unwrap_or(rest.len()) };
            at += skipped;
            let Some(&byte) = piece.get(at) else { break };
            found = self.go_on(byte);
            if byte == UNDERSCORE {
                self.begin(&piece[..at]);
            }
            at += 1;
        }
        self.last = self.behind(piece);
        found
    }

    fn is_going(&self) -> bool {
        self.going.iter().any(|left| *left > 0)
    }

    /// Takes an octet of what has begun; whether that ends a token.
    fn go_on(&mut self, byte: u8) -> bool {
        let mut found = false;
        for (shape, left) in shapes().zip(&mut self.going).filter(|(_, left)| **left > 0) {
            *left = if (shape.takes)(byte) { *left - 1 } else { 0 };
            found |= *left == 0 && (shape.takes)(byte);
        }
        found
    }

    /// An underscore stands behind `before`, which stands behind what came before it.
    fn begin(&mut self, before: &[u8]) {
        let text = self.behind(before);
        for (shape, left) in shapes().zip(&mut self.going).filter(|(_, left)| **left == 0) {
            let mut beginnings = shape.beginnings.iter().filter_map(|beginning| beginning.as_bytes().strip_suffix(&[UNDERSCORE]));
            if beginnings.any(|beginning| text.ends_with(beginning)) {
                *left = shape.length;
            }
        }
    }

    /// The last octets behind those of before.
    fn behind(&self, piece: &[u8]) -> [u8; LONGEST] {
        let kept = piece.len().min(LONGEST);
        let mut last = [0; LONGEST];
        last[..LONGEST - kept].copy_from_slice(&self.last[kept..]);
        last[LONGEST - kept..].copy_from_slice(&piece[piece.len() - kept..]);
        last
    }
}

fn shapes() -> impl Iterator<Item = &'static Shape> {
    SHAPES.iter().take(GITHUB)
}

/// Octets of the longest beginning without its underscore, `github_pat`.
const LONGEST: usize = 10;
const UNDERSCORE: u8 = b'_';

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(text: &str) -> bool {
        Lookout::finds(text.as_bytes())
    }

    #[test]
    fn every_shape_of_github_s_and_no_other() {
        assert!(SHAPES.iter().enumerate().all(|(number, shape)| (shape.name == "a GitHub token") == (number < GITHUB)));
        let beginnings = || shapes().flat_map(|shape| shape.beginnings.iter());
        assert!(beginnings().all(|beginning| beginning.ends_with('_') && beginning.len() <= LONGEST + 1));
        for shape in shapes() {
            for beginning in shape.beginnings {
                let token = format!("{beginning}{}", "a1B2".repeat(30).split_at(usize::from(shape.length)).0);
                for text in [
                    token.clone(),
                    format!("_x_{token}"),
                    format!("ghp_{token}"),
                    format!("github_pat_{token}!"),
                    format!("é{token} and more"),
                ] {
                    assert!(found(&text), "{text}");
                }
                assert!(!found(&token[..token.len() - 1]) && !found(&token[1..]), "{token}");
                assert!(!found(&token.replacen('a', "!", 1)), "{token}");
            }
        }
        // As they are made since April 2026: the App's number and a JWT.
        assert!(found(&format!("token=ghs_123456_eyJ{}.eyJ{}.sig-_", "a".repeat(20), "b".repeat(20))));
        for text in [
            "",
            "_",
            "ghp_",
            "sk-ant-api03-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "gh_pat_aaaa",
            "GHP_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ] {
            assert!(!found(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn pieces_change_nothing(text in "(ghp_|gho|ghs_|github_pat_|_|[ -~]|[a-zA-Z0-9]{1,40}){0,12}", size in 1usize..20) {
            let mut lookout = Lookout::default();
            let mut pieces = text.as_bytes().chunks(size);
            prop_assert_eq!(pieces.any(|piece| lookout.push(piece)), found(&text));
        }

        /// What stands there plainly is found by the whole search too.
        #[test]
        fn nothing_is_found_that_is_none(text in "(ghp_|ghs_|github_pat_|_|[ -~]|[a-zA-Z0-9]{1,70}){0,12}") {
            prop_assert!(!found(&text) || super::super::shows_github_token(text.as_bytes()));
        }
    }
}
