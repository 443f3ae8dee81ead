//! What an answer holds that opens something by itself.

use crate::wire::masking::MASK;

/// Hides the token with which anybody may clone a private repository (`temp_clone_token` of a repository's JSON), however the answer is cut
/// into pieces. A mask is as long as what it hides, so no length changes.
#[derive(Debug, Clone, Default)]
pub struct Veil(At);

#[derive(Debug, Clone, Copy)]
enum At {
    /// So many octets of the key stand before it.
    Key(usize),
    /// Between the key and its value.
    Colon,
    Value,
}

impl Default for At {
    fn default() -> Self {
        Self::Key(0)
    }
}

impl Veil {
    /// Takes the next piece.
    pub fn hide(&mut self, piece: &mut [u8]) {
        for byte in piece {
            self.0 = match (self.0, *byte) {
                (At::Key(met), next) if KEY.get(met) == Some(&next) => {
                    if met + 1 == KEY.len() {
                        At::Colon
                    } else {
                        At::Key(met + 1)
                    }
                }
                (At::Colon, b'"') => At::Value,
                (At::Colon, b':' | b' ' | b'\n' | b'\r' | b'\t') => At::Colon,
                (At::Key(_), b'"') => At::Key(1),
                (At::Value, b'"') | (At::Key(_) | At::Colon, _) => At::Key(0),
                (At::Value, _) => {
                    *byte = MASK;
                    At::Value
                }
            };
        }
    }
}

const KEY: &[u8] = b"\"temp_clone_token\"";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_to_clone_by_is_hidden_wherever_the_answer_is_cut() {
        for (text, expected) in [
            (r#"{"temp_clone_token":"ABC","x":"y"}"#, r#"{"temp_clone_token":"***","x":"y"}"#),
            (
                r#"[{"a":""temp_clone_token" : "A"},{"temp_clone_token":"B"}]"#,
                r#"[{"a":""temp_clone_token" : "*"},{"temp_clone_token":"*"}]"#,
            ),
            (r#"{"temp_clone_token":null,"x":"y"}"#, r#"{"temp_clone_token":null,"x":"y"}"#),
            (r#"{"temp_clone_token":"","x":"y"}"#, r#"{"temp_clone_token":"","x":"y"}"#),
            (r#"{"body":"\"temp_clone_token\":\"z\""}"#, r#"{"body":"\"temp_clone_token\":\"z\""}"#),
        ] {
            for cut in 0..=text.len() {
                let (mut veil, mut bytes) = (Veil::default(), text.as_bytes().to_vec());
                let (first, second) = bytes.split_at_mut(cut);
                veil.hide(first);
                veil.hide(second);
                assert_eq!(String::from_utf8(bytes).unwrap(), expected, "{cut}");
            }
        }
    }
}
