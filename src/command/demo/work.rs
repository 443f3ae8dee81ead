//! What an agent does with a repository, told: a clone, a push that lands, a push that is refused.

use std::fs;

use super::{
    Failure, Story,
    git::{GITHUB, Git, Ran, holds},
    repository::{NAME, PrivateRepository},
};

/// Plays the scenes with a git that was pointed to the repository, by whatever way, and may push [`BRANCH`] alone.
pub(super) async fn scenes(story: &mut Story, git: &Git, repository: &PrivateRepository) -> Result<(), Failure> {
    let mut seen = String::new();
    story.scene("A private repository: git in the sandbox shows the token of its session, and has nothing else to show");
    tell(story, &mut seen, &git.succeed(&["clone", &format!("{GITHUB}/{NAME}")]).await?);

    story.scene(&format!("A push to the branch that the session was granted: {BRANCH}"));
    let commit = change(git).await?;
    tell(story, &mut seen, &git.succeed(&["-C", CLONE, "push", "origin", BRANCH]).await?);
    if repository.tip(BRANCH).await?.as_deref() != Some(&*commit) {
        return Err(Failure(format!("the push was taken, and {BRANCH} is not at {commit}")));
    }
    story.note(&format!("the repository has it: {BRANCH} is at {}", commit.get(..SHORT).unwrap_or(&commit)));

    story.scene("The same to main");
    let before = repository.tip("main").await?;
    let refused = git.run(&["-C", CLONE, "push", "origin", &format!("{BRANCH}:main")]).await?;
    tell(story, &mut seen, &refused);
    if refused.succeeded || !refused.printed.contains("[remote rejected]") || repository.tip("main").await? != before {
        return Err(Failure("the push to main was not refused as it should".into()));
    }
    story.note("main is where it was; nothing of this push went to the repository");

    let secrets = repository.secrets();
    let needles: Vec<&[u8]> = secrets.iter().map(Vec::as_slice).collect();
    if let Some(file) = git.file_with(&needles)? {
        return Err(Failure(format!("the real credential is in {}", file.display())));
    }
    if holds(seen.as_bytes(), &needles) {
        return Err(Failure("the sandbox was shown the real credential".into()));
    }
    story.note("the credential of the repository is in no file of the sandbox, and in nothing that it was told");
    Ok(())
}

/// Commits something on the branch, and says what commit that is.
async fn change(git: &Git) -> Result<String, Failure> {
    git.succeed(&["-C", CLONE, "switch", "--quiet", "--create", BRANCH]).await?;
    fs::write(git.home().join(CLONE).join("FIX.md"), "fixed\n")?;
    git.succeed(&["-C", CLONE, "add", "FIX.md"]).await?;
    git.succeed(&["-C", CLONE, "commit", "--quiet", "--message", "Fix it"]).await?;
    Ok(git.succeed(&["-C", CLONE, "rev-parse", "HEAD"]).await?.printed.trim_end().to_owned())
}

fn tell(story: &mut Story, seen: &mut String, ran: &Ran) {
    seen.push_str(&ran.printed);
    story.text(&format!("$ {}\n{}", ran.command, ran.printed));
}

/// The branch that the session may push.
pub(super) const BRANCH: &str = "agent/fix-1";

/// Where git puts a clone of [`NAME`].
const CLONE: &str = "spoon";

/// How many digits of a commit tell it from others to a reader.
const SHORT: usize = 12;

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt as _, path::PathBuf};

    use super::*;
    use crate::command::{demo::repository::USER, stage::Stage};

    async fn stage() -> (Stage, PrivateRepository, Git, PathBuf) {
        let stage = Stage::new().unwrap();
        let repository = PrivateRepository::start(&stage.room("origin").unwrap()).await.unwrap();
        let home = stage.room("sandbox").unwrap();
        let git = Git::new(&home).unwrap();
        (stage, repository, git, home)
    }

    /// In the place of the gate: a hook that refuses what the gate would.
    fn refuse_main(stage: &Stage) {
        let hook = stage.path().join("origin/spoon.git/hooks/update");
        fs::write(&hook, "#!/bin/sh\ntest \"$1\" != refs/heads/main\n").unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_origin_serves_whoever_has_its_credential() {
        let (_stage, repository, git, _) = stage().await;
        for (user, password) in [(USER, "guess"), ("x", "")] {
            git.point_to(&repository.url(), user, password).unwrap();
            let refused = git.run(&["clone", "https://github.com/octo/spoon"]).await.unwrap();
            assert!(!refused.succeeded && refused.printed.contains("Authentication failed"), "{}", refused.printed);
        }
        let token = String::from_utf8(repository.token().expose().to_vec()).unwrap();
        git.point_to(&repository.url(), USER, &token).unwrap();
        let other = git.run(&["clone", "https://github.com/octo/fork"]).await.unwrap();
        assert!(!other.succeeded && other.printed.contains("not found"), "{}", other.printed);
        git.succeed(&["clone", "--quiet", "https://github.com/octo/spoon.git"]).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_work_is_told_to_its_end_but_not_with_the_credential_in_the_sandbox() {
        let (stage, repository, git, home) = stage().await;
        refuse_main(&stage);
        let token = String::from_utf8(repository.token().expose().to_vec()).unwrap();
        git.point_to(&repository.url(), USER, &token).unwrap();
        let mut story = Story(String::new());
        // Without a gate the sandbox has to hold the credential itself, and that is found.
        let Failure(why) = scenes(&mut story, &git, &repository).await.unwrap_err();
        assert_eq!(why, format!("the real credential is in {}", home.join(".git-credentials").display()));
        let Story(told) = story;
        for part in ["Cloning into 'spoon'", "[new branch]", "agent/fix-1 is at ", "[remote rejected] agent/fix-1 -> main"] {
            assert!(told.contains(part), "{part} is missing from:\n{told}");
        }
        assert!(!holds(told.as_bytes(), &[token.as_bytes()]));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_push_to_main_that_lands_is_noticed() {
        let (_stage, repository, git, _) = stage().await;
        let token = String::from_utf8(repository.token().expose().to_vec()).unwrap();
        git.point_to(&repository.url(), USER, &token).unwrap();
        let Failure(why) = scenes(&mut Story(String::new()), &git, &repository).await.unwrap_err();
        assert_eq!(why, "the push to main was not refused as it should");
    }
}
