//! GitHub's API from outside: the real program between real clients of the API and a GitHub that really does what it is asked.
//!
//! - `flow`: work on a pull request by each client, through each door
//! - `bypasses`: indirect ways to change more than the session's branches
//! - `generated`: every write operation of GitHub's description
//! - `straight`: that this GitHub is one, asked without the program between

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "a test fails by panicking, and its output is read")]
#![recursion_limit = "256"]

mod bypasses;
mod flow;
mod generated;
#[allow(dead_code, reason = "the tests of other doors use the rest of what is shared")]
mod harness;
mod straight;
