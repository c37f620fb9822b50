//! `plugins.toml` to plain data: read into a tree with positions, table by table, every problem reported at once.
//!
//! Invariant: nothing here connects, and no secret is resolved.

mod approvals;
mod apps;
mod bots;
mod direct;
mod expect;
mod freezes;
mod hooks;
mod http;
mod include;
mod members;
mod notices;
mod order;
mod people;
mod plugins;
mod read;
mod reference;
mod rules;
mod triggers;

pub(crate) use bots::BotConfig;
pub(crate) use expect::Expect;
pub use http::HttpConfig;
pub use read::{Config, DEFAULT_STORE, Peek, peek};
pub(crate) use read::{Registry, read, read_text};
pub use reference::{Reference, Section};
