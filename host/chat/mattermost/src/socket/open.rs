//! Opening: a request of the HTTP client that becomes a WebSocket, so that certificates, proxies and the token are the same
//! for both.

use std::time::Duration;

use reqwest::{
    Method, StatusCode, Upgraded,
    header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        handshake::{client::generate_key, derive_accept_key},
        protocol::Role,
    },
};

use crate::{
    api::Api,
    trouble::{Trouble, judge},
};

/// How long the server may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// An open connection.
pub(super) type Socket = WebSocketStream<Upgraded>;

/// A connection to be taken up again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resume {
    /// The server's id of it.
    pub(super) connection: String,
    /// The number of the first event that is missing; never 0.
    pub(super) next: i64,
}

/// Opens a connection.
///
/// # Errors
/// [`Trouble`]; a wrong token is none here: such a connection opens, and is not authenticated.
pub(super) async fn open(api: &Api, resume: Option<&Resume>) -> Result<Socket, Trouble> {
    let opening = tokio::time::timeout(PATIENCE, upgrade(api, resume));
    opening.await.unwrap_or_else(|_| Err(Trouble::later("the server does not open a connection in time")))
}

async fn upgrade(api: &Api, resume: Option<&Resume>) -> Result<Socket, Trouble> {
    let key = generate_key();
    let mut request = api
        .request(Method::GET, &["websocket"])
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, &key);
    if let Some(Resume { connection, next }) = resume {
        request = request.query(&[("connection_id", connection), ("sequence_number", &next.to_string())]);
    }
    let response = request.send().await?;
    let (status, headers) = (response.status(), response.headers().clone());
    if status != StatusCode::SWITCHING_PROTOCOLS {
        let body = response.bytes().await?;
        return Err(match judge(status, &headers, &body) {
            // Whatever stands between us and the server does not know WebSockets, or not at this address.
            Trouble::Refused { reason, .. } => Trouble::later(format!("no WebSocket here: {reason}")),
            trouble => trouble,
        });
    }
    let accepted =
        headers.get(SEC_WEBSOCKET_ACCEPT).is_some_and(|accept| accept == derive_accept_key(key.as_bytes()).as_str());
    if !accepted {
        return Err(Trouble::later("something between us and the server answers in its place"));
    }
    let stream = response.upgrade().await?;
    Ok(WebSocketStream::from_raw_socket(stream, Role::Client, None).await)
}
