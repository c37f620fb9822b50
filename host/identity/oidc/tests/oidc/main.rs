//! Tests logins at a provider in the test's own process, and the tables `[identity.NAME]`.

mod config;
mod harness;
mod logins;
mod tokens;
