//! Leave to push, and what still has to be seen to before it is used.

use super::{PushDenial, RefChange};
use crate::{
    github::{RepositoryName, push::RefName},
    pack::Examined,
    policy::push_content::ContentRules,
};

/// Leave to push, to one repository and no more than was judged.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct PushPermit {
    pub(super) repository: RepositoryName,
    pub(super) entries: Vec<Box<str>>,
    pub(super) to_verify: Vec<RefName>,
    pub(super) to_examine: Option<ContentRules>,
}

impl PushPermit {
    pub fn repository(&self) -> &RepositoryName {
        &self.repository
    }

    /// The entry of the grant that allows each change, in their order.
    pub fn entries(&self) -> &[Box<str>] {
        &self.entries
    }

    /// The refs whose update the grant allows only if it leaves no commit behind. The list of commands does not show that: who forwards
    /// a push verifies that the new commit descends from the old, or refuses. Empty where the entries have `force`.
    pub fn to_verify(&self) -> &[RefName] {
        &self.to_verify
    }

    /// The same, once it was verified of some of them.
    pub fn verified(mut self, is_verified: impl Fn(&RefName) -> bool) -> Self {
        self.to_verify.retain(|name| !is_verified(name));
        self
    }

    /// The rules that the objects of the push are held to before it goes on: who forwards a push examines them, or refuses.
    pub fn to_examine(&self) -> Option<&ContentRules> {
        self.to_examine.as_ref()
    }

    /// The same, whose objects are held to these rules.
    pub(in crate::policy) fn holding(self, to_examine: Option<ContentRules>) -> Self {
        Self { to_examine, ..self }
    }

    /// The same, once its objects were examined.
    ///
    /// # Errors
    /// [`crate::reason::Reason::PushContentNotAllowed`] where they break a rule.
    pub fn examined(self, changes: &[RefChange], examined: &Examined) -> Result<Self, Box<PushDenial>> {
        let broken = self.to_examine.as_ref().map(|rules| rules.judge(examined)).unwrap_or_default();
        if broken.is_empty() {
            return Ok(Self { to_examine: None, ..self });
        }
        Err(Box::new(PushDenial::of_content(&self.repository, changes, &broken)))
    }

    /// Whether a ref is one of those to verify.
    pub fn verifies(&self, name: &RefName) -> bool {
        self.to_verify.contains(name)
    }
}

/// A push that may be made unless one of its refs turns out to be the default branch: no leave to make it.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Foreseen(pub(super) PushPermit);

impl Foreseen {
    /// As [`PushPermit::entries`].
    pub fn entries(&self) -> &[Box<str>] {
        self.0.entries()
    }

    /// As [`PushPermit::to_verify`].
    pub fn to_verify(&self) -> &[RefName] {
        self.0.to_verify()
    }

    /// As [`PushPermit::to_examine`].
    pub fn to_examine(&self) -> Option<&ContentRules> {
        self.0.to_examine()
    }

    pub(in crate::policy) fn holding(self, to_examine: Option<ContentRules>) -> Self {
        Self(self.0.holding(to_examine))
    }
}
