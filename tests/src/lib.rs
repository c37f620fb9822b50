//! What the tests of the whole host share: a real homeserver, people with clients, and a wire that can be cut.

// The Matrix library's futures are deep, and rustc gives up on them at its usual limit.
#![recursion_limit = "256"]

pub mod encrypted_user;
pub mod matrix_user;
pub mod synapse;
pub mod wire;
