//! Shared by the tests of the whole host: a real homeserver, users with clients, a proxy that can be cut, and hooks
//! around adapters.

// The Matrix library's futures are deep, and rustc gives up on them at its usual limit.
#![recursion_limit = "256"]

pub mod encrypted_user;
pub mod hooked;
pub mod matrix_user;
pub mod proxy;
pub mod synapse;
