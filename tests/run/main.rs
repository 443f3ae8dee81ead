//! `tidegate run` as its callers see it: root and an ordinary user, with real shells, terminals and clients.
//!
//! - `statuses`: how a run ends, what it says, and what COMMAND is given
//! - `signals`: what is sent to Tidegate reaches COMMAND
//! - `terminals`: job control, by the shells that people use
//! - `refusals`: what COMMAND sees of a refusal, and what its caller is told at the end
//! - `remotes`: GitHub's repositories as people write them, where no variable says anything
//! - `settings`: what the options and a configuration come to
//! - `breakouts`: what leads around the walls if nobody thought of it
//! - `demo`: `tidegate demo`, which plays in such a run
//! - `doctor`: `tidegate doctor`, inside and outside of runs
//! - `leftovers`: nothing outlives a run, however it ends
//! - `processes`: which of them asks, as the audit tells it
//! - `probes`: whoever wants out stays inside, and whoever may goes

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "a test fails by panicking, and its output is read")]

mod breakouts;
mod demo;
mod doctor;
#[allow(dead_code, reason = "the proxy tests use the rest of what is shared")]
mod harness;
mod leftovers;
mod probes;
mod processes;
mod refusals;
mod remotes;
mod settings;
mod signals;
mod statuses;
mod terminals;
