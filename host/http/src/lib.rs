//! The HTTP listener of a host: webhooks, health checks and metrics.
//!
//! ```text
//! POST /hooks/NAME   authenticates and deduplicates a delivery, then runs the hook's command in the hook's room
//! GET  /healthz      200 while the process serves and the store can be read, else 503
//! GET  /readyz       200 while every chat connection is up and may send, and every secret has a value, else 503; the body
//!                    lists the connections as JSON
//! GET  /metrics      the metrics of `METRICS.md` in the text format of Prometheus
//! ```
//!
//! Invariant: an unauthenticated client costs little. Connections, headers, bodies and deliveries are limited in
//! number, size and time, and no received text reaches a log line or a metric's label.
//! Not here: running the hook's command (`host/engine`), and TLS (use a reverse proxy).

mod auth;
mod connection_table;
mod connections;
mod content;
mod endpoint;
mod health;
mod hooks;
mod metrics;
mod rate_limit;
mod secret_key;
mod signature;

use std::{collections::HashMap, sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::{
    Router,
    routing::{get, post},
};
use tokio::net::{TcpListener, TcpSocket};
use wardroom::{CancellationToken, config::HttpConfig, engine::Engine};

use endpoint::{Endpoint, endpoints};
use rate_limit::TokenBucket;

pub use metrics::Metrics;

/// Maximum number of unauthenticated deliveries per minute, over all hooks. Further unauthenticated deliveries get the
/// status 429 and no log line. Authenticated deliveries are not affected.
const FAILURES_PER_MINUTE: u32 = 60;
/// Maximum number of connections that wait to be accepted. If more clients connect, the operating systems of these
/// clients retry only after some seconds.
const BACKLOG: u32 = 4096;
/// Interval at which the host moves recorded values of metrics into their histograms. Otherwise the recorded values
/// would take more and more memory until a client reads `/metrics`.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// A listening socket. Connections wait in the socket's backlog until [`Server::serve`] is called. [`Listener::open`]
/// returns the [`Server`].
pub struct Listener(TcpListener);

/// The state that the handlers of all HTTP routes share.
struct AppState {
    engine: Arc<Engine>,
    metrics: Metrics,
    endpoints: HashMap<String, Endpoint>,
    failures: TokenBucket,
    health: health::HealthCache,
}

impl Listener {
    /// Opens a socket that listens at the configured address.
    ///
    /// # Errors
    /// The address is in use, or does not belong to this computer.
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

    /// Reads the secret of every hook of `engine` and returns the server.
    ///
    /// # Errors
    /// A secret cannot be read or decoded. The error contains the name of the hook and the configured source of the
    /// secret.
    pub fn open(self, engine: Arc<Engine>, metrics: Metrics) -> anyhow::Result<Server> {
        let endpoints = endpoints(engine.hooks())?;
        let failures = TokenBucket::per_minute(FAILURES_PER_MINUTE);
        let health = health::HealthCache::default();
        let state = Arc::new(AppState { engine, metrics, endpoints, failures, health });
        Ok(Server { listener: self.0, state })
    }
}

/// An HTTP listener for which the secrets of all hooks have been read. [`Server::serve`] handles the requests.
pub struct Server {
    listener: TcpListener,
    state: Arc<AppState>,
}

impl Server {
    /// Serves requests until `stop` is cancelled. Requests in progress then have 4 seconds to finish.
    pub async fn serve(self, stop: CancellationToken) {
        match self.listener.local_addr() {
            Ok(address) => tracing::info!(%address, "listening for HTTP requests"),
            Err(error) => tracing::warn!(
                %error,
                "cannot read the address of the HTTP listener; the listener still serves requests"
            ),
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
        // Some forms of senders add the slash, and senders do not follow redirects.
        .route("/hooks/{name}/", post(hooks::deliver))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(metrics::render))
        .with_state(state)
}

#[cfg(test)]
mod tests;
