//! `wardroom run`: starts the host, serves, and shuts down.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use wardroom::CancellationToken;
use wardroom_sqlite::SqliteStore;

use crate::{Exit, report, wiring::Wiring};

/// Maximum time between the first signal to stop and the end of the process. Running plugins have 8 seconds of this
/// time to end. A service manager must wait longer before it kills the process, see `TimeoutStopSec` in
/// `packaging/wardroom.service`.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(14);

pub(crate) async fn run(wiring: &Wiring<'_>, locked: bool, adopt: bool, bot: Option<&str>) -> anyhow::Result<Exit> {
    // 1. Read the configuration, before anything connects.
    let Some(mut wired) = wiring.read_or_report() else { return Ok(Exit::Invalid) };
    if let Some(bot) = bot {
        match wired.config.only(bot) {
            Ok(rooms) => {
                for room in rooms {
                    tracing::warn!(
                        %room, bot,
                        "cannot send messages to the room, because `--bot {bot}` excludes every bot that has the room in its configuration"
                    );
                }
            }
            Err(meant) => {
                let meant = meant.map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
                return Ok(report::invalid(&format!("there is no table [bot.{bot}] in the configuration{meant}")));
            }
        }
    }
    if locked && wired.lock.is_none() {
        let text = "`--locked` requires the file plugins.lock; write it with `wardroom plugin lock`";
        return Ok(report::invalid(text));
    }
    // 2. Open the store, which locks the state folder and checks that no other computer uses the database.
    let database = &wired.state.database;
    let opened = if adopt { SqliteStore::open_adopting(database).await } else { SqliteStore::open(database).await };
    let store = Arc::new(opened?);
    //    Bind the HTTP listener, and install the recorder of metrics before the engine counts anything.
    #[cfg(feature = "http")]
    let listener = match wired.config.http() {
        Some(config) => Some((wardroom_http::Listener::bind(config).await?, wardroom_http::Metrics::install()?)),
        None => None,
    };
    // 3. Build the engine and load the plugins. If a plugin fails to load, the others still run.
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
        return Ok(Exit::Invalid);
    }
    //    Fetch the secrets of secret stores, then resolve the secrets of all hooks.
    engine.fetch_secrets().await;
    #[cfg(feature = "http")]
    let listener = match listener {
        Some((listener, metrics)) => match listener.open(engine.clone(), metrics) {
            Ok(listener) => Some(listener),
            Err(error) => {
                engine.close_secrets().await;
                return Err(error);
            }
        },
        None => None,
    };
    tracing::info!(plugins = engine.plugin_count(), "the host is ready");
    // 4. Serve until a signal, or until every chat has ended. The process may end at any time: pipeline runs continue
    //    without the host, and jobs continue from the journal at the next start.
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
    // 5. Write the queued audit records, and close the store.
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

/// Runs the engine and returns its result. If a listener is configured, also serves HTTP until the engine ends.
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

/// Waits for SIGTERM or SIGINT. The first signal cancels `stop`, and the host begins to shut down. A second signal
/// cancels `end`, and the process ends at once. The same happens after [`SHUTDOWN_TIMEOUT`].
async fn signals(stop: CancellationToken, end: CancellationToken) {
    let (mut terminate, mut interrupt) = match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(
                %error,
                "cannot install the signal handlers; a signal ends the host without a graceful shutdown"
            );
            return;
        }
    };
    tokio::spawn(ignore_hangups());
    let mut next = async || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    next().await;
    tracing::info!("the host is shutting down; open jobs continue at the next start");
    stop.cancel();
    tokio::select! {
        () = next() => tracing::warn!(
            "the host received a second signal and exits at once; open jobs continue at the next start"
        ),
        () = tokio::time::sleep(SHUTDOWN_TIMEOUT) => tracing::error!(
            "the shutdown timed out and the host exits; open jobs continue at the next start"
        ),
    }
    end.cancel();
}

/// Ignores SIGHUP, which a terminal sends when it closes, and which some tools send to make a service read its
/// configuration again.
async fn ignore_hangups() {
    match signal(SignalKind::hangup()) {
        Ok(mut hangup) => {
            while hangup.recv().await.is_some() {
                tracing::info!("ignored SIGHUP; hint: restart the host to read a changed configuration");
            }
        }
        Err(error) => tracing::error!(%error, "cannot install the handler of SIGHUP; SIGHUP ends the host"),
    }
}
