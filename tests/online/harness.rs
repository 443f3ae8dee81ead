//! The parts of other tests that these tests need too.

#[path = "../run/harness.rs"]
pub(crate) mod callers;
#[path = "../proxy/harness/program.rs"]
pub(crate) mod program;
#[path = "../proxy/harness/tidegate.rs"]
pub(crate) mod tidegate;
#[path = "../proxy/harness/wait.rs"]
pub(crate) mod wait;
