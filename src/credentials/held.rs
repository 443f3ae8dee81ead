//! What must not leave: the real credentials that this process holds, beside tokens of known shapes.

use std::sync::{Arc, Mutex, PoisonError};

use crate::{
    secret::Secret,
    wire::secrets::{Known, TooMany},
};

/// What is looked for, made anew where other secrets are held than before.
#[derive(Default)]
pub(crate) struct Held(Mutex<Latest>);

/// What is held, and what is looked for on its account.
type Latest = Option<(Vec<Arc<Secret>>, Arc<Known>)>;

impl Held {
    /// What has to be looked for while these are held.
    ///
    /// # Errors
    /// [`TooMany`]: then nothing can be said of any request.
    pub(crate) fn known(&self, secrets: Vec<Arc<Secret>>) -> Result<Arc<Known>, TooMany> {
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((held, known)) = latest.as_ref()
            && held.len() == secrets.len()
            && held.iter().zip(&secrets).all(|(one, other)| Arc::ptr_eq(one, other))
        {
            return Ok(Arc::clone(known));
        }
        let known = Arc::new(Known::new(secrets.iter().map(|secret| secret.expose()))?);
        *latest = Some((secrets, Arc::clone(&known)));
        Ok(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::secrets::Found;

    #[test]
    fn what_is_looked_for_is_made_anew_where_other_secrets_are_held() {
        let [one, other] = ["first-credential", "other-credential"].map(|text| Arc::new(Secret::new(text)));
        let held = Held::default();
        let first = held.known(vec![Arc::clone(&one)]).unwrap();
        assert_eq!(first.find(b"the first-credential"), Some(Found::Held));
        assert!(Arc::ptr_eq(&first, &held.known(vec![Arc::clone(&one)]).unwrap()));
        let second = held.known(vec![one, other]).unwrap();
        assert_eq!((first.find(b"other-credential"), second.find(b"other-credential")), (None, Some(Found::Held)));
    }
}
