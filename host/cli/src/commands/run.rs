//! `wardroom run`: an operator's checklist from configuration to shutdown.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use wardroom::{CancellationToken, Engine};
use wardroom_store::SqliteStore;

use crate::{Exit, Instrument, report, wiring};

/// How long everything may take after a signal, whatever hangs. The engine gives what is at work 8 seconds of it to
/// come to a place from which it goes on; a service manager waits longer than this before it kills.
const DEADLINE: Duration = Duration::from_secs(14);

pub(crate) async fn run(
    path: &Path,
    locked: bool,
    adopt: bool,
    bot: Option<&str>,
    instrument: &dyn Instrument,
) -> anyhow::Result<Exit> {
    // 1. The configuration, before anything connects.
    let wired = wiring::wire_with(path, |registry| instrument.registry(registry));
    let Some(mut wired) = wiring::reported(wired) else { return Ok(Exit::Wrong) };
    if let Some(bot) = bot {
        match wired.config.only(bot) {
            Ok(rooms) => {
                for room in rooms {
                    tracing::warn!(%room, bot, "only the table of another identity, which does not run here, names this room; what is to be said there needs this one in it");
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
        report::error("--locked, and there is no plugins.lock; write one with: wardroom plugin lock");
        return Ok(Exit::Wrong);
    }
    // 2. The store: one host on one state folder, one machine on one database.
    let database = &wired.state.database;
    let opened = if adopt { SqliteStore::open_adopting(database).await } else { SqliteStore::open(database).await };
    let store = Arc::new(opened?);
    //    The address for other machines, if there is to be one; what is counted from here on is kept for them.
    #[cfg(feature = "http")]
    let listener = match &wired.config.http {
        Some(config) => Some((wardroom_http::Listener::bind(config).await?, wardroom_http::Figures::install()?)),
        None => None,
    };
    // 3. The plugins; one that does not load takes out nobody else.
    let cache = wired.cache();
    let has_lock = wired.lock.is_some();
    let used = instrument.store(store.clone());
    let engine = Arc::new(Engine::builder(wired.config, used).cache(cache).lock(wired.lock).build().await?);
    if !has_lock {
        tracing::warn!(
            "there is no plugins.lock: any bytes are taken for a plugin; write one with: wardroom plugin lock"
        );
    }
    if locked && !engine.plugins().not_loaded().is_empty() {
        for plugin in engine.plugins().not_loaded() {
            report::error(&format!("plugin {} is not loaded: {}", plugin.name, plugin.error));
        }
        return Ok(Exit::Wrong);
    }
    //    Every secret of every hook is read before anything is served.
    #[cfg(feature = "http")]
    let listener = match listener {
        Some((listener, figures)) => Some(listener.open(engine.clone(), figures)?),
        None => None,
    };
    tracing::info!(plugins = engine.plugins().loaded().len(), "ready");
    // 4. Serve until a signal, or until every chat has ended. Runs go on without the host, and jobs go on at the next
    //    start from what is on disk, so nothing is lost by an end at any moment.
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
    // 5. What is said but not on disk yet goes there.
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

/// Answers other machines for as long as the engine serves.
#[cfg(feature = "http")]
async fn with_listener<T>(
    engine: impl Future<Output = T>,
    listener: Option<wardroom_http::Open>,
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

/// The first signal asks the host to stop. A second one, or the deadline, ends it where it stands.
async fn signals(stop: CancellationToken, end: CancellationToken) {
    let (mut terminate, mut interrupt) = match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(%error, "signals cannot be heard");
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
    tracing::info!("asked to stop: what is at work comes to rest, or goes on at the next start");
    stop.cancel();
    tokio::select! {
        () = next() => tracing::warn!("asked to stop again: ended at once; jobs go on at the next start"),
        () = tokio::time::sleep(DEADLINE) => tracing::error!("did not come to rest in time: ended; jobs go on at the next start"),
    }
    end.cancel();
}
