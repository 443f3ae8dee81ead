//! What a push holds, judged before any of it goes up (`content` of a grant).
//!
//! The pack was kept, and its objects looked through as they came. Differences are undone now, from bases that the upstream is asked for
//! where the pack is thin. Where paths are denied, each commit of the push, and each that the upstream has on no branch, is compared with
//! the commits that the push starts from, with what its refs point to now, and with the default branch: what is like one of them at the
//! same path is not the session's change.

use super::{
    inquiry::Inquiry,
    keeping::{apart, untold},
    spool::Spool,
};
use crate::{
    github::{
        fetch, ls_refs,
        push::{CommandList, ObjectId},
    },
    pack::{Commits, Contents, Examined, Origin, Survey},
    policy::ContentRules,
    reason::Reason,
    respond::Refusal,
};

/// What these rules judge a push by, and its pack once more.
///
/// # Errors
/// [`Reason::PushNotJudgeable`], or trouble with the upstream.
pub(super) async fn examine(
    inquiry: &Inquiry<'_>,
    list: &CommandList,
    rules: &ContentRules,
    spool: Spool,
    contents: Contents,
) -> Result<(Spool, Examined), Refusal> {
    let (spool, mut contents) = make_whole(inquiry, spool, contents).await?;
    let mut survey = None;
    if !rules.deny_paths.is_empty() {
        let compared;
        (contents, compared) = compare(inquiry, list, contents, rules).await?;
        survey = Some(compared);
    }
    let examined = apart(move || contents.examined(survey)).await?.map_err(untold)?;
    Ok((spool, examined))
}

/// Undoes the differences of the pack.
async fn make_whole(inquiry: &Inquiry<'_>, mut spool: Spool, mut contents: Contents) -> Result<(Spool, Contents), Refusal> {
    for _ in 0..MAX_ROUNDS {
        let missing;
        (spool, contents, missing) = apart(move || {
            let missing = contents.resolve(&spool);
            (spool, contents, missing)
        })
        .await?;
        let missing = missing.map_err(untold)?;
        if missing.is_empty() {
            return Ok((spool, contents));
        }
        contents = fetch_objects(inquiry, contents, &missing).await?;
    }
    Err(Refusal::new(Reason::PushNotJudgeable, TOO_DEEP))
}

/// What the commits of the push change among the paths that are denied.
async fn compare(
    inquiry: &Inquiry<'_>,
    list: &CommandList,
    contents: Contents,
    rules: &ContentRules,
) -> Result<(Contents, Survey), Refusal> {
    let ls_refs::Listing { tips: branches, .. } = inquiry.branches(list).await?;
    // The list says where refs point; the upstream knows. It takes the other commands of a list of which one is wrong.
    let olds: Vec<_> = list.updates.iter().map(|update| update.old.clone()).filter(|old| branches.contains(old)).collect();
    let (contents, mut before) = reach_upstream(inquiry, list, contents, &branches, &olds).await?;
    // HEAD stands first.
    before.extend(olds.into_iter().chain(branches.first().cloned()));
    before.dedup();
    if before.len() > MAX_COMPARED {
        return Err(Refusal::new(Reason::PushNotJudgeable, TOO_WIDE));
    }
    let lacking = contents.lacking(&before);
    let contents = if lacking.is_empty() {
        contents
    } else {
        inquiry.objects(fetch::roots(inquiry.format, &lacking), contents, Origin::Upstream).await?
    };
    let (contents, survey) = walk(inquiry, contents, &before, rules, None).await?;
    if !survey.has_touched() || branches.is_empty() {
        return Ok((contents, survey));
    }
    // A client that knows none of the branches' tips sends commits that are on them.
    let Ok(known) = inquiry.commits(fetch::whole_history(inquiry.format, first(&branches))).await else { return Ok((contents, survey)) };
    walk(inquiry, contents, &before, rules, Some(&known)).await
}

/// Reads as far as the history of the push leaves what was pushed for what is on a branch, and says with which commits it goes on there.
async fn reach_upstream(
    inquiry: &Inquiry<'_>,
    list: &CommandList,
    contents: Contents,
    branches: &[ObjectId],
    olds: &[ObjectId],
) -> Result<(Contents, Vec<ObjectId>), Refusal> {
    let tips: Vec<_> = list.updates.iter().map(|update| update.new.clone()).filter(|new| !new.is_zero()).collect();
    let beyond = contents.beyond(&tips).map_err(untold)?;
    if beyond.len() > MAX_COMPARED {
        return Err(Refusal::new(Reason::PushNotJudgeable, TOO_WIDE));
    }
    let wants: Vec<_> = beyond.iter().filter(|id| !branches.contains(id) && !olds.contains(id)).cloned().collect();
    if wants.is_empty() {
        return Ok((contents, beyond));
    }
    let haves = [olds, first(branches)].concat();
    let contents = inquiry.objects(fetch::history(inquiry.format, &wants, &haves), contents, Origin::Beyond).await?;
    let beyond = contents.beyond(&tips).map_err(untold)?;
    Ok((contents, beyond))
}

async fn walk(
    inquiry: &Inquiry<'_>,
    mut contents: Contents,
    before: &[ObjectId],
    rules: &ContentRules,
    known: Option<&Commits>,
) -> Result<(Contents, Survey), Refusal> {
    let mut survey = contents.survey(before, known).map_err(untold)?;
    for _ in 0..MAX_ROUNDS {
        let asked = rules.clone();
        let missing;
        (contents, survey, missing) = apart(move || {
            let missing = survey.run(&contents, &|path, aspect| asked.concerns(path, aspect));
            (contents, survey, missing)
        })
        .await?;
        let missing = missing.map_err(untold)?;
        if missing.is_empty() {
            return Ok((contents, survey));
        }
        contents = fetch_objects(inquiry, contents, &missing).await?;
    }
    Err(Refusal::new(Reason::PushNotJudgeable, TOO_DEEP))
}

async fn fetch_objects(inquiry: &Inquiry<'_>, contents: Contents, missing: &[ObjectId]) -> Result<Contents, Refusal> {
    if missing.len() > MAX_ASKED {
        return Err(Refusal::new(Reason::PushNotJudgeable, TOO_WIDE));
    }
    inquiry.objects(fetch::objects(inquiry.format, missing), contents, Origin::Upstream).await
}

/// As many branches as one request names.
fn first(branches: &[ObjectId]) -> &[ObjectId] {
    branches.get(..MAX_BRANCHES).unwrap_or(branches)
}

/// Most times that an upstream is asked for objects: directories in directories, and bases of differences.
const MAX_ROUNDS: usize = 64;
/// Most objects that it is asked for at once.
const MAX_ASKED: usize = 20_000;
/// Most branches that a request names.
const MAX_BRANCHES: usize = 256;
/// Most commits that a push is compared with.
const MAX_COMPARED: usize = 64;

const TOO_DEEP: &str = "What the push holds is nested too deep to be looked through. Push fewer commits at a time.";
const TOO_WIDE: &str = "What the push holds differs from what is there in more than is looked through. Push fewer commits at a time.";
