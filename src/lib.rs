//! Tidegate is the only way out of a sandbox.
//!
//! What a sandbox sends comes in by a *door*, becomes a [`destination::Destination`], is judged by the session's
//! [`policy::Policy`], and leaves only with the [`policy::Permit`] that the judgment returned.
//!
//! # The walk of a request
//!
//! 1. `doors` accepts a connection and names its session. `downstream` reads one message head ahead of everything
//!    else; `wire` says what the bytes mean, or that they mean nothing.
//! 2. `policy` decides on the destination: a `Permit`, or a `Denial` that carries its reason, rule and remedy.
//! 3. `upstream` resolves the name that was permitted, lets the permit admit addresses, and dials those.
//! 4. `passage` judges what the bytes show (SNI, Host), and only then lets them upstream.
//! 5. `respond` is the one place that answers in our own name; `audit` and `metrics` record each decision once.
//!
//! # The floors
//!
//! A module imports only modules that stand earlier in this file; `tests/architecture.rs` holds it. Words, reading
//! and judgment know no async, I/O, clock or log.

// ── 0 · words: plain types that every floor may name
pub mod address;
pub mod destination;
pub mod endpoint;
pub mod reason;
pub mod secret;

// ── 1 · reading: bytes in, facts out
pub mod wire;
pub mod github;
pub mod pack;
pub mod token;
pub mod recorded;

// ── 2 · judgment: facts in, decision out
pub mod policy;

// ── 3 · means: one capability each; they obey, they never judge
mod limits;
mod metrics;
mod processes;
mod audit;
mod files;
mod confine;
mod authority;
mod credentials;
pub mod sessions;
mod downstream;
mod upstream;
mod backend;

// ── 4 · path: the only rooms that see both judgment and means
mod respond;
mod shown;
mod pages;
mod passage;
mod gateway;
mod doors;

// ── roof: sees all, seen by none
mod config;
mod admin;
mod server;
pub mod command;
