//! The policy that a session's record names.

use std::{path::Path, sync::Arc, time::Duration};

use crate::{
    credentials::{Equipped, Surroundings},
    policy::Policy,
};

/// The policy in a file with its credentials, or else the one of those that name none. `patience` bounds whatever fetches a credential.
pub(super) fn policy_of(file: Option<&Path>, default: Option<&Arc<Equipped>>, patience: Duration) -> Result<Arc<Equipped>, String> {
    let Some(file) = file else {
        return default.cloned().ok_or_else(|| "it names none, and the configuration has no [policy]".to_owned());
    };
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|error| format!("{name} cannot be read: {error}"))?;
    let policy = match Policy::parse(&name, &text) {
        Ok((policy, _)) => policy,
        Err(problems) => return Err(problems.first().map(ToString::to_string).unwrap_or(name)),
    };
    let surroundings = Surroundings {
        directory: file.parent().unwrap_or(file),
        variable: &|name| std::env::var_os(name),
        file: &|path| std::fs::read(path),
        patience,
    };
    let equipped = Equipped::new(policy, &surroundings);
    equipped.map(Arc::new).map_err(|problems| problems.into_iter().next().map(|(_, problem)| format!("{name}: {problem}")).unwrap_or(name))
}
