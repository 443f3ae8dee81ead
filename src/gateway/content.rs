//! An object on its way, held to its name: what ends it goes on only once all of it was seen to be what it is called.

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;

use crate::{github::lfs::Object, reason::Reason, upstream::BodyFault};

/// The octets of one object, or of a part of one.
pub(super) struct Content {
    /// None for a part, which has no name.
    named: Option<(Object, Context)>,
    /// Octets still to come.
    left: u64,
    /// What came last, and waits for what comes next.
    held: Bytes,
    /// Whose fault it is where they are others.
    reason: Reason,
}

impl Content {
    pub(super) fn whole(object: Object, reason: Reason) -> Self {
        Self { named: Some((object, Context::new(&SHA256))), left: object.size, held: Bytes::new(), reason }
    }

    pub(super) fn part(length: u64, reason: Reason) -> Self {
        Self { named: None, left: length, held: Bytes::new(), reason }
    }

    /// Octets that are still to be passed on.
    pub(super) fn left(&self) -> u64 {
        self.left + self.held.len() as u64
    }

    /// Takes a piece, and gives what may go on: all but the last piece, and that too with the last octet of the whole.
    pub(super) fn pass(&mut self, piece: Bytes) -> Result<Bytes, BodyFault> {
        self.left = self.left.checked_sub(piece.len() as u64).ok_or_else(|| self.fault("goes on beyond its size"))?;
        if let Some((object, context)) = &mut self.named {
            context.update(&piece);
            if self.left == 0 && context.clone().finish().as_ref() != object.oid.as_octets() {
                return Err(self.fault("has another SHA-256 than its name"));
            }
        }
        if self.left > 0 {
            return Ok(std::mem::replace(&mut self.held, piece));
        }
        let held = std::mem::take(&mut self.held);
        Ok(if held.is_empty() { piece } else { [&*held, &*piece].concat().into() })
    }

    /// No piece follows.
    pub(super) fn end(&self) -> Result<(), BodyFault> {
        if self.left == 0 { Ok(()) } else { Err(self.fault("ends before its size")) }
    }

    fn fault(&self, what: &str) -> BodyFault {
        BodyFault { reason: self.reason, detail: format!("The object was given up on its way: what was sent {what}.") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::github::lfs::Oid;

    const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    fn object(size: u64) -> Object {
        Object { oid: Oid::parse(HELLO).unwrap(), size }
    }

    /// What goes on of these pieces, and how it ends.
    fn pass(mut content: Content, pieces: &[&'static str]) -> (String, Result<(), String>) {
        let mut passed = String::new();
        for piece in pieces {
            match content.pass(Bytes::from_static(piece.as_bytes())) {
                Ok(bytes) => passed += std::str::from_utf8(&bytes).unwrap(),
                Err(fault) => return (passed, Err(fault.detail)),
            }
        }
        (passed, content.end().map_err(|fault| fault.detail))
    }

    #[test]
    fn the_last_octets_wait_for_the_name_to_fit() {
        let whole = |pieces: &[&'static str]| pass(Content::whole(object(5), Reason::BadRequest), pieces);
        for pieces in [&["hello"][..], &["h", "ello"], &["h", "e", "l", "l", "o"], &["hell", "", "o"]] {
            assert_eq!(whole(pieces), ("hello".into(), Ok(())), "{pieces:?}");
        }
        for (pieces, passed, why) in [
            (&["hellO"][..], "", "another SHA-256"),
            (&["h", "e", "l", "l", "O"], "hel", "another SHA-256"),
            (&["hello!"], "", "beyond its size"),
            (&["hell", "o!"], "", "beyond its size"),
            (&["hello", "!"], "hello", "beyond its size"),
            (&["he", "ll"], "he", "ends before"),
            (&[], "", "ends before"),
        ] {
            let (went, end) = whole(pieces);
            assert_eq!(went, passed, "{pieces:?}");
            assert!(end.as_ref().is_err_and(|end| end.contains(why)), "{pieces:?}: {end:?}");
        }
        assert_eq!(pass(Content::part(2, Reason::UpstreamClosed), &["l", "o"]), ("lo".into(), Ok(())));
        assert!(pass(Content::part(2, Reason::UpstreamClosed), &["lo!"]).1.is_err());
    }
}
