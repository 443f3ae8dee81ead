//! The parts of a test: a GitHub that has an API, and what the tests of other doors have.

#[path = "../proxy/harness/client.rs"]
pub(crate) mod client;
#[path = "../proxy/harness/hello.rs"]
mod hello;
#[path = "../proxy/harness/origin.rs"]
mod origin;
#[path = "../proxy/harness/program.rs"]
mod program;
#[path = "../proxy/harness/tidegate.rs"]
pub(crate) mod tidegate;
#[path = "../proxy/harness/pki.rs"]
mod pki;
#[path = "../proxy/harness/tls.rs"]
mod tls;
#[path = "../proxy/harness/wait.rs"]
mod wait;
#[path = "../proxy/harness/wire.rs"]
mod wire;

#[path = "../git/harness/api.rs"]
mod api;
#[path = "../git/harness/app.rs"]
mod app;
#[path = "../git/harness/backend.rs"]
mod backend;
#[path = "../git/harness/bytes.rs"]
pub(crate) mod bytes;
#[path = "../git/harness/files.rs"]
mod files;
#[path = "../git/harness/hub.rs"]
mod hub;
#[path = "../git/harness/leak.rs"]
mod leak;
#[path = "../git/harness/lfs.rs"]
mod lfs;
#[path = "../git/harness/repository.rs"]
mod repository;
#[path = "../git/harness/sandbox.rs"]
pub(crate) mod sandbox;

pub(crate) mod crab;
pub(crate) mod fake;
pub(crate) mod flow;
pub(crate) mod gate;
pub(crate) mod scripts;

pub(crate) use self::{
    fake::{Fake, Place, Speech},
    hub::random,
    wait::eventually,
};
