//! The services and the configuration that all jobs and calls of a host share.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{Plugins, table::HostCalls};
use crate::{
    adapter::{Backends, Clock, MonotonicClock, SecretStores},
    job::{Claims, LockTable},
    messaging::{Notices, Outbox},
    model::Catalog,
    plugin::GuestMemory,
    policy::{Access, Approval, Freezes},
    store::Store,
};

/// The services and the configuration of a host. All jobs and invocations share one value.
pub(crate) struct Context {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) plugins: Arc<Plugins>,
    pub(crate) guest_memory: GuestMemory,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) monotonic: MonotonicClock,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) calls: Arc<HostCalls>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) backends: Arc<Backends>,
    pub(crate) secrets: Arc<SecretStores>,
    pub(crate) access: Arc<Access>,
    pub(crate) freezes: Freezes,
    pub(crate) locks: LockTable,
    pub(crate) claims: Claims,
    pub(crate) approvals: Arc<Vec<Approval>>,
    /// The `[[notify]]` rules.
    pub(crate) notices: Arc<Notices>,
    /// Cancelled when a shutdown of the host begins. A job's guest then ends at its next host call, and the job
    /// continues after the next start of the host.
    pub(crate) stopping: CancellationToken,
    /// Cancelled at the deadline of a shutdown of the host. Tasks that still run are then aborted.
    pub(crate) stop: CancellationToken,
    /// Notifies [`Jobs::run_wakeups`](crate::runner::Jobs::run_wakeups), the loop that wakes jobs, that a job's wake
    /// time has changed. The loop then queries the store for due jobs again.
    pub(crate) alarm: tokio::sync::Notify,
}
