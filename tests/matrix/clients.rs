//! The clients, by what they have in common.

pub(crate) mod databases;
pub(crate) mod java;
pub(crate) mod node;
pub(crate) mod packages;
pub(crate) mod plain;
pub(crate) mod python;
