//! The proxy door from outside: the real program, spoken to in bytes and by real clients.
//!
//! - `destinations`: how hosts and ports may be spelled, and which are reached
//! - `addresses`: what an allowed name may resolve to
//! - `consistency`: CONNECT target, server name and Host have to agree
//! - `contents`: secrets in requests, and lists of others that are denied
//! - `credentials`: what a real credential is put into, and that nobody is shown it
//! - `framing`: requests whose end is in doubt, and what is passed on of the rest
//! - `responses`: answers whose end is in doubt, and what is passed back of the rest
//! - `tunnels`: tunnels whose bytes nobody reads
//! - `handshakes`: TLS that ends at the proxy, and TLS to origins behind it
//! - `replies`: what a refusal looks like
//! - `sessions`: who is asked who they are, and what a sandbox may learn about itself
//! - `session_records`: sessions made, kept and revoked while the proxy runs
//! - `child_tokens`: tokens that may do less than their session, and storms of wrong ones
//! - `authority`: the root to trust, as a sandbox and as its owner finds it
//! - `rules`: methods, paths and bodies of requests to an allowed host
//! - `interception`: rules and credentials under TLS, over HTTP/1.1 and HTTP/2
//! - `pages`: what a sandbox is told of the rules it is held to
//! - `websocket`: what is no HTTP any more, by every way through the gate
//! - `grpc`: gRPC between its own implementations, intercepted and not
//! - `streaming`: what arrives as it is sent, and what stands still
//! - `transfers`: ranges, resumption, uploads that ask first, and the clients of Python
//! - `uploads`: bodies much larger than memory
//! - `multiplexed`: HTTP/2 as no real client speaks it
//! - `dns`: names that are asked for
//! - `pool`: connections upstream that carry more than one request
//! - `parent`: a proxy behind another
//! - `socks`: the SOCKS door, as real clients and as nobody speaks to it
//! - `transparent`: connections that the kernel redirects
//! - `records`: the audit file and the metrics
//! - `processes`: which process asks, where the kernel tells
//! - `limits`: how much and how fast, and that neighbours do not feel it
//! - `endurance`: reloads under load, and what a neighbour feels of floods
//! - `running`: start, reload, limits, report mode and the end
//! - `regressions`: what once went wrong
//! - `learning`: a policy learned from a report, and redirects to what is refused
//! - `clients`: curl, wget, pip, npm, cargo and git
//! - `variables`: what `tidegate env` prints, as clients take it
//! - `asking`: what a sandbox asks its owner for, and has while it runs
//! - `agreement`: `tidegate check` and the wire say the same

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "a test fails by panicking, and its output is read")]

mod addresses;
mod agreement;
mod asking;
mod authority;
mod child_tokens;
mod clients;
mod consistency;
mod contents;
mod credentials;
mod destinations;
mod endurance;
mod dns;
mod framing;
mod grpc;
mod harness;
mod interception;
mod pages;
mod parent;
mod handshakes;
mod multiplexed;
mod pool;
mod processes;
mod learning;
mod limits;
mod records;
mod regressions;
mod replies;
mod responses;
mod rules;
mod running;
mod session_records;
mod sessions;
mod socks;
mod websocket;
mod streaming;
mod transfers;
mod uploads;
mod transparent;
mod tunnels;
mod variables;
