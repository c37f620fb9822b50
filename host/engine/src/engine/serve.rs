//! Runs an engine: starts its tasks, serves its chats, and shuts it down.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::host::Host;
use crate::{
    adapter::Inbox,
    base::ActivityGuard,
    messaging::{Account, AccountInbox},
    store::{InboxRow, StoreError},
};

/// The time that running plugins have, after a stop, to reach a point from which they can continue.
const GRACE: Duration = Duration::from_secs(8);

/// A message from an inbox: its row, whether it was stored before this process started, and the mark of unfinished work.
pub(super) type Arrival = (InboxRow, bool, ActivityGuard);

/// An engine that is ready to run.
///
/// ```no_run
/// use std::{path::Path, sync::Arc};
/// use wardroom::prelude::*;
///
/// # async fn run(builder: EngineBuilder, store: Arc<dyn Store>) -> anyhow::Result<()> {
/// let config = builder.read(Path::new("plugins.toml"))?;
/// let engine = builder.build(config, store).await?;
/// engine.run(CancellationToken::new()).await?;
/// # Ok(())
/// # }
/// ```
pub struct Engine {
    pub(crate) host: Arc<Host>,
    pub(super) rows: Mutex<Option<mpsc::UnboundedReceiver<Arrival>>>,
    pub(super) accounts: Vec<(Account, Arc<AccountInbox>)>,
    pub(super) retention: Duration,
}

/// The reason why an engine ended without being stopped.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The store failed at the start.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A chat adapter failed with an error that a retry cannot fix.
    #[error("{network} cannot continue: {reason}")]
    Chat {
        /// The network.
        network: &'static str,
        /// The reason.
        reason: String,
    },
    /// The engine was run before.
    #[error("an engine runs once")]
    Again,
}

impl Engine {
    /// The number of plugins that are loaded.
    pub fn plugin_count(&self) -> usize {
        self.host.plugins.loaded().len()
    }

    /// The plugins that are not loaded, each with the reason.
    pub fn not_loaded(&self) -> Vec<(String, String)> {
        let failed = self.host.plugins.not_loaded().iter();
        failed.map(|plugin| (plugin.name.clone(), plugin.error.to_string())).collect()
    }

    /// The inbox of an account, for a program that delivers messages itself. `None` if the configuration has no such
    /// account.
    pub fn inbox(&self, bot: &str, network: &str) -> Option<Arc<dyn Inbox>> {
        let fits = |account: &Account| account.bot == bot && account.chat.network() == network;
        let (_, inbox) = self.accounts.iter().find(|(account, _)| fits(account))?;
        Some(inbox.clone())
    }

    /// Serves until every chat has ended by itself and no job or query runs any more, or until `stop` is cancelled. After
    /// `stop` no command starts, running plugins end at their next host call, and after 8 seconds the remaining ones are
    /// aborted. Every effect is in the journal, so open jobs continue at the next start.
    ///
    /// # Errors
    /// [`RunError`].
    pub async fn run(&self, stop: CancellationToken) -> Result<(), RunError> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut rows) = rows else { return Err(RunError::Again) };
        let context = &self.host.context;
        // Every task ends with this function, however it returns.
        let _stopping = context.stopping.clone().drop_guard();
        let _stop = context.stop.clone().drop_guard();
        let mut tasks = JoinSet::new();
        self.check_clock().await?;
        self.host.plugins.keep(&*context.store).await?;
        // 1. Messages that are not sent yet, and open jobs.
        context.outbox.wake();
        tasks.spawn(context.outbox.clone().run());
        self.host.jobs.resume().await?;
        //    Jobs whose time came while no host ran.
        self.host.jobs.wake_due().await;
        tasks.spawn(self.host.jobs.clone().run_wakeups());
        tasks.spawn(self.host.clone().expire(self.retention));
        // 2. Messages that are stored and not handled. Those that arrived before this point are in the channel too.
        let mut taken = HashSet::new();
        for row in context.store.unhandled().await? {
            taken.insert(row.key.clone());
            self.host.clone().spawn(row, self.host.activity.begin(), true);
        }
        // 3. Schedules, new messages and the chats.
        for schedule in &self.host.triggers.schedules {
            tasks.spawn(self.host.clone().run_schedule(schedule.clone()));
        }
        let host = self.host.clone();
        let handling = tasks.spawn(async move {
            while let Some((row, late, guard)) = rows.recv().await {
                if !taken.remove(&row.key) {
                    host.clone().spawn(row, guard, late);
                }
            }
        });
        let served = self.serve(&stop).await;
        if !stop.is_cancelled() && served.is_ok() {
            self.host.activity.until_idle().await;
        }
        // 4. The shutdown: no command starts, and running plugins reach a point from which they can continue.
        context.stopping.cancel();
        handling.abort();
        if tokio::time::timeout(GRACE, self.host.activity.until_idle()).await.is_err() {
            tracing::warn!("the shutdown timed out; open jobs continue at the next start");
        }
        served
    }

    /// Logs an error if the clock is behind the newest journal entry. The clock was then set back, so timers fire late.
    async fn check_clock(&self) -> Result<(), StoreError> {
        let context = &self.host.context;
        let now = context.clock.now();
        match context.store.newest_time().await? {
            Some(newest) if newest > now => tracing::error!(
                %now, %newest,
                "the clock is behind the newest journal entry; timers fire late by the difference"
            ),
            _ => {}
        }
        Ok(())
    }

    /// Serves all chats until each has ended.
    async fn serve(&self, stop: &CancellationToken) -> Result<(), RunError> {
        let mut serving = JoinSet::new();
        for (account, inbox) in &self.accounts {
            let (account, inbox, stop, host) = (account.clone(), inbox.clone(), stop.clone(), self.host.clone());
            serving.spawn(async move {
                let ended = account.chat.serve(inbox, stop).await;
                ended.map_err(|error| {
                    let (network, reason) = (account.chat.network(), format!("{error:#}"));
                    host.ended_adapters.add(&account, reason.clone());
                    RunError::Chat { network, reason }
                })
            });
        }
        let mut failed = None;
        while let Some(ended) = serving.join_next().await {
            let ended =
                ended.unwrap_or_else(|error| Err(RunError::Chat { network: "a chat", reason: error.to_string() }));
            if let Err(error) = ended {
                tracing::error!(%error, "a chat adapter has stopped; the others continue");
                failed = Some(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }
}
