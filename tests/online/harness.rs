//! The parts of the proxy tests that these tests need too.

#[path = "../proxy/harness/program.rs"]
pub(crate) mod program;
#[path = "../proxy/harness/tidegate.rs"]
pub(crate) mod tidegate;
#[path = "../proxy/harness/wait.rs"]
pub(crate) mod wait;
