//! `wardroom run`: starts the host, serves, and shuts it down.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use wardroom::CancellationToken;
use wardroom_sqlite::SqliteStore;

use crate::{Exit, report, wiring::Wiring};

/// The time from the first signal to the end of the process. The engine gives running plugins 8 seconds of it to reach a
/// point from which they can continue. A service manager must wait longer before it kills the process.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(14);

pub(crate) async fn run(wiring: &Wiring<'_>, locked: bool, adopt: bool, bot: Option<&str>) -> anyhow::Result<Exit> {
    // 1. The configuration, before anything connects.
    let Some(mut wired) = wiring.read_or_report() else { return Ok(Exit::Wrong) };
    if let Some(bot) = bot {
        match wired.config.only(bot) {
            Ok(rooms) => {
                for room in rooms {
                    tracing::warn!(%room, bot, "messages to this room will fail: only an identity that does not run here is configured for it");
                }
            }
            Err(meant) => {
                let meant = meant.map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
                report::error(&format!("there is no [bot.{bot}]{meant}"));
                return Ok(Exit::Wrong);
            }
        }
    }
    if locked && wired.lock.is_none() {
        report::error("`--locked` needs a plugins.lock; write one with `wardroom plugin lock`");
        return Ok(Exit::Wrong);
    }
    // 2. The store, which locks the state folder and checks the machine.
    let database = &wired.state.database;
    let opened = if adopt { SqliteStore::open_adopting(database).await } else { SqliteStore::open(database).await };
    let store = Arc::new(opened?);
    //    The HTTP listener, if there is one. Its recorder must be installed before the engine counts anything.
    #[cfg(feature = "http")]
    let listener = match wired.config.http() {
        Some(config) => Some((wardroom_http::Listener::bind(config).await?, wardroom_http::Metrics::install()?)),
        None => None,
    };
    // 3. The engine and the plugins. A plugin that does not load does not affect the others.
    let used = wiring.instrument.store(store.clone());
    let has_lock = wired.lock.is_some();
    let builder = wired.builder.cache(wired.state.cache()).lock(wired.lock);
    let engine = Arc::new(builder.build(wired.config, used).await?);
    if !has_lock {
        tracing::warn!("{}", wardroom::plugin::Lock::MISSING);
    }
    let not_loaded = engine.not_loaded();
    if locked && !not_loaded.is_empty() {
        for (plugin, error) in not_loaded {
            report::error(&format!("plugin {plugin} is not loaded: {error}"));
        }
        return Ok(Exit::Wrong);
    }
    //    The secrets of all hooks are resolved before the host serves.
    #[cfg(feature = "http")]
    let listener = match listener {
        Some((listener, figures)) => Some(listener.open(engine.clone(), figures)?),
        None => None,
    };
    tracing::info!(plugins = engine.plugin_count(), "ready");
    // 4. Serve until a signal, or until every chat has ended. Runs continue without the host, and jobs continue from the
    //    journal at the next start, so the process may end at any time.
    let stop = CancellationToken::new();
    let end = CancellationToken::new();
    let signals = tokio::spawn(signals(stop.clone(), end.clone()));
    let serving = async {
        let engine = engine.run(stop.clone());
        #[cfg(feature = "http")]
        let engine = with_listener(engine, listener, &stop);
        engine.await
    };
    let served = end.run_until_cancelled(serving).await;
    // 5. Write the last notes to the store.
    let closed = end.run_until_cancelled(store.close()).await;
    signals.abort();
    match (served, closed) {
        (Some(served), Some(())) => {
            served.context("the host stopped")?;
            Ok(Exit::Done)
        }
        _ => Ok(Exit::Failed),
    }
}

/// Serves HTTP for as long as the engine runs.
#[cfg(feature = "http")]
async fn with_listener<T>(
    engine: impl Future<Output = T>,
    listener: Option<wardroom_http::Server>,
    stop: &CancellationToken,
) -> T {
    let stop = stop.child_token();
    let engine = async {
        let served = engine.await;
        stop.cancel();
        served
    };
    let listen = async {
        if let Some(listener) = listener {
            listener.serve(stop.clone()).await;
        }
    };
    tokio::join!(engine, listen).0
}

/// The first signal starts the shutdown. A second signal, or the timeout, ends the process at once.
async fn signals(stop: CancellationToken, end: CancellationToken) {
    let (mut terminate, mut interrupt) = match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(%error, "cannot install signal handlers");
            return;
        }
    };
    let mut next = async || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    next().await;
    tracing::info!("shutting down: open jobs continue at the next start");
    stop.cancel();
    tokio::select! {
        () = next() => tracing::warn!("second signal: exiting at once; open jobs continue at the next start"),
        () = tokio::time::sleep(SHUTDOWN_TIMEOUT) => tracing::error!("the shutdown timed out; open jobs continue at the next start"),
    }
    end.cancel();
}
