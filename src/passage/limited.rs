//! A request body that may not grow beyond what a rule says.

use http_body::Frame;

use crate::policy::{BodyLimit, Denial};

/// What is left of a body's limit while it passes; none where no rule limits it.
#[derive(Debug)]
pub(super) struct Allowance(Option<(BodyLimit, u64)>);

impl Allowance {
    pub(super) fn of(limit: Option<&BodyLimit>) -> Self {
        Self(limit.map(|limit| (limit.clone(), limit.octets())))
    }

    /// Takes the octets of one frame off what is left.
    ///
    /// # Errors
    /// The refusal of the body, whose frame may not pass: it holds the first octet too many.
    pub(super) fn take<D: bytes::Buf>(&mut self, frame: &Frame<D>) -> Result<(), Box<Denial>> {
        let (Some((limit, left)), Some(data)) = (&mut self.0, frame.data_ref()) else { return Ok(()) };
        *left = left.checked_sub(data.remaining() as u64).ok_or_else(|| limit.exceeded())?;
        Ok(())
    }
}
