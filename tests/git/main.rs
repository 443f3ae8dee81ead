//! The git door from outside: the real program between real git and a real git upstream.
//!
//! - `routes`: what is one of git's requests, and what only looks like one
//! - `apps`: tokens of a GitHub App, made for a session and taken back
//! - `credentials_in`: who is asked who they are, and when a session ends
//! - `child_tokens`: tokens that may do less than their session
//! - `fetch`: cloning and fetching, in every version of the protocol
//! - `push`: pushes of real git that land, and that are refused in git's own words
//! - `rights`: what each entry of a grant lets a push do, and force
//! - `contents`: what a push may hold
//! - `refusals`: pushes that no git sends
//! - `uploads`: pushes whose bytes come in pieces, late, not at all, or without end
//! - `upstreams`: what passes to GitHub and back, and GitHub in a bad mood
//! - `remotes`: `https://github.com/OWNER/NAME.git` as it is, through the proxy door
//! - `submodules`: submodules by relative, HTTPS and SSH URLs
//! - `dependencies`: what package managers fetch by git
//! - `files`: archives, single files and releases, at the hosts that GitHub has for them
//! - `foreign`: tokens of GitHub's that a sandbox brings itself
//! - `hosts`: several hosts of GitHub at once, each by its own host, credential and authority
//! - `renames`: repositories that were renamed, transferred, or made anew under a name of before
//! - `kinds`: each kind of credential, and each place where it could be seen
//! - `lfs`: Git LFS by the real client, and links that are not what they say
//! - `running`: the door beside everything else: limits, records, reload, the sandbox's own pages, repositories on disk
//! - `memory`: a push and a clone that are much larger than the memory they take
//! - `parent`: GitHub behind a parent proxy
//! - `regressions`: what once went wrong
//! - `api`: calls of GitHub's REST API, by each door
//! - `asking`: what a sandbox asks its owner for, and has while it runs
//! - `stranded`: GitHub away at each stage, and what is safe to do then
//! - `doors`: the same rows through every door
//! - `clients`: clients of git other than git
//! - `rows`: the table of the rows, of which `docs/git.md` is made
//! - `leaks`: that the search for secrets, with which every test ends, finds them
//!
//! Rows of the reference are named in the tests: `g_20_…` is case G-20, `threat_101_…` is threat 101.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "a test fails by panicking, and its output is read")]

mod api;
mod apps;
mod asking;
mod child_tokens;
mod clients;
mod contents;
mod credentials_in;
mod dependencies;
mod doors;
mod fetch;
mod files;
mod foreign;
#[allow(dead_code, reason = "the proxy tests use the rest of what is shared")]
mod harness;
mod hosts;
mod leaks;
mod kinds;
mod lfs;
mod memory;
mod parent;
mod progress;
mod push;
mod refusals;
mod regressions;
mod remotes;
mod renames;
mod rights;
mod routes;
mod rows;
mod running;
mod stranded;
mod submodules;
mod uploads;
mod upstreams;
