//! Takes connections and lets them go.
//!
//! Invariant: a connection that says nothing, says it slowly or does not listen ends by itself, and there are only so many.
//! Not here: axum's own server, which has none of these limits.

use std::{sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};
use wardroom::CancellationToken;

/// How many connections there are at a time; others wait until one is over.
const MOST: usize = 256;
/// How long the head of a request may take, and a connection may stay without one.
const HEAD: Duration = if cfg!(test) { Duration::from_secs(3) } else { Duration::from_secs(10) };
/// The longest head, in bytes.
const LONGEST_HEAD: usize = 16 << 10;
/// How long a connection may last.
const LIFE: Duration = Duration::from_secs(300);
/// How long what is being answered may take when it has to end.
const GRACE: Duration = Duration::from_secs(4);
/// How long a machine without room for one more connection is left alone.
const AGAIN: Duration = Duration::from_millis(100);

/// Answers until `stop`, and a little longer what was begun.
pub(crate) async fn serve(listener: TcpListener, routes: Router, stop: CancellationToken) {
    let room = Arc::new(Semaphore::new(MOST));
    let mut tasks = JoinSet::new();
    loop {
        let taken = async {
            let place = room.clone().acquire_owned().await;
            (listener.accept().await, place)
        };
        let Some((accepted, place)) = stop.run_until_cancelled(taken).await else { break };
        match accepted {
            Ok((stream, _)) => {
                let (routes, stop) = (routes.clone(), stop.clone());
                tasks.spawn(async move {
                    answer(stream, routes, stop).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be taken");
                tokio::time::sleep(AGAIN).await;
            }
        }
        while tasks.try_join_next().is_some() {}
    }
    drop(listener);
    while tasks.join_next().await.is_some() {}
}

/// Answers one connection's requests.
async fn answer(stream: TcpStream, routes: Router, stop: CancellationToken) {
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(LONGEST_HEAD);
    let connection = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return told(ended),
        () = stop.cancelled() => {}
        () = tokio::time::sleep(LIFE) => {}
    }
    connection.as_mut().graceful_shutdown();
    if let Ok(ended) = tokio::time::timeout(GRACE, connection).await {
        told(ended);
    }
}

fn told(ended: Result<(), hyper::Error>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}
