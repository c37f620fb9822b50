//! Collects the health of the host: connections of the accounts, open jobs, overdue jobs and plugins.
//!
//! Not here: the HTTP endpoints (`host/http`) and the command `status` (`builtin/status.rs`), which show the health.

use std::time::Duration;

use super::{host::Host, serve::Engine};
use crate::{
    adapter::{BlockedRoom, LinkState, SecretStoreHealth, SendPermissions},
    messaging::Account,
    metrics,
    store::{JobPhase, JobRow, StoreError},
};

/// The maximum number of overdue jobs that are read from the store. The overdue job to report is searched only among
/// these jobs.
const MAX_OVERDUE_READ: u32 = 256;

/// The health of a host. Returned by [`Engine::health`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The accounts, in the order of the configuration.
    pub accounts: Vec<AccountHealth>,
    /// The number of open jobs by phase. A phase without open jobs can be missing.
    pub jobs: Vec<(JobPhase, u64)>,
    /// The job that is overdue for the longest time, if any job is overdue.
    pub overdue: Option<Overdue>,
    /// The number of loaded plugins.
    pub loaded: usize,
    /// The number of configured plugins that failed to load.
    pub not_loaded: usize,
}

/// The health of one account. Returned by [`Engine::accounts`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountHealth {
    /// The name of the bot, for example `marvin`.
    pub bot: String,
    /// The chat network, for example `matrix`.
    pub network: &'static str,
    /// The state of the connection to the chat network. `None` if the adapter does not report a state;
    /// [`AccountHealth::is_up`] then returns true.
    pub link: Option<LinkState>,
    /// The rooms to which the account may not send now.
    pub blocked_rooms: Vec<BlockedRoom>,
    /// The number of times that the connection was restored after an outage, since the host started.
    pub reconnects: u64,
}

impl Health {
    /// Sets the metrics of open jobs, overdue jobs and plugins to the values of this report.
    pub fn record(&self) {
        for phase in JobPhase::ALL {
            let count = self.jobs.iter().find(|(known, _)| *known == phase).map_or(0, |(_, count)| *count);
            metrics::open_jobs(phase, count);
        }
        metrics::overdue(self.overdue.as_ref().map_or(Duration::ZERO, |overdue| overdue.late));
        metrics::plugins(self.loaded, self.not_loaded);
    }
}

impl AccountHealth {
    /// Sets the connection metrics of this account to the values of this report.
    pub fn record(&self) {
        metrics::account(&self.bot, self.network, self.is_up(), self.reconnects);
    }

    /// Returns whether the connection is up. Returns true if the adapter does not report a state.
    pub fn is_up(&self) -> bool {
        self.link.as_ref().is_none_or(LinkState::is_up)
    }

    /// Returns whether the connection is up, and the account may send to every room that it serves.
    pub fn is_ready(&self) -> bool {
        self.is_up() && self.blocked_rooms.is_empty()
    }
}

/// An open job whose wake time has passed and that is not running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overdue {
    pub job: JobRow,
    /// The time that has passed since the job's wake time.
    pub late: Duration,
}

impl Engine {
    /// Returns the health of each account from memory, without waiting.
    pub fn accounts(&self) -> Vec<AccountHealth> {
        self.host.accounts()
    }

    /// Returns the state of each secret store from memory, without waiting.
    pub fn secret_stores(&self) -> Vec<SecretStoreHealth> {
        self.host.context.secrets.health()
    }

    /// Returns the health of the host. Reads the open jobs from the store.
    ///
    /// # Errors
    /// Fails if the store cannot be read.
    pub async fn health(&self) -> Result<Health, StoreError> {
        let host = &self.host;
        Ok(Health {
            accounts: host.accounts(),
            jobs: host.context.store.open_jobs().await?,
            overdue: host.overdue(|_| true).await?,
            loaded: host.context.plugins.loaded().len(),
            not_loaded: host.context.plugins.not_loaded().len(),
        })
    }
}

impl Host {
    pub(crate) fn accounts(&self) -> Vec<AccountHealth> {
        let ended_adapters = self.ended_adapters.lock();
        let health = |Account { bot, chat, .. }: &Account| {
            let (bot, network) = (bot.clone(), chat.network());
            let ended = ended_adapters.get(&(bot.clone(), network)).cloned();
            let link = ended.or_else(|| Some(chat.link()?.state()));
            let blocked_rooms = chat.send_permissions().map(SendPermissions::blocked_rooms).unwrap_or_default();
            let reconnects = chat.link().map_or(0, crate::adapter::Link::reconnects);
            AccountHealth { bot, network, link, blocked_rooms, reconnects }
        };
        self.context.outbox.accounts.iter().map(health).collect()
    }

    /// Returns the job of this host that is overdue for the longest time, among the jobs that `is_included` accepts.
    pub(crate) async fn overdue(&self, is_included: impl Fn(&JobRow) -> bool) -> Result<Option<Overdue>, StoreError> {
        let context = &self.context;
        let now = context.monotonic.now();
        let is_overdue =
            |job: &JobRow| context.outbox.runs(&job.bot) && self.jobs.running(&job.id).is_none() && is_included(job);
        let late = context.store.due(now, MAX_OVERDUE_READ).await?.into_iter().find(is_overdue);
        Ok(late.and_then(|job| {
            let late = now.duration_since(job.status.wake?).try_into().unwrap_or_default();
            Some(Overdue { job, late })
        }))
    }
}
