//! Shared by the tests of the whole host: a real homeserver, users with clients, a proxy that can be cut, and hooks
//! around adapters.

// The futures of the Matrix library exceed rustc's default recursion limit.
#![recursion_limit = "256"]

pub mod encrypted_user;
pub mod hooked;
pub mod matrix_user;
pub mod proxy;
pub mod synapse;
