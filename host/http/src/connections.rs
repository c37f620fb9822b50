//! Accepts and serves HTTP connections, with limits that axum's own server does not have.
//!
//! Invariant: an idle or slow connection ends by a timeout, and the number of connections is bounded.

use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use wardroom::CancellationToken;

use crate::slots::Slots;

/// Maximum number of open connections. If they are all open for longer than a second, a further connection closes the
/// oldest one.
const MAX_CONNECTIONS: usize = 256;
/// Timeout for reading the head of a request (request line and headers). It is also the maximum time for which a
/// connection may be idle between two requests.
const HEAD_TIMEOUT: Duration = if cfg!(test) { Duration::from_secs(3) } else { Duration::from_secs(10) };
/// Maximum size of a request's head (request line and headers), in bytes.
const MAX_HEAD_BYTES: usize = 16 << 10;
const MAX_CONNECTION_AGE: Duration = Duration::from_secs(300);
/// Maximum time that a request in progress has to finish after the host begins to stop, or after its connection reaches
/// [`MAX_CONNECTION_AGE`].
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(4);
/// Maximum time that a request in progress has to finish after its connection must make room for a new one.
const EVICTION_TIMEOUT: Duration = Duration::from_millis(500);
/// Delay before a retry if `accept` fails, for example because the process has no free file descriptor.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Serves connections until `stop` is cancelled. Then accepts no more connections, and waits up to [`SHUTDOWN_TIMEOUT`]
/// for the requests in progress to finish.
pub(crate) async fn serve(listener: TcpListener, routes: Router, stop: CancellationToken) {
    let slots = Slots::new(MAX_CONNECTIONS);
    let mut tasks = JoinSet::new();
    loop {
        let Some(accepted) = stop.run_until_cancelled(listener.accept()).await else { break };
        match accepted {
            Ok((stream, _)) => {
                let Some(slot) = stop.run_until_cancelled(slots.take()).await else { break };
                let (routes, stop) = (routes.clone(), stop.clone());
                tasks.spawn(async move {
                    serve_connection(stream, routes, stop, &slot.ended).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept an HTTP connection; retrying");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
        while tasks.try_join_next().is_some() {}
    }
    drop(listener);
    while tasks.join_next().await.is_some() {}
}

async fn serve_connection(stream: TcpStream, routes: Router, stop: CancellationToken, ended: &CancellationToken) {
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(MAX_HEAD_BYTES);
    let connection = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    let mut connection = std::pin::pin!(connection);
    let patience = tokio::select! {
        result = connection.as_mut() => return log_end(result),
        () = stop.cancelled() => SHUTDOWN_TIMEOUT,
        () = tokio::time::sleep(MAX_CONNECTION_AGE) => SHUTDOWN_TIMEOUT,
        () = ended.cancelled() => EVICTION_TIMEOUT,
    };
    connection.as_mut().graceful_shutdown();
    if let Ok(result) = tokio::time::timeout(patience, connection).await {
        log_end(result);
    }
}

fn log_end(ended: Result<(), hyper::Error>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection failed");
    }
}
