//! The listener for other machines: hooks, health, figures.
//!
//! ```text
//! POST /hooks/NAME   a delivery: who sent it is proven, it is taken once, and its command runs in its room as if typed
//! GET  /healthz      200 while this process serves and its store can be read, else 503
//! GET  /readyz       200 while each chat connection is up, else 503; which are, and why not, as JSON
//! GET  /metrics      the figures of `METRICS.md` for Prometheus
//! ```
//!
//! Invariant: whoever can reach it costs little: connections, headers, bodies and deliveries are limited in number, size and
//! time, and nothing that was sent is in a log line or a label.
//! Not here: what a delivery sets off (`wardroom::engine`), and encryption: a proxy in front of it brings that.

mod auth;
mod connections;
mod health;
mod hooks;
mod limit;
mod metrics;

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::{
    Router,
    routing::{get, post},
};
use tokio::net::{TcpListener, TcpSocket};
use wardroom::{CancellationToken, Engine, config::HttpConfig};

use auth::Doors;
use limit::Bucket;

pub use metrics::Figures;

/// How often something may be sent that does not prove who sent it, in a minute over all hooks. What is more is turned away
/// without a line in the log.
const FAILURES_A_MINUTE: u32 = 60;
/// How many connections may wait to be taken: where there is no place for one, its machine tries again after seconds only.
const WAITING: u32 = 4096;
/// How often what was measured is sorted, so that it takes no memory where nobody asks for it.
const UPKEEP: Duration = Duration::from_secs(5);

/// An address that is held, and not answered at yet.
pub struct Listener(TcpListener);

/// What the routes share.
struct Desk {
    engine: Arc<Engine>,
    figures: Figures,
    doors: Doors,
    failures: Bucket,
    known: health::Known,
}

impl Listener {
    /// Takes hold of the address.
    ///
    /// # Errors
    /// It is taken, or none of this machine's.
    pub async fn bind(config: &HttpConfig) -> anyhow::Result<Self> {
        let socket = if config.listen.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
        let listener = socket.and_then(|socket| {
            // As after a restart the connections of the old process may not be over.
            socket.set_reuseaddr(true)?;
            socket.bind(config.listen)?;
            socket.listen(WAITING)
        });
        listener.map(Self).with_context(|| format!("cannot listen at {} ([http] in {})", config.listen, config.at))
    }

    /// Readies the answers: every secret of every hook is read now.
    ///
    /// # Errors
    /// A secret that cannot be read or used, by the name of its hook and its reference.
    pub fn open(self, engine: Arc<Engine>, figures: Figures) -> anyhow::Result<Open> {
        let doors = Doors::new(engine.hooks())?;
        let failures = Bucket::a_minute(FAILURES_A_MINUTE);
        let desk = Desk { engine, figures, doors, failures, known: health::Known::default() };
        Ok(Open { listener: self.0, desk: Arc::new(desk) })
    }
}

/// A listener that can answer.
pub struct Open {
    listener: TcpListener,
    desk: Arc<Desk>,
}

impl Open {
    /// Answers until `stop`; what is being answered then is finished, within a few seconds.
    pub async fn serve(self, stop: CancellationToken) {
        match self.listener.local_addr() {
            Ok(address) => tracing::info!(%address, "listening for other machines"),
            Err(error) => tracing::warn!(%error, "listening for other machines"),
        }
        let figures = self.desk.figures.clone();
        let upkeep = async move {
            loop {
                tokio::time::sleep(UPKEEP).await;
                figures.sort();
            }
        };
        tokio::select! {
            () = connections::serve(self.listener, routes(self.desk), stop) => {}
            () = upkeep => {}
        }
    }
}

fn routes(desk: Arc<Desk>) -> Router {
    Router::new()
        .route("/hooks/{name}", post(hooks::deliver))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(metrics::metrics))
        .with_state(desk)
}

#[cfg(test)]
mod tests;
