//! The HTTP listener of a host: webhooks, health checks and metrics.
//!
//! ```text
//! POST /hooks/NAME   a delivery: authenticated, deduplicated, then its command runs in its room as if a person had typed it
//! GET  /healthz      200 while the process serves and the store can be read, else 503
//! GET  /readyz       200 while every chat connection is up, else 503; the body lists the connections as JSON
//! GET  /metrics      the metrics of `METRICS.md` in the text format of Prometheus
//! ```
//!
//! Invariant: an unauthenticated client costs little. Connections, headers, bodies and deliveries are limited in number, size
//! and time, and no received text reaches a log line or a metric's label.
//! Not here: the command that a delivery runs (`wardroom::engine`), and TLS, which a reverse proxy terminates.

mod auth;
mod connections;
mod endpoint;
mod health;
mod hooks;
mod metrics;
mod rate_limit;

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::{
    Router,
    routing::{get, post},
};
use tokio::net::{TcpListener, TcpSocket};
use wardroom::{CancellationToken, config::HttpConfig, engine::Engine};

use endpoint::Endpoints;
use rate_limit::TokenBucket;

pub use metrics::Metrics;

/// Unauthenticated deliveries a minute, over all hooks, that are answered individually and logged. Further ones get 429 and no
/// log line.
const FAILURES_PER_MINUTE: u32 = 60;
/// The backlog of the listening socket. A client whose connection does not fit retries only after seconds.
const BACKLOG: u32 = 4096;
/// How often measured values are moved into their histograms, which bounds their memory where `/metrics` is never scraped.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// A bound address that does not accept requests yet.
pub struct Listener(TcpListener);

/// What all routes share.
struct AppState {
    engine: Arc<Engine>,
    metrics: Metrics,
    endpoints: Endpoints,
    failures: TokenBucket,
    health: health::HealthCache,
}

impl Listener {
    /// Binds the configured address.
    ///
    /// # Errors
    /// The address is in use, or does not belong to this machine.
    pub async fn bind(config: &HttpConfig) -> anyhow::Result<Self> {
        let socket = if config.listen.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
        let listener = socket.and_then(|socket| {
            // After a restart, connections of the old process may still be in TIME_WAIT.
            socket.set_reuseaddr(true)?;
            socket.bind(config.listen)?;
            socket.listen(BACKLOG)
        });
        listener.map(Self).with_context(|| format!("cannot listen at {} ([http] in {})", config.listen, config.at))
    }

    /// Builds the routes and resolves the secret of every hook.
    ///
    /// # Errors
    /// A secret cannot be read or decoded; the error names its hook and its reference.
    pub fn open(self, engine: Arc<Engine>, metrics: Metrics) -> anyhow::Result<Server> {
        let endpoints = Endpoints::new(engine.hooks())?;
        let failures = TokenBucket::per_minute(FAILURES_PER_MINUTE);
        let health = health::HealthCache::default();
        let state = Arc::new(AppState { engine, metrics, endpoints, failures, health });
        Ok(Server { listener: self.0, state })
    }
}

/// A listener that is ready to serve.
pub struct Server {
    listener: TcpListener,
    state: Arc<AppState>,
}

impl Server {
    /// Serves until `stop` is cancelled. Requests that are in progress then have a few seconds to finish.
    pub async fn serve(self, stop: CancellationToken) {
        match self.listener.local_addr() {
            Ok(address) => tracing::info!(%address, "listening for HTTP requests"),
            Err(error) => tracing::warn!(%error, "listening for HTTP requests at an unknown address"),
        }
        let metrics = self.state.metrics.clone();
        let upkeep = async move {
            loop {
                tokio::time::sleep(UPKEEP_INTERVAL).await;
                metrics.run_upkeep();
            }
        };
        tokio::select! {
            () = connections::serve(self.listener, routes(self.state), stop) => {}
            () = upkeep => {}
        }
    }
}

fn routes(state: Arc<AppState>) -> Router {
    Router::new()
        .route("/hooks/{name}", post(hooks::deliver))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(metrics::render))
        .with_state(state)
}

#[cfg(test)]
mod tests;
