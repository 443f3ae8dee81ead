//! Whether a push leaves commits behind, judged before any of it goes up.
//!
//! What a session pushes to a branch brings the commits between the old tip and the new one with it: the pack is kept until it has
//! come, and its commits are walked from the new tip to the old. Where the walk leaves the pack, as where a branch is moved to what
//! the upstream has already, the upstream is asked for the commits that are missing, and those are walked.

use super::inquiry::Inquiry;
use crate::{
    github::{
        fetch,
        push::{CommandList, RefName, RefUpdate},
    },
    pack::{Commits, Descent, PackError, Unproven},
    policy::PushPermit,
    reason::Reason,
    respond::Refusal,
};

/// Gives back the permit of a push, whose commits are these, without the refs of which it was proved that they leave nothing behind.
///
/// # Errors
/// A ref leaves a commit behind, or that cannot be told: [`Reason::RefNotGranted`], [`Reason::PushNotJudgeable`].
pub(super) async fn prove(
    inquiry: &Inquiry<'_>,
    list: &CommandList,
    permit: PushPermit,
    mut commits: Commits,
) -> Result<PushPermit, Refusal> {
    let doubtful: Vec<_> = list.updates.iter().filter(|update| permit.verifies(&update.name)).collect();
    if doubtful.len() > MAX_DOUBTFUL {
        return Err(Refusal::new(Reason::PushNotJudgeable, TOO_MANY_REFS));
    }
    let mut asked = 0;
    let mut verified = Vec::new();
    for update in doubtful {
        let descent = match commits.descent(&update.old, &update.new) {
            Err(Unproven::Beyond(missing)) => {
                asked += missing.len();
                if asked > MAX_MISSING {
                    return Err(Refusal::new(Reason::PushNotJudgeable, UNTOLD));
                }
                let found = inquiry.commits(fetch::commits(inquiry.format, &missing, &update.old)).await?;
                commits.join(found).map_err(untold)?;
                // All that the old commit does not contain is there now.
                commits.descent(&update.old, &update.new)
            }
            known => known,
        };
        verified.push(verify(update, descent)?);
    }
    Ok(permit.verified(|name| verified.contains(&name)))
}

fn verify(update: &RefUpdate, descent: Result<Descent, Unproven>) -> Result<&RefName, Refusal> {
    let name = &update.name;
    descent.map(|Descent { .. }| name).map_err(|_| {
        let text =
            format!("This session may not force {}: the push leaves commits behind that it holds now.", name.as_str().escape_debug());
        Refusal::new(Reason::RefNotGranted, text)
    })
}

fn untold(error: PackError) -> Refusal {
    Refusal::new(Reason::PushNotJudgeable, format!("{UNTOLD} In detail: {error}."))
}

/// Most commits that an upstream is asked for by name, for one push.
const MAX_MISSING: usize = 64;
/// Most refs of a push that are judged so: the history is walked for each.
const MAX_DOUBTFUL: usize = 64;

const UNTOLD: &str = "Whether the push leaves commits behind cannot be told, and this session may not do that. Push to a ref that is new.";
const TOO_MANY_REFS: &str = "The push updates more refs than are looked through for commits that it leaves behind, which this session may not do. \
     Push fewer at a time.";
