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

/// The services and the configuration of a host. All jobs and invocations share one value.
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
    pub(crate) approvals: Arc<Vec<Approval>>,
    /// The rules for notifications in other rooms.
    pub(crate) notices: Arc<Notices>,
    /// Cancelled when a shutdown begins. The guest of a job then ends at its next call; the job continues after the
    /// next start.
    pub(crate) stopping: CancellationToken,
    /// Cancelled at the deadline of a shutdown. Running tasks are then aborted.
    pub(crate) stop: CancellationToken,
    /// Notified when a job may be due before the wake time that the wake-up loop waits for. The loop then queries the
    /// store again.
    pub(crate) alarm: tokio::sync::Notify,
}
