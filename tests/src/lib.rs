//! What the tests of the whole host share: a real homeserver, people with a client, and a wire that can be cut.

pub mod matrix_user;
pub mod synapse;
pub mod wire;
