//! Capabilities: which are handed on while the walls are built, and which are left to COMMAND.

use std::io;

use rustix::{
    process::getuid,
    thread::{
        CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
        configure_capability_in_ambient_set, remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
    },
};

use super::Obstacle;

/// What root keeps inside: packages are unpacked for any owner, downloads handed to a user without rights (as apt does), users
/// changed by `su`, and processes of such users ended. Nothing that reaches the kernel, the network, devices or other
/// processes' memory.
const OF_ROOT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID);

/// Lets the programs that this one starts hold its capabilities; whoever is not root would lose them with the next `exec`.
pub(super) fn pass_on() -> io::Result<()> {
    let held = capabilities(None)?;
    set_capabilities(None, CapabilitySets { inheritable: held.permitted, ..held })?;
    for capability in each().filter(|capability| held.permitted.contains(*capability)) {
        configure_capability_in_ambient_set(capability, true)?;
    }
    Ok(())
}

/// Gives up for this thread and all that it starts: every capability (as root, all but what lets `apt` and `chown` work), the
/// way back to them through the bounding set, and what set-user-id files and file capabilities would give.
pub(crate) fn drop() -> Result<(), Obstacle> {
    let left = if getuid().is_root() { OF_ROOT } else { CapabilitySet::empty() };
    give_up_all_but(left).map_err(|error| Obstacle::new("give up capabilities", error))
}

fn give_up_all_but(left: CapabilitySet) -> io::Result<()> {
    for capability in each().filter(|capability| !left.contains(*capability)) {
        // The kernel answers EINVAL for those that it does not know.
        if capability_is_in_bounding_set(capability).unwrap_or(false) {
            remove_capability_from_bounding_set(capability)?;
        }
    }
    clear_ambient_capability_set()?;
    set_capabilities(None, CapabilitySets { effective: left, permitted: left, inheritable: CapabilitySet::empty() })?;
    Ok(set_no_new_privs(true)?)
}

/// Every capability that there can be, those included that were added to the kernel after this was written.
fn each() -> impl Iterator<Item = CapabilitySet> {
    (0..u64::BITS).map(|bit| CapabilitySet::from_bits_retain(1 << bit))
}
