//! From the arguments to a configuration with one session, which is COMMAND's.

use std::{path, sync::Arc};

use super::{
    Arguments, Failure,
    repositories::{extended, githubs},
};
use crate::{
    audit::Target,
    command::{Console, report, stage::random_word},
    config::{Chosen, Config, Single},
    policy::Additions,
    secret::Secret,
    sessions::Entry,
};

/// What a run is made of.
pub(in crate::command) struct Settings {
    pub(in crate::command) config: Config,
    /// The session that whoever comes in is.
    pub(in crate::command) session: Arc<str>,
    /// Proves that session, and nothing else.
    pub(in crate::command) token: Secret,
}

impl Settings {
    /// Reads what the arguments name, and shows warnings and errors of it.
    pub(super) fn read(arguments: &Arguments, console: &mut Console<'_>) -> Result<Self, Failure> {
        let mut config = match Config::load_single(arguments.config.as_deref(), single(arguments)?, console.environment) {
            Ok(config) => config,
            Err(problems) => {
                let report = report::render(&problems, console.err_colour);
                return Err(Failure(format!("it cannot be run as told\n{}", report.trim_end())));
            }
        };
        if !config.warnings.is_empty() {
            console.say(format_args!("{}", report::render(&config.warnings, console.err_colour).trim_end()));
        }
        match &arguments.audit {
            Some(file) if file.as_os_str() != "-" => config.audit = Target::File(file.clone()),
            Some(_) => config.audit = Target::Stdout,
            // Stdout is COMMAND's.
            None if config.audit == Target::Stdout => config.audit = Target::File(NOWHERE.into()),
            None => {}
        }
        if arguments.config.is_none() {
            config.state = None;
        }
        if config.github.is_empty() && !arguments.repo.is_empty() {
            config.github = githubs(&arguments.repo, console.environment).map_err(Failure)?;
        }
        let (token, proof) = token()?;
        let session = admit(arguments, &mut config, proof)?;
        Ok(Self { config, session, token })
    }
}

fn single(arguments: &Arguments) -> Result<Single, Failure> {
    let chosen = &arguments.policy;
    let policy = match (&chosen.policy, chosen.access) {
        // A path of the command line starts from here, and not where a configuration lies.
        (Some(file), _) if arguments.config.is_some() => Some(Chosen::File(path::absolute(file)?)),
        (Some(file), _) => Some(Chosen::File(file.clone())),
        (None, access) => access.map(Chosen::Level),
    };
    Ok(Single { policy, additions: Additions { allow: arguments.allow.clone(), deny: arguments.deny.clone() } })
}

/// Gives the session that is COMMAND's its token, its repositories and the policy that was chosen for it.
fn admit(arguments: &Arguments, config: &mut Config, token: Secret) -> Result<Arc<str>, Failure> {
    let Entry::Bound(id) = config.entry.clone() else { return Err(Failure("nobody says which session this is".into())) };
    let session = config.sessions.iter_mut().find(|session| session.id == id);
    let session = session.ok_or_else(|| Failure(format!("there is no session {id}")))?;
    session.grant = extended(&session.grant, &arguments.repo, &config.github).map_err(Failure)?;
    session.token = Some(token);
    if let (true, Some(policy)) = (arguments.policy.policy.is_some() || arguments.policy.access.is_some(), &config.policy) {
        session.policy = Arc::clone(policy);
    }
    Ok(id)
}

/// A token that nobody guesses, to be given away and to be compared with.
fn token() -> Result<(Secret, Secret), Failure> {
    let text = random_word()?;
    Ok((Secret::new(text.clone()), Secret::new(text)))
}

/// What is recorded there is not.
pub(super) const NOWHERE: &str = "/dev/null";
