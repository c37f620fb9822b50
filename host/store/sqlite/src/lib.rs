//! The database of a host: inbox, outbox, journal, releases and the plugins' keys in one SQLite file.
//!
//! [`SqliteStore::open`] takes the state folder for one host alone, brings the schema up to date and gives a
//! [`wardroom::port::Store`]; a database that another machine used is opened by [`SqliteStore::open_adopting`]. [`SqliteStore::open_read_only`] looks on while a host runs. [`parse_url`] reads
//! the `url` of `[store]`.
//!
//! Architecture Invariant: there is one writer. Whatever waits to be written when it is free becomes one
//! transaction with one sync, in the order in which it was handed over.
//! Not here: which writes belong together, and for how long what is over is kept (the engine says so).

mod chain;
mod convert;
mod group;
mod lease;
mod ledger;
mod lock;
mod open;
mod query;
mod remove;
mod schema;
mod sqlite;
mod url;
mod write;

pub use lease::{Claim, machine};
pub use open::OpenError;
pub use sqlite::SqliteStore;
pub use url::parse_url;
