//! The database of a host in one SQLite file: inbox, outbox, journal, releases and the values that plugins store.
//!
//! [`SqliteStore::open`] locks the state folder for the process, migrates the schema and returns a
//! [`wardroom::store::Store`]. [`SqliteStore::open_adopting`] also takes over the database of another computer.
//! [`SqliteStore::open_read_only`] reads the database while a host runs. [`parse_url`] parses the `url` of `[store]`.
//!
//! The engine submits changes as lists of [`Write`](wardroom::store::Write) values. Each list is stored completely or
//! not at all.
//!
//! Invariant: a store has one writer. The writer commits all queued lists in one transaction with one sync to disk, in
//! the order in which the engine submitted the lists.
//! Not here: the content of the lists, and the retention period of finished jobs (`host/engine`).

mod chain;
mod client;
mod config;
mod convert;
mod integrity;
mod lease;
mod lock;
mod open;
mod query;
mod retention;
mod schema;
mod transaction;
mod unlinked;
mod write;
mod writer;

pub use client::SqliteStore;
pub use config::parse_url;
pub use lease::{MachineClaim, machine_id};
pub use open::OpenError;
