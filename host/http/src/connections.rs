//! Accepts and serves HTTP connections, with limits that axum's own server does not have.
//!
//! Invariant: an idle or slow connection ends by a timeout, and the number of connections is bounded.

use std::{sync::Arc, time::Duration};

use axum::{Router, http::Request};
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use wardroom::CancellationToken;

use crate::connection_table::{Connection, ConnectionTable, Phase};

/// Maximum number of open connections. A further connection closes another one; [`Phase`] determines which.
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
/// Delay before a retry if `accept` fails, for example because the process has no free file descriptor.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Serves connections until `stop` is cancelled. Then accepts no more connections, and waits up to [`SHUTDOWN_TIMEOUT`]
/// for the requests in progress to finish.
pub(crate) async fn serve(listener: TcpListener, routes: Router, stop: CancellationToken) {
    let table = ConnectionTable::new(MAX_CONNECTIONS);
    let mut tasks = JoinSet::new();
    loop {
        let Some(accepted) = stop.run_until_cancelled(listener.accept()).await else { break };
        match accepted {
            Ok((stream, _)) => {
                let Some(entry) = stop.run_until_cancelled(table.add()).await else { break };
                let (routes, stop) = (routes.clone(), stop.clone());
                tasks.spawn(async move {
                    let closed = entry.closed.clone();
                    closed.run_until_cancelled(serve_connection(stream, routes, stop, entry)).await;
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

/// Serves a connection until it ends, reaches [`MAX_CONNECTION_AGE`], or the host stops. Records the connection's phase
/// in `entry`. Each request has `entry` as an extension.
async fn serve_connection(stream: TcpStream, routes: Router, stop: CancellationToken, entry: Arc<Connection>) {
    entry.enter(Phase::Head);
    let routes = TowerToHyperService::new(routes);
    let service = service_fn(|mut request: Request<Incoming>| {
        entry.enter(Phase::Working);
        request.extensions_mut().insert(entry.clone());
        let (response, entry) = (routes.call(request), &entry);
        async move {
            let response = response.await;
            entry.enter(Phase::Idle);
            response
        }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(MAX_HEAD_BYTES);
    let mut connection = std::pin::pin!(server.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        result = connection.as_mut() => return log_end(result),
        () = stop.cancelled() => {}
        () = tokio::time::sleep(MAX_CONNECTION_AGE) => {}
    }
    connection.as_mut().graceful_shutdown();
    if let Ok(result) = tokio::time::timeout(SHUTDOWN_TIMEOUT, connection).await {
        log_end(result);
    }
}

fn log_end(ended: Result<(), hyper::Error>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection failed");
    }
}
