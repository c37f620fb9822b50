//! Pipelines on a server, as far as they are the same for each kind of server: files of runs, at most one start for each
//! key, one poller for each backend, following, cancelling.
//!
//! An adapter implements [`System`] for its kind of server and passes it to [`RemotePipelines`], which implements the
//! engine's trait.
//!
//! Modules in reading order:
//!
//! - `system` (what an adapter implements), `error` (failed requests and their texts), `timing` (delays).
//! - `server` (the connection to an HTTP server), `breaker`.
//! - `record` and `files` (what is stored of a run), `pipelines` (the engine's trait), `backend` (the state of a run),
//!   `start` (starts a run, and finds it after a lost answer), `poller` (one for all runs that are followed), `follow`
//!   (what those who wait are told), `log_turns`, `cancel`, `existing` (runs that the host did not start).
//! - `held_secret` (a password or a token), `identity` and `validity` (a client certificate).
//!
//! # At most one run for each key
//!
//! A file for each [`RunKey`](wardroom::model::RunKey) is written before the trigger is sent. A trigger is never sent a
//! second time. If its answer was lost, the adapter searches for the run.
//!
//! Not here: wire formats, credentials and the meaning of responses.

mod backend;
mod breaker;
mod cancel;
mod error;
mod existing;
mod files;
mod follow;
mod held_secret;
mod identity;
mod log_turns;
mod pipelines;
mod poller;
mod record;
mod server;
mod start;
mod system;
mod timing;
mod validity;

pub use breaker::{Breaker, Permit};
pub use error::{RemoteError, excerpt, redirect, requested_delay, shorten, with_text};
pub use held_secret::HeldSecret;
pub use identity::IdentitySource;
pub use pipelines::RemotePipelines;
pub use server::{Answer, MAX_ERROR_BODY, OpenAnswer, Server, ServerSettings};
pub use system::{Found, LogPart, Lost, Observation, Observed, Open, Progress, Stop, Stored, System};
pub use timing::Timing;
