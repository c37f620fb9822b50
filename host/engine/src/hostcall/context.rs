//! What all jobs and calls of a host share.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::table::HostCalls;
use crate::{
    adapter::{Backends, Clock, MonotonicClock},
    job::{Claims, LockTable},
    messaging::{Notices, Outbox},
    model::Catalog,
    policy::{Access, Approval, Freezes},
    store::Store,
};

/// What all invocations share.
pub(crate) struct Context {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) monotonic: MonotonicClock,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) calls: Arc<HostCalls>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) backends: Arc<Backends>,
    pub(crate) access: Arc<Access>,
    pub(crate) freezes: Freezes,
    pub(crate) locks: LockTable,
    pub(crate) claims: Claims,
    /// What effects need of other people.
    pub(crate) approvals: Arc<Vec<Approval>>,
    /// What other rooms are told.
    pub(crate) notices: Arc<Notices>,
    /// Cancelled when the engine was asked to stop: guests end at their next call, and go on after the next start.
    pub(crate) stopping: CancellationToken,
    /// Cancelled when there is no more time: what is at work then is ended where it stands.
    pub(crate) stop: CancellationToken,
    /// Told that a time may have come earlier than was known.
    pub(crate) alarm: tokio::sync::Notify,
}
