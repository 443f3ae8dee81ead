//! The parts of other tests that these tests need too.

#[path = "../run/harness.rs"]
pub(crate) mod callers;
#[path = "../proxy/harness/nginx.rs"]
pub(crate) mod nginx;
#[path = "../proxy/harness/pki.rs"]
pub(crate) mod pki;
pub(crate) use self::callers::{program, wait};
