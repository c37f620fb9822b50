//! `plugins.toml`: parsed once into a tree with positions, read table by table, every problem reported at once.
//!
//! Entry point: [`read`]. Nothing here connects, and no secret is resolved.
//! What only plugins know (their commands and settings) is checked by `plugin` when they are loaded.

mod approvals;
mod bots;
mod catalog;
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
mod problem;
mod read;
mod room;
mod rules;
mod starters;
mod table;
mod tree;

pub use bots::{BotConfig, BotIdentity};
pub use catalog::{App, Catalog, Deployment, Environment, ValuePattern};
pub use direct::Direct;
pub use expect::Expect;
pub use http::HttpConfig;
pub use plugins::PluginConfig;
pub use problem::{At, Problem, Problems, nearest};
pub use read::{Config, DEFAULT_STORE, Peek, Registry, peek, read};
pub use room::RoomName;
pub use table::{Located, Table, parse_duration};
pub use tree::{Field, Node, Value, parse};
