//! `tidegate run`: a command in namespaces of its own, whose only way out is a gate.

#[cfg_attr(not(test), expect(dead_code, reason = "COMMAND is started with what it leaves"))]
mod scrub;
