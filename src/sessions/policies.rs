//! The policy that a session's record names.

use std::{cell::RefCell, path::Path, sync::Arc, time::Duration};

use crate::{
    credentials::{Equipped, Surroundings},
    files::Stamps,
    policy::Policy,
};

/// Why a record has no policy, and which files to change for one.
pub(super) struct Unusable {
    pub(super) why: String,
    pub(super) files: Stamps,
}

/// The policy in a file with its credentials, or else the one of those that name none. `patience` bounds whatever fetches a credential.
pub(super) fn policy_of(file: Option<&Path>, default: Option<&Arc<Equipped>>, patience: Duration) -> Result<Arc<Equipped>, Unusable> {
    let Some(file) = file else {
        let why = "it names none, and the configuration has no [policy]".to_owned();
        return default.cloned().ok_or_else(|| Unusable { why, files: Stamps::default() });
    };
    let files = RefCell::default();
    match read(file, patience, &files) {
        Ok(policy) => Ok(Arc::new(policy.made_of(files.into_inner()))),
        Err(why) => Err(Unusable { why, files: files.into_inner() }),
    }
}

fn read(file: &Path, patience: Duration, files: &RefCell<Stamps>) -> Result<Equipped, String> {
    let name = file.display().to_string();
    files.borrow_mut().note(file);
    let text = std::fs::read_to_string(file).map_err(|error| format!("{name} cannot be read: {error}"))?;
    let policy = match Policy::parse(&name, &text) {
        Ok((policy, _)) => policy,
        Err(problems) => return Err(problems.first().map(ToString::to_string).unwrap_or(name)),
    };
    let surroundings = Surroundings {
        directory: file.parent().unwrap_or(file),
        variable: &|name| std::env::var_os(name),
        file: &|path| {
            files.borrow_mut().note(path);
            std::fs::read(path)
        },
        patience,
    };
    let equipped = Equipped::new(policy, &surroundings);
    equipped.map_err(|problems| problems.into_iter().next().map(|(_, problem)| format!("{name}: {problem}")).unwrap_or(name))
}
