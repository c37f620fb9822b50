//! How the host stands: whether its accounts hear and speak, what is late, how much is open.
//!
//! Not here: how it is shown to machines (the listener) and in a room (`status`).

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

/// No more late jobs than this are looked through for one that is ours.
const MOST_LATE: u32 = 256;

/// How a host stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Its accounts, in the order of the file.
    pub accounts: Vec<AccountHealth>,
    /// How many open jobs stand where; what is left out is none.
    pub jobs: Vec<(JobPhase, u64)>,
    /// The job that should have been looked at longest ago and was not, if there is one.
    pub overdue: Option<Overdue>,
    /// How many plugins are loaded.
    pub loaded: usize,
    /// How many are not.
    pub not_loaded: usize,
}

/// How one account stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountHealth {
    /// The identity's name.
    pub bot: String,
    /// Its network.
    pub network: &'static str,
    /// Whether messages flow; `None` for a network on which they always do.
    pub link: Option<LinkState>,
    /// How often messages flowed again after they had not.
    pub reconnects: u64,
}

impl Health {
    /// Sets the gauges and counters of the metrics to these values.
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

    /// Whether messages flow.
    pub fn is_up(&self) -> bool {
        self.link.as_ref().is_none_or(LinkState::is_up)
    }
}

/// A job that is late.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overdue {
    /// The job.
    pub job: JobRow,
    /// By how much.
    pub late: Duration,
}

/// The accounts whose adapters have ended for good, since when, and why.
#[derive(Debug, Default)]
pub(crate) struct Gone(Mutex<Vec<(String, &'static str, Timestamp, String)>>);

impl Gone {
    /// An adapter can never go on.
    pub(crate) fn add(&self, account: &Account, reason: String) {
        let gone = (account.bot.clone(), account.chat.network(), Timestamp::now(), reason);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(gone);
    }

    fn of(&self, account: &Account) -> Option<LinkState> {
        let gone = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |(bot, network, _, _): &&(String, &'static str, Timestamp, String)| {
            *bot == account.bot && *network == account.chat.network()
        };
        let (_, _, since, reason) = gone.iter().find(fits)?;
        Some(LinkState::Down { since: *since, reason: reason.clone() })
    }
}

impl Engine {
    /// Whether each account hears and speaks. At once, and from memory.
    pub fn accounts(&self) -> Vec<AccountHealth> {
        self.host.accounts()
    }

    /// How the host stands. It reads the store.
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
            link: self.gone.of(account).or_else(|| Some(account.chat.link()?.state())),
            reconnects: account.chat.link().map_or(0, crate::adapter::Link::reconnects),
        };
        accounts.map(health).collect()
    }

    /// The job of this host that should have been looked at longest ago, of those that fit.
    pub(crate) async fn overdue(&self, fits: impl Fn(&JobRow) -> bool) -> Result<Option<Overdue>, StoreError> {
        let context = &self.context;
        let now = context.monotonic.now();
        let ours = |job: &JobRow| context.outbox.runs(&job.bot) && self.jobs.running(&job.id).is_none() && fits(job);
        let late = context.store.due(now, MOST_LATE).await?.into_iter().find(ours);
        Ok(late.and_then(|job| {
            let late = now.duration_since(job.status.wake?).try_into().unwrap_or_default();
            Some(Overdue { job, late })
        }))
    }
}
