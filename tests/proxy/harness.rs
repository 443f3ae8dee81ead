//! The parts of a test: the real program, a name server that can lie, an origin that records every byte, the real nginx,
//! and clients that say exactly what a test wants said.

pub(crate) mod client;
pub(crate) mod dns;
pub(crate) mod h2;
pub(crate) mod hello;
pub(crate) mod namespace;
pub(crate) mod nghttpx;
pub(crate) mod identity;
pub(crate) mod nginx;
pub(crate) mod origin;
pub(crate) mod pki;
pub(crate) mod program;
pub(crate) mod script;
pub(crate) mod tidegate;
pub(crate) mod tinyproxy;
pub(crate) mod tls;
pub(crate) mod wait;
pub(crate) mod ways;
pub(crate) mod sites;
pub(crate) mod wire;

pub(crate) use self::{
    client::{Client, Reply},
    dns::{Answer, Dns},
    hello::Hello,
    nginx::Nginx,
    origin::Origin,
    pki::Pki,
    script::Script,
    sites::{Approach, Ground, Site},
    tidegate::{Setup, Tidegate},
    wait::{PATIENCE, eventually},
};
