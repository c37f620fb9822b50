//! The services and the configuration that all jobs and calls of a host share.

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

/// One per host, shared by all invocations.
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
    /// The approval rules of the configuration.
    pub(crate) approvals: Arc<Vec<Approval>>,
    /// The notification rules for other rooms.
    pub(crate) notices: Arc<Notices>,
    /// Cancelled when a shutdown begins. Job guests end at their next call and continue after the next start.
    pub(crate) stopping: CancellationToken,
    /// Cancelled at the deadline of the shutdown. Running work is then aborted.
    pub(crate) stop: CancellationToken,
    /// Notified when a job may be due earlier than the next known wake time. The wake-up loop then queries the store
    /// again.
    pub(crate) alarm: tokio::sync::Notify,
}
