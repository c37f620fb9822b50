//! The health of the host: connections of the accounts, open jobs, overdue jobs and plugins.
//!
//! Not here: its presentation to machines (the HTTP listener) and in a room (`status`).

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

use super::{host::Host, serve::Engine};
use crate::{
    adapter::LinkState,
    messaging::Account,
    metrics,
    store::{JobPhase, JobRow, StoreError},
};

/// The most overdue jobs that are read to find one that runs on this host.
const MAX_OVERDUE_READ: u32 = 256;

/// The health of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The accounts, in the order of the file.
    pub accounts: Vec<AccountHealth>,
    /// The number of open jobs by phase. A phase without jobs can be missing.
    pub jobs: Vec<(JobPhase, u64)>,
    /// The open job with the earliest missed wake time, if one is overdue.
    pub overdue: Option<Overdue>,
    /// The number of loaded plugins.
    pub loaded: usize,
    /// The number of configured plugins that failed to load.
    pub not_loaded: usize,
}

/// The health of one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountHealth {
    /// The bot's name.
    pub bot: String,
    /// The account's network.
    pub network: &'static str,
    /// The state of the connection; `None` for a network that does not report one and counts as up.
    pub link: Option<LinkState>,
    /// How often the connection was restored after an outage.
    pub reconnects: u64,
}

impl Health {
    /// Sets the host's metrics to these values.
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
    /// Sets this account's metrics to these values.
    pub fn record(&self) {
        metrics::account(&self.bot, self.network, self.is_up(), self.reconnects);
    }

    /// Whether the connection is up. An account without a reported state counts as up.
    pub fn is_up(&self) -> bool {
        self.link.as_ref().is_none_or(LinkState::is_up)
    }
}

/// A job whose wake time has passed and that does not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overdue {
    /// The job's row.
    pub job: JobRow,
    /// The time since its wake time.
    pub late: Duration,
}

/// The accounts whose adapters ended with an error that a retry cannot fix: bot, network, time of the end and reason.
#[derive(Debug, Default)]
pub(crate) struct EndedAdapters(Mutex<Vec<(String, &'static str, Timestamp, String)>>);

impl EndedAdapters {
    /// Records that an account's adapter has ended.
    pub(crate) fn add(&self, account: &Account, reason: String) {
        let ended_adapters = (account.bot.clone(), account.chat.network(), Timestamp::now(), reason);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(ended_adapters);
    }

    fn of(&self, account: &Account) -> Option<LinkState> {
        let ended_adapters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |(bot, network, _, _): &&(String, &'static str, Timestamp, String)| {
            *bot == account.bot && *network == account.chat.network()
        };
        let (_, _, since, reason) = ended_adapters.iter().find(fits)?;
        Some(LinkState::Down { since: *since, reason: reason.clone() })
    }
}

impl Engine {
    /// The health of each account. It is read from memory, without waiting.
    pub fn accounts(&self) -> Vec<AccountHealth> {
        self.host.accounts()
    }

    /// The health of the host. Reads the job table of the store.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn health(&self) -> Result<Health, StoreError> {
        let host = &self.host;
        Ok(Health {
            accounts: host.accounts(),
            jobs: host.context.store.open_jobs().await?,
            overdue: host.overdue(|_| true).await?,
            loaded: host.plugins.loaded().len(),
            not_loaded: host.plugins.not_loaded().len(),
        })
    }
}

impl Host {
    pub(crate) fn accounts(&self) -> Vec<AccountHealth> {
        let accounts = self.context.outbox.all().iter();
        let health = |account: &Account| AccountHealth {
            bot: account.bot.clone(),
            network: account.chat.network(),
            link: self.ended_adapters.of(account).or_else(|| Some(account.chat.link()?.state())),
            reconnects: account.chat.link().map_or(0, crate::adapter::Link::reconnects),
        };
        accounts.map(health).collect()
    }

    /// The job of this host with the earliest missed wake time, among the jobs that `fits` accepts.
    pub(crate) async fn overdue(&self, fits: impl Fn(&JobRow) -> bool) -> Result<Option<Overdue>, StoreError> {
        let context = &self.context;
        let now = context.monotonic.now();
        let ours = |job: &JobRow| context.outbox.runs(&job.bot) && self.jobs.running(&job.id).is_none() && fits(job);
        let late = context.store.due(now, MAX_OVERDUE_READ).await?.into_iter().find(ours);
        Ok(late.and_then(|job| {
            let late = now.duration_since(job.status.wake?).try_into().unwrap_or_default();
            Some(Overdue { job, late })
        }))
    }
}
