//! What bytes of a sandbox say, or that they say nothing.
//!
//! Pure readers: slices in, values out. Each is strict, bounded by a named constant, and gives the same answer however
//! the bytes were cut into segments. A reader that works while bytes arrive is offered the whole of what was not yet
//! taken each time; it answers with a value, with "not yet", or with an error that no further byte could mend.

pub mod client_hello;
pub mod target;
pub mod location;
pub mod path;
pub mod masking;
pub mod secrets;
pub mod authorization;
pub mod encoded;
pub mod http1;
pub mod opening;
pub mod websocket;
pub mod http2;
pub mod dns;
pub mod socks;
pub mod git_credential;

/// The beginning of an offending input, fit for an error message: escaped, at most [`MAX_EXCERPT`] octets of it.
pub(crate) fn excerpt(input: &[u8]) -> Box<str> {
    let shown = &input[..input.len().min(MAX_EXCERPT)];
    let ellipsis = if shown.len() < input.len() { "…" } else { "" };
    format!("{}{ellipsis}", shown.escape_ascii()).into()
}

/// Most octets of an offending input that an error shows.
const MAX_EXCERPT: usize = 60;
