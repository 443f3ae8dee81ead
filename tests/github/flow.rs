//! Work on a pull request through the program, by each client and through each door.

use octocrab::{
    Octocrab,
    models::issues::Issue,
    params::{State, pulls},
};
use serde_json::{Value, json};

use crate::harness::{
    Fake, Place, Speech, crab,
    fake::model::{Pull, US},
    flow::assert_flow,
    gate::{Door, Gate, USUAL},
    random,
};

#[track_caller]
fn octokit_through(door: Door) {
    let gate = Gate::granting(door, USUAL);
    let found = gate.work().run(&gate.sandbox, "flow.js", &["octo/spoon", "agent/fix-1", "main"]);
    assert_flow(&gate.fake, &found);
    let record = gate.tidegate.wait_for_record(|record| record["kind"] == "api" && record["method"] == "POST");
    assert_eq!((&record["verdict"], &record["repository"]), (&"allow".into(), &"octo/spoon".into()), "{record:#}");
    gate.finish();
}

#[test]
fn octokit_through_the_git_door() {
    octokit_through(Door::Git);
}

#[test]
fn octokit_by_interception() {
    octokit_through(Door::Intercepted);
}

#[test]
fn octokit_at_a_server_of_somebody_s_own() {
    octokit_through(Door::Server);
}

#[test]
fn octokit_at_github_localhost() {
    octokit_through(Door::Localhost);
}

/// What octocrab does with a pull request from its opening to its closing; it has to succeed.
async fn octocrab_flow(crab: &Octocrab) -> octocrab::Result<()> {
    let repository = crab.repos("octo", "spoon").get().await?;
    assert_eq!(repository.full_name.as_deref(), Some("octo/spoon"));
    let (pulls, issues) = (crab.pulls("octo", "spoon"), crab.issues("octo", "spoon"));
    let pull = pulls.create("From a sandbox", "agent/fix-1", "main").body("as asked").draft(true).send().await?;
    let number = pull.number;
    let listed = pulls.list().head("octo:agent/fix-1").state(State::Open).send().await?;
    assert!(listed.items.iter().any(|each| each.number == number));
    assert_eq!(pulls.get(number).await?.head.ref_field, "agent/fix-1");
    assert!(pulls.get_diff(number).await?.starts_with("diff --git"));
    assert_eq!(pulls.list_files(number).await?.items.len(), 1);
    assert_eq!(pulls.update(number).title("From a sandbox, again").send().await?.title.as_deref(), Some("From a sandbox, again"));
    let comment = issues.create_comment(number, "a word").await?;
    let edited: Value =
        crab.patch(format!("/repos/octo/spoon/issues/comments/{}", comment.id), Some(&json!({ "body": "another word" }))).await?;
    assert_eq!(edited["body"], "another word");
    assert_eq!(issues.list_comments(number).send().await?.items.len(), 1);
    pulls.create_comment(number, "this line", &pull.head.sha, "work.txt", 1).await?;
    let review = json!({ "event": "COMMENT", "body": "seen" });
    let review: Value = crab.post(format!("/repos/octo/spoon/pulls/{number}/reviews"), Some(&review)).await?;
    assert_eq!(review["state"], "COMMENTED");
    let issue = Box::pin(issues.create("Something is wrong").body("this").send()).await?;
    let page = issues.list().state(State::All).per_page(2).send().await?;
    let all: Vec<Issue> = crab.all_pages(page).await?;
    assert_eq!(all.len() as u64, issue.number);
    assert!(crab.ratelimit().get().await?.rate.limit > 0);
    let who = crab.current().user().await?;
    assert_eq!((who.login.as_str(), who.r#type.as_str()), (US, "User"));
    pulls.update(number).state(pulls::State::Closed).send().await?;
    Ok(())
}

/// Runs it, and fails unless the GitHub has it as it was done.
#[track_caller]
fn assert_octocrab(fake: &Fake, way: &crab::Way) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async { Box::pin(octocrab_flow(&crab::client(way))).await.unwrap() });
    let model = fake.model();
    let issue = model.repositories[0].issue(4).unwrap();
    assert_eq!((issue.title.as_str(), issue.open, issue.comments.len()), ("From a sandbox, again", false, 1));
    let pull = issue.pull.as_ref().unwrap();
    assert_eq!((pull.draft, pull.reviews.len(), pull.comments.len()), (true, 1, 1));
}

#[test]
fn octocrab_works_with_this_github() {
    let token = format!("ghs_{}", random());
    let fake = Fake::start(Speech::Plain, &token);
    let base = fake.api(Place::Web).parse().unwrap();
    assert_octocrab(&fake, &crab::Way { base, address: fake.address(Place::Web), tunnel: None, forwards: None, tls: None, token });
}

#[track_caller]
fn octocrab_through(door: Door) {
    let gate = Gate::granting(door, USUAL);
    assert_octocrab(&gate.fake, &gate.way());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let way = gate.way();
    let merged = runtime.block_on(async { Box::pin(crab::client(&way).pulls("octo", "spoon").merge(3).send()).await });
    let Err(octocrab::Error::GitHub { source, .. }) = merged else { panic!("{merged:?}") };
    assert_eq!(source.status_code, 403, "{source:?}");
    assert!(source.message.contains("merge"), "{source:?}");
    gate.finish();
}

#[test]
fn octocrab_through_the_git_door() {
    octocrab_through(Door::Git);
}

#[test]
fn octocrab_by_interception() {
    octocrab_through(Door::Intercepted);
}

#[test]
fn octocrab_at_a_server_of_somebody_s_own() {
    octocrab_through(Door::Server);
}

#[test]
fn octocrab_at_github_localhost() {
    octocrab_through(Door::Localhost);
}

/// What the grant `merge` opens: pull requests from the session's branches into its bases, in plain words.
#[test]
fn what_may_be_merged() {
    let gate = Gate::granting(Door::Git, r#"grants = ["pull_requests", "merge"]"#);
    let before = {
        let mut model = gate.fake.model();
        let repository = &mut model.repositories[0];
        let id = repository.id;
        repository.issue_mut(1).unwrap().pull = Some(Pull::new(id, "agent/fix-1", "other"));
        repository.refs()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let way = gate.way();
    let merge = |number: u64, message: &str| {
        runtime.block_on(async { crab::client(&way).pulls("octo", "spoon").merge(number).title("Merged").message(message).send().await })
    };
    // From somebody else's branch, into what is no base, and with a word to a bot.
    for (number, message, reason) in
        [(2, "as asked", "ref_not_granted"), (1, "as asked", "ref_not_granted"), (3, "bors r+", "api_not_allowed")]
    {
        let Err(octocrab::Error::GitHub { source, .. }) = merge(number, message) else { panic!("{number} was merged") };
        assert_eq!(source.status_code, 403, "{source:?}");
        gate.tidegate.wait_for_record(|record| {
            record["reason"] == reason && record["path"].as_str().is_some_and(|path| path.ends_with(&format!("/pulls/{number}/merge")))
        });
    }
    assert_eq!((gate.fake.model().repositories[0].refs(), gate.writes()), (before.clone(), Vec::new()));
    let merged = merge(3, "as asked").unwrap();
    let (after, made) = (gate.fake.model().repositories[0].refs(), merged.sha.unwrap());
    let moved: Vec<_> = after.iter().filter(|(name, id)| before.get(*name) != Some(*id)).collect();
    assert_eq!(moved, [(&"refs/heads/main".to_owned(), &made)]);
    assert_eq!(gate.fake.model().repositories[0].issue(3).unwrap().pull.as_ref().unwrap().merged, Some(made));
    assert_eq!(gate.writes(), [("PUT".to_owned(), "/repos/octo/spoon/pulls/3/merge".to_owned())]);
    let record = gate.tidegate.wait_for_record(|record| record["method"] == "PUT" && record["verdict"] == "allow");
    assert_eq!((&record["kind"], &record["repository"]), (&"api".into(), &"octo/spoon".into()), "{record:#}");
    gate.finish();
}
