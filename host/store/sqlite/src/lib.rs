//! The database of a host in one SQLite file: inbox, outbox, journal, releases and the plugins' keys.
//!
//! [`SqliteStore::open`] locks the state folder for the process, migrates the schema and returns a
//! [`wardroom::store::Store`]. [`SqliteStore::open_adopting`] also takes over the database of another machine.
//! [`SqliteStore::open_read_only`] reads the database while a host runs. [`parse_url`] parses the `url` of `[store]`.
//!
//! Architecture Invariant: a store has one writer. The writer commits all queued lists of writes in one transaction
//! with one sync, in the order in which they were submitted.
//! Not here: the content of the lists, and the retention period of finished jobs (the engine).

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
