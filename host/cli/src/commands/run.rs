//! `wardroom run`: an operator's checklist from configuration to shutdown.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use wardroom::{CancellationToken, Engine};

use crate::{Exit, report, wiring};

/// How long the store may take to close after a signal. Runs outlive the host, and jobs that are open then are
/// reported at the next start.
const GRACE: Duration = Duration::from_secs(5);

pub(crate) async fn run(path: &Path, locked: bool) -> anyhow::Result<Exit> {
    // 1. The configuration, before anything connects.
    let Some(wired) = wiring::wire_or_report(path) else { return Ok(Exit::Wrong) };
    if locked && wired.lock.is_none() {
        report::error("--locked, and there is no plugins.lock; write one with: wardroom plugin lock");
        return Ok(Exit::Wrong);
    }
    // 2. The store: one host on one state folder.
    let store = Arc::new(wardroom_store::SqliteStore::open(&wired.state.database).await?);
    // 3. The plugins; one that does not load takes out nobody else.
    let cache = wired.cache();
    let has_lock = wired.lock.is_some();
    #[cfg(not(feature = "crash-points"))]
    let watched = store.clone();
    #[cfg(feature = "crash-points")]
    let watched = crate::crash::store(store.clone());
    let engine = Engine::builder(wired.config, watched).cache(cache).lock(wired.lock).build().await?;
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
    tracing::info!(plugins = engine.plugins().loaded().len(), "ready");
    // 4. Serve until a signal, or until every chat has ended.
    let stop = CancellationToken::new();
    let signalled = stop.clone();
    let signals = tokio::spawn(async move {
        if let Err(error) = signal().await {
            tracing::error!(%error, "signals cannot be heard");
            return;
        }
        tracing::info!("asked to stop");
        signalled.cancel();
    });
    let served = engine.run(stop.clone()).await;
    signals.abort();
    // 5. What is said but not on disk yet goes there.
    if tokio::time::timeout(GRACE, store.close()).await.is_err() {
        tracing::error!("the store did not close in time");
    }
    served.context("the host stopped")?;
    Ok(Exit::Done)
}

/// Waits for the first of the signals that ask a service to stop.
async fn signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
