//! The database of a host in one SQLite file: inbox, outbox, journal, releases and the plugins' keys.
//!
//! [`SqliteStore::open`] locks the state folder for this process, migrates the schema and returns a
//! [`wardroom::store::Store`]. [`SqliteStore::open_adopting`] also takes over the database of another machine.
//! [`SqliteStore::open_read_only`] reads the database while a host runs. [`parse_url`] reads the `url` of `[store]`.
//!
//! Architecture Invariant: there is one writer. All lists of writes that wait while it is busy become one transaction with one
//! sync, in the order in which they were submitted.
//! Not here: which writes belong together, and how long finished jobs are kept (the engine).

mod chain;
mod client;
mod config;
mod convert;
mod lease;
mod lock;
mod open;
mod query;
mod retention;
mod schema;
mod transaction;
mod write;
mod writer;

pub use client::SqliteStore;
pub use config::parse_url;
pub use lease::{MachineClaim, machine_id};
pub use open::OpenError;
