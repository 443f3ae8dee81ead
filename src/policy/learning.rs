//! What an audit teaches: the smallest policy that would have refused nothing of what was let out, and what another policy
//! would have made of it.

mod observed;
mod suggestion;
mod replay;

pub use self::{
    observed::Observations,
    replay::{Change, Replay},
    suggestion::Suggestion,
};

#[cfg(test)]
mod tests;
