//! What a sandbox tries to get out (`egress.md` 6.8), as root and as an ordinary user: how each attempt ends, and that whoever
//! counts packets outside sees none. Each test has a network of its own for an outside, in which every address answers.

mod ends;
mod host;
mod network;
mod work;
