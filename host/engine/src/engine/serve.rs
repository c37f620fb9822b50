//! Runs an engine: starts its tasks, serves its chats, and shuts down.

use std::{collections::HashSet, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::host::Host;
use crate::{
    adapter::{Inbox, LinkState},
    base::{ActivityGuard, SecretSlot},
    messaging::Account,
    store::{InboxRow, StoreError},
};

/// How long plugins that still run may take to end at a shutdown. After this time, the engine aborts them.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(8);

/// A new inbox row that is to be handled. The `bool` is true if backfill received the row's message after a connection
/// gap. The guard keeps the engine from ending until the row is handled.
pub(super) type Arrival = (InboxRow, bool, ActivityGuard);

/// An engine with loaded plugins. [`Engine::run`] serves its chats.
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
    pub(super) retention: Duration,
}

/// The error of [`Engine::run`].
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The store failed when the engine started.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A chat adapter failed with a permanent error.
    #[error("the chat adapter for {network} failed: {reason}")]
    Chat {
        /// The chat network, for example `matrix`.
        network: &'static str,
        /// The adapter's error, in one line.
        reason: String,
    },
    /// [`Engine::run`] was already called on this engine. An engine can run only once.
    #[error("the engine has already run; build a new one")]
    Again,
}

impl Engine {
    /// Returns the number of loaded plugins.
    pub fn plugin_count(&self) -> usize {
        self.host.context.plugins.loaded().len()
    }

    /// Returns the plugins that failed to load, as pairs of name and reason.
    pub fn not_loaded(&self) -> Vec<(String, String)> {
        let failed = self.host.context.plugins.not_loaded().iter();
        failed.map(|plugin| (plugin.name.clone(), plugin.error.to_string())).collect()
    }

    /// Returns the inbox of a bot's account on a network such as `matrix`, for a program that delivers messages itself.
    /// Returns `None` if the account is not configured.
    pub fn inbox(&self, bot: &str, network: &str) -> Option<Arc<dyn Inbox>> {
        let inbox = self.host.inbox_of(bot, network)?;
        Some(inbox)
    }

    /// Starts to fetch the secrets of secret stores, and waits for at most ten seconds until each was tried once.
    /// [`Engine::run`] calls this too. A program that resolves secrets before calls it itself.
    pub async fn fetch_secrets(&self) {
        self.host.context.secrets.start().await;
    }

    /// Stops to fetch secrets, and logs out of the secret stores, which takes three seconds at most. [`Engine::run`] does
    /// this at its end. A program that calls [`Engine::fetch_secrets`] and then does not run the engine calls it itself.
    pub async fn close_secrets(&self) {
        self.host.context.secrets.stop().await;
    }

    /// Serves the chat networks until `stop` is cancelled, or until every chat adapter has ended and no job or query
    /// runs. After `stop` is cancelled, no command starts, and running plugins end at their next host call. 8 seconds
    /// later, the remaining plugins are aborted. Open jobs continue at the next start of the host, because the journal
    /// contains every effect.
    ///
    /// # Errors
    /// [`RunError`].
    pub async fn run(&self, stop: CancellationToken) -> Result<(), RunError> {
        let Some(rows) = self.rows.lock().take() else { return Err(RunError::Again) };
        let _ = stop.run_until_cancelled(self.fetch_secrets()).await;
        let served = self.run_with_secrets(stop, rows).await;
        self.close_secrets().await;
        served
    }

    async fn run_with_secrets(
        &self,
        stop: CancellationToken,
        mut rows: mpsc::UnboundedReceiver<Arrival>,
    ) -> Result<(), RunError> {
        let context = &self.host.context;
        // When this function returns, all tasks end.
        let _stopping = context.stopping.clone().drop_guard();
        let _stop = context.stop.clone().drop_guard();
        let mut tasks = JoinSet::new();
        self.check_clock().await?;
        self.host.context.plugins.store_files(&*context.store).await?;
        // 1. Report plugins that are missing, send the messages in the outbox, and resume open jobs.
        self.host.report_missing_plugins().await?;
        context.outbox.wake();
        tasks.spawn(context.outbox.clone().run());
        self.host.jobs.resume().await?;
        //    Wake the jobs that became due during downtime.
        self.host.jobs.wake_due().await;
        tasks.spawn(self.host.jobs.clone().run_wakeups());
        tasks.spawn(self.host.clone().expire(self.retention));
        // 2. Handle the stored messages. A message that arrived before this step is also in the channel, so its key is
        //    stored in `taken`.
        let mut taken = HashSet::new();
        for row in context.store.unhandled().await? {
            taken.insert(row.key.clone());
            self.host.clone().spawn(row, self.host.activity.begin(), true);
        }
        // 3. Run the schedules, handle new messages and serve the chats.
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
        // 4. Shut down: start no more commands, and wait until running plugins end.
        context.stopping.cancel();
        handling.abort();
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, self.host.activity.until_idle()).await.is_err() {
            tracing::warn!(
                "running plugins did not end within the shutdown timeout and are aborted; open jobs continue at the next start"
            );
        }
        served
    }

    /// Logs an error if the clock is behind the newest journal entry, which means that the clock was set back.
    async fn check_clock(&self) -> Result<(), StoreError> {
        let context = &self.host.context;
        let now = context.clock.now();
        if let Some(newest) = context.store.newest_time().await?
            && newest > now
        {
            tracing::error!(
                %now, %newest,
                "the system clock is behind the newest journal entry; timers fire late; hint: correct the system clock"
            );
        }
        Ok(())
    }

    /// Serves all chat accounts until each chat adapter has ended.
    async fn serve(&self, stop: &CancellationToken) -> Result<(), RunError> {
        let mut serving = JoinSet::new();
        for (account, inbox) in self.host.context.outbox.accounts.iter().zip(&self.host.inboxes) {
            let (account, inbox, stop, host) = (account.clone(), inbox.clone(), stop.clone(), self.host.clone());
            let secrets = self.host.context.secrets.used_by(&format!("bot.{}.{}", account.bot, account.chat.network()));
            serving.spawn(async move {
                // An adapter ends for good if it cannot resolve a secret.
                if stop.run_until_cancelled(until_fetched(&account, &secrets)).await.is_none() {
                    return Ok(());
                }
                let ended = serve_or_panic(&account, inbox, stop).await;
                ended.map_err(|reason| {
                    let network = account.chat.network();
                    let link = LinkState::Down { since: Timestamp::now(), reason: reason.clone() };
                    host.ended_adapters.lock().insert((account.bot, network), link);
                    RunError::Chat { network, reason }
                })
            });
        }
        let mut failed = None;
        while let Some(ended) = serving.join_next().await {
            let ended = ended.unwrap_or_else(|error| {
                Err(RunError::Chat { network: "an unknown network", reason: error.to_string() })
            });
            if let Err(error) = ended {
                tracing::error!(%error, "a chat adapter has stopped and does not restart; the other adapters continue; hint: correct the cause in `error` and restart the host");
                failed = Some(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }
}

/// Waits until the secrets of an account are fetched.
async fn until_fetched(account: &Account, secrets: &[SecretSlot]) {
    for secret in secrets {
        if let Err(error) = secret.get() {
            let (bot, network) = (account.bot.as_str(), account.chat.network());
            tracing::warn!(bot, network, error, "the account connects when its secret has a value");
            secret.until_set().await;
        }
    }
}

/// Serves an account until its chat adapter ends.
///
/// # Errors
/// The adapter failed with a permanent error, or panicked. The error is the reason in one line, which `status` shows. A
/// panic's message is only logged, because it can contain a secret.
async fn serve_or_panic(account: &Account, inbox: Arc<dyn Inbox>, stop: CancellationToken) -> Result<(), String> {
    // The inner block also catches a panic of an adapter that does more than to return the future.
    let serving = AssertUnwindSafe(async { account.chat.serve(inbox, stop).await });
    match serving.catch_unwind().await {
        Ok(ended) => ended.map_err(|error| format!("{error:#}")),
        Err(panic) => {
            let message = panic.downcast_ref::<String>().map(String::as_str);
            let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            let (bot, network) = (account.bot.as_str(), account.chat.network());
            tracing::error!(
                bot,
                network,
                error = message,
                "a chat adapter panicked; hint: report this bug with the host's log"
            );
            Err("internal error of the adapter; the host's log has the details".to_owned())
        }
    }
}

#[cfg(test)]
mod tests;
