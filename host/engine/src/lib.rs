//! Wardroom: an embeddable engine that turns chat messages into guarded operations.
//!
//! A message becomes a [`command`], the command is authorized by [`access`], an action becomes a
//! [`job`], the job runs a sandboxed [`plugin`], every call of the plugin goes through
//! [`capability`] and may be held by [`approval`], and what comes of it goes back as a [`reply`]. The folders stand below in that
//! order. [`port`] holds the traits that adapters implement, [`config`] reads `plugins.toml`, and
//! [`engine`] joins the stages in one function.
//!
//! Architecture Invariant: this crate knows no chat network, no cloud and no database driver.
//! Architecture Invariant: each stage is a type that only the stage before can make.

pub mod adapter;
pub mod base;
pub mod command;
pub mod config;
pub mod engine;
pub mod hostcall;
pub mod job;
pub mod journal;
pub mod messaging;
pub mod metrics;
pub mod model;
pub mod plugin;
pub mod policy;
pub mod runner;
pub mod store;
pub mod trigger;

pub use engine::{Engine, EngineBuilder};
/// The time type of this crate's interfaces.
pub use jiff::Timestamp;
/// How a host asks its parts to stop.
pub use tokio_util::sync::CancellationToken;
