//! What an agent does with a repository, told: a clone, a push that lands, a push that is refused.

use super::{
    agent::Agent,
    home::{Home, holds},
    repository::{NAME, PrivateRepository},
    story::Story,
};
use crate::command::run::Failure;

/// Plays the scenes with an agent that finds the repository at GitHub, by whatever way, and may push [`BRANCH`] alone.
pub(super) fn scenes(story: &mut Story, agent: &mut Agent, repository: &PrivateRepository) -> Result<(), Failure> {
    story.scene("A private repository, by the SSH address that most people copy");
    story.ran(&agent.run(&["git", "clone", &format!("git@github.com:{NAME}")])?.succeed()?);
    story.note("git was told by its environment to take HTTPS for it; whose session this is, and its credential, is known outside alone");

    story.scene(&format!("A push to the branch that the session was granted: {BRANCH}"));
    let commit = change(agent)?;
    story.ran(&agent.run(&["git", "-C", CLONE, "push", "origin", BRANCH])?.succeed()?);
    if repository.tip(BRANCH)?.as_deref() != Some(&*commit) {
        return Err(Failure(format!("the push was taken, and {BRANCH} is not at {commit}")));
    }
    story.note(&format!("the repository has it: {BRANCH} is at {}", commit.get(..SHORT).unwrap_or(&commit)));

    story.scene("The same to main");
    let before = repository.tip("main")?;
    let refused = agent.run(&["git", "-C", CLONE, "push", "origin", &format!("{BRANCH}:main")])?;
    story.ran(&refused);
    if refused.succeeded || !refused.printed.contains("[remote rejected]") || repository.tip("main")? != before {
        return Err(Failure("the push to main was not refused as it should".into()));
    }
    story.note("main is where it was; nothing of this push went to the repository");
    Ok(())
}

/// Looks for the real credential in all that the agent said, its environment included, and in all of its files.
pub(super) fn search(agent: &Agent, home: &Home, repository: &PrivateRepository) -> Result<(), Failure> {
    let secrets = repository.secrets();
    let needles: Vec<&[u8]> = secrets.iter().map(Vec::as_slice).collect();
    if let Some(file) = home.file_with(&needles)? {
        return Err(Failure(format!("the real credential is in {}", file.display())));
    }
    if holds(agent.said(), &needles) {
        return Err(Failure("the sandbox was shown the real credential".into()));
    }
    Ok(())
}

/// Commits something on the branch, and says what commit that is.
fn change(agent: &mut Agent) -> Result<String, Failure> {
    agent.run(&["git", "-C", CLONE, "switch", "--quiet", "--create", BRANCH])?.succeed()?;
    agent.run(&["sh", "-c", &format!("echo fixed > {CLONE}/FIX.md")])?.succeed()?;
    agent.run(&["git", "-C", CLONE, "add", "FIX.md"])?.succeed()?;
    agent.run(&["git", "-C", CLONE, "commit", "--quiet", "--message", "Fix it"])?.succeed()?;
    Ok(agent.run(&["git", "-C", CLONE, "rev-parse", "HEAD"])?.succeed()?.printed.trim_end().to_owned())
}

/// The branch that the session may push.
pub(super) const BRANCH: &str = "agent/fix-1";

/// Where git puts a clone of [`NAME`].
const CLONE: &str = "spoon";

/// How many digits of a commit tell it from others to a reader.
const SHORT: usize = 12;

#[cfg(test)]
mod tests {
    use std::{ffi::OsString, fs, os::unix::fs::PermissionsExt as _, thread};

    use super::*;
    use crate::command::{
        demo::{agent::Inside, repository::USER},
        run::pair,
        stage::Stage,
    };

    /// A repository, and the home of whoever works with it.
    async fn stage() -> (Stage, PrivateRepository, Home) {
        let stage = Stage::new().unwrap();
        let repository = PrivateRepository::start(stage.room("origin").unwrap()).await.unwrap();
        let home = Home::new(stage.room("sandbox").unwrap()).unwrap();
        (stage, repository, home)
    }

    /// An agent without a gate, which has to show a password itself.
    fn agent(home: &Home, repository: &PrivateRepository, user: &str, password: &str) -> Agent {
        let place = repository.url().replace("http://", &format!("http://{user}:{password}@"));
        let settings = [
            ("GIT_CONFIG_COUNT".to_owned(), "1".to_owned()),
            ("GIT_CONFIG_KEY_0".to_owned(), format!("url.{place}/.insteadOf")),
            ("GIT_CONFIG_VALUE_0".to_owned(), "git@github.com:".to_owned()),
        ];
        let settings = settings.map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let inside = Inside::new(home.variables().into_iter().chain(settings));
        let (ours, its) = pair().unwrap();
        thread::spawn(move || inside.obey(its));
        Agent::meet(ours).unwrap()
    }

    /// In the place of the gate: a hook that refuses what the gate would.
    fn refuse_main(stage: &Stage) {
        let hook = stage.path().join("origin/spoon.git/hooks/update");
        fs::write(&hook, "#!/bin/sh\ntest \"$1\" != refs/heads/main\n").unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn token(repository: &PrivateRepository) -> String {
        String::from_utf8(repository.token().expose().to_vec()).unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_origin_serves_whoever_has_its_credential() {
        let (_stage, repository, home) = stage().await;
        for (user, password) in [(USER, "guess"), ("x", "")] {
            let refused = agent(&home, &repository, user, password).run(&["git", "clone", "git@github.com:octo/spoon"]).unwrap();
            assert!(!refused.succeeded && refused.printed.contains("Authentication failed"), "{}", refused.printed);
        }
        let mut agent = agent(&home, &repository, USER, &token(&repository));
        let other = agent.run(&["git", "clone", "git@github.com:octo/fork"]).unwrap();
        assert!(!other.succeeded && other.printed.contains("not found"), "{}", other.printed);
        agent.run(&["git", "clone", "--quiet", "git@github.com:octo/spoon.git"]).unwrap().succeed().unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_work_is_told_to_its_end_but_not_with_the_credential_in_the_sandbox() {
        let (stage, repository, home) = stage().await;
        refuse_main(&stage);
        let token = token(&repository);
        let mut agent = agent(&home, &repository, USER, &token);
        let mut story = Story::new("");
        scenes(&mut story, &mut agent, &repository).unwrap();
        for part in ["Cloning into 'spoon'", "[new branch]", "agent/fix-1 is at ", "[remote rejected] agent/fix-1 -> main"] {
            assert!(story.told().contains(part), "{part} is missing from:\n{}", story.told());
        }
        // Without a gate the sandbox has to hold the credential itself, and that is found: in its environment, and where it has a file.
        assert_eq!(search(&agent, &home, &repository).unwrap_err().0, "the sandbox was shown the real credential");
        let file = home.path().join("spoon/.netrc");
        fs::write(&file, format!("password {token}")).unwrap();
        assert_eq!(search(&agent, &home, &repository).unwrap_err().0, format!("the real credential is in {}", file.display()));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_push_to_main_that_lands_is_noticed() {
        let (_stage, repository, home) = stage().await;
        let mut agent = agent(&home, &repository, USER, &token(&repository));
        let Failure(why) = scenes(&mut Story::new(""), &mut agent, &repository).unwrap_err();
        assert_eq!(why, "the push to main was not refused as it should");
    }
}
