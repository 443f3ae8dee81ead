//! What the flow of a pull request has to have found, and done.

use serde_json::{Value, json};

use super::fake::{Fake, model::US};

/// Fails unless `flow.js` found all that is there, and the GitHub has it as it was done. It was run for `octo/spoon`, from `agent/fix-1` to `main`.
#[track_caller]
pub(crate) fn assert_flow(fake: &Fake, found: &Value) {
    let marker = "marker-of-octo-spoon";
    let who = found["opened"][4].clone();
    let expected = json!({
        "repository": "octo/spoon", "branch": "agent/fix-1", "ahead": 1, "content": marker,
        "opened": ["open", true, "agent/fix-1", "main", who], "listed": true, "files": 1, "commits": 1, "diff": true,
        "title": "From a sandbox, again", "comments": ["another word"], "remarks": ["this line", "indeed"], "review": "COMMENTED",
        "issue": ["open", "Something is wrong"], "pages": [1, 2, 3, 4, 5], "search": true, "log": format!("log of {marker}"), "release": "v1",
        "archive": true, "unchanged": 304, "limit": true, "who": "string", "closed": "closed",
    });
    assert_eq!(*found, expected, "{found:#}");
    let model = fake.model();
    let repository = &model.repositories[0];
    let issue = repository.issue(4).expect("the pull request");
    let pull = issue.pull.as_ref().expect("a pull request");
    assert_eq!((issue.title.as_str(), issue.author.as_str(), issue.open), ("From a sandbox, again", US, false));
    assert_eq!((pull.head.as_str(), pull.base.as_str(), pull.draft), ("agent/fix-1", "main", true));
    assert_eq!((pull.reviews.len(), pull.comments.len(), issue.comments.len()), (1, 2, 1));
    assert_eq!(issue.comments[0].reactions, ["+1"]);
    assert_eq!(repository.issue(5).expect("the issue").title, "Something is wrong");
}
