//! The walls of `tidegate run`, tried from inside: by root and by an ordinary user, on the kernel that there is.
//!
//! - `files`: what of the host's files is there, hidden, and replaced
//! - `kernel`: processes, devices, settings, capabilities and system calls
//! - `nested`: namespaces that a sandbox makes for itself
//! - `obstacles`: what is said where there are no namespaces to be had

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test fails by panicking, and its output is read")]

mod harness;
mod files;
mod kernel;
mod nested;
mod obstacles;
