//! What this process holds in memory stays there.

use std::io;

use rustix::process::{DumpableBehavior, set_dumpable_behavior};

/// Keeps other processes of the same user, and core dumps, away from the credentials and keys of this one: from its memory, its
/// environment and its descriptors (`PR_SET_DUMPABLE` of prctl(2)). What it starts is not meant.
pub(crate) fn seal() -> io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}
