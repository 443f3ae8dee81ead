//! Where GitHub keeps files that a call is answered with.

use std::time::SystemTime;

use super::ApiPermit;
use crate::{
    github::lfs::Href,
    policy::{Denial, Permit, Policy},
};

impl Policy {
    /// Leave to go where the answer to a permitted call leads, by the rules of [`Self::decide_storage`].
    ///
    /// # Errors
    /// Those of [`Self::decide_storage`].
    pub fn decide_download(&self, _granted: &ApiPermit, href: &Href, now: SystemTime) -> Result<Permit, Box<Denial>> {
        self.decide_named(href, now)
    }
}
