//! Reads `plugins.toml` and its included files into Rust types, and reports all configuration problems at once, each
//! with file and line.
//!
//! Invariant: the code in this folder opens no connection and resolves no secret.

mod approvals;
mod apps;
mod bots;
mod expect;
mod freezes;
mod hook_auth;
mod hook_values;
mod hooks;
mod http;
mod identities;
mod include;
mod limits;
mod members;
mod notices;
mod order;
mod people;
mod plugins;
mod read;
mod reference;
mod rules;
mod secrets;
mod store;
mod systems;
mod triggers;

pub(crate) use bots::BotConfig;
pub(crate) use expect::Expect;
pub use http::HttpConfig;
pub use read::{Config, Peek};
pub(crate) use read::{Registry, read, read_text};
pub use reference::Reference;
