//! `tidegate netns` and the proxy behind it, in network namespaces that they share with a sandbox, as pods do. Each test has a network of its
//! own, whose machine it is: the sandboxes' namespaces hang on it, and whatever leaves one is seen there.
//!
//! - `traffic`: what a sandbox reaches, and what it is told
//! - `walls`: what leads around the rules if nobody thought of it
//! - `commands`: what setup, check and clear do and say
//! - `neighbours`: two sandboxes on one machine

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "a test fails by panicking, and its output is read")]

mod commands;
#[allow(dead_code, reason = "the tests of runs and of the proxy use the rest of what is shared")]
mod harness;
mod neighbours;
mod traffic;
mod walls;
