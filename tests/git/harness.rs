//! The parts of a test: the real program, a git upstream that can lie, sandboxes with real clients, and the search for secrets.

#[path = "../proxy/harness/client.rs"]
pub(crate) mod client;
#[path = "../proxy/harness/hello.rs"]
mod hello;
#[path = "../proxy/harness/identity.rs"]
pub(crate) mod identity;
#[path = "../proxy/harness/namespace.rs"]
pub(crate) mod namespace;
#[path = "../proxy/harness/origin.rs"]
mod origin;
#[path = "../proxy/harness/program.rs"]
mod program;
#[path = "../proxy/harness/tidegate.rs"]
pub(crate) mod tidegate;
#[path = "../proxy/harness/wait.rs"]
mod wait;
#[path = "../proxy/harness/wire.rs"]
mod wire;

mod api;
pub(crate) mod app;
mod backend;
pub(crate) mod bytes;
mod files;
pub(crate) mod hub;
mod leak;
pub(crate) mod lfs;
pub(crate) mod pair;
mod repository;
pub(crate) mod sandbox;
pub(crate) mod world;

pub(crate) use self::{
    client::Reply,
    hub::{Answer, Hub, When, Wire},
    leak::Leaks,
    repository::Refs,
    sandbox::{Done, Sandbox},
    wait::eventually,
    world::{Plan, World},
};
