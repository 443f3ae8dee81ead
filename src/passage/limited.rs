//! A request body that may not grow beyond what a rule says.

use crate::policy::{BodyLimit, Denial};

/// What is left of a body's limit while it passes; none where no rule limits it.
#[derive(Debug)]
pub(super) struct Allowance(Option<(BodyLimit, u64)>);

impl Allowance {
    pub(super) fn of(limit: Option<&BodyLimit>) -> Self {
        Self(limit.map(|limit| (limit.clone(), limit.octets())))
    }

    /// Takes the octets of one piece off what is left.
    ///
    /// # Errors
    /// The refusal of the body, of which the piece may not pass: it holds the first octet too many.
    pub(super) fn take(&mut self, octets: usize) -> Result<(), Box<Denial>> {
        let Some((limit, left)) = &mut self.0 else { return Ok(()) };
        *left = left.checked_sub(octets as u64).ok_or_else(|| limit.exceeded())?;
        Ok(())
    }
}
