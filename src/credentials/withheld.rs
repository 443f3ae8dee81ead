//! Variables of this process that hold secrets, which nothing inherits that it starts to fetch another one.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use tokio::process::Command;

/// As many as configurations ever named.
static WITHHELD: Mutex<BTreeSet<Box<str>>> = Mutex::new(BTreeSet::new());

/// From now on no command that gives a credential inherits this variable.
pub(crate) fn withhold(name: &str) {
    WITHHELD.lock().unwrap_or_else(PoisonError::into_inner).insert(name.into());
}

/// Takes them out of what a command would inherit.
pub(super) fn strip(command: &mut Command) {
    for name in &*WITHHELD.lock().unwrap_or_else(PoisonError::into_inner) {
        command.env_remove(&**name);
    }
}
