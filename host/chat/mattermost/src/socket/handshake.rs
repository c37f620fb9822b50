//! Opens a WebSocket by upgrading a request of the HTTP client, so that both use the same certificates, proxies and
//! token.
//!
//! A response that does not upgrade the connection is classified by its body, because a proxy and Mattermost can reject
//! a request with the same status.

use std::time::Duration;

use reqwest::{
    Method, StatusCode, Upgraded,
    header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        handshake::{client::generate_key, derive_accept_key},
        protocol::{Role, WebSocketConfig},
    },
};

use crate::{
    client::{ApiClient, read_error},
    error::MattermostError,
    responses::Request,
};

const OPEN_TIMEOUT: Duration = Duration::from_secs(20);
/// Maximum size of a frame of the server, in bytes. The connection is closed at a larger frame, and a backfill then
/// reads its post.
const MAX_FRAME: usize = 8 * 1024 * 1024;

pub(super) type Socket = WebSocketStream<Upgraded>;

/// The position at which a connection can be resumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ResumePoint {
    /// The server's id of the connection.
    pub(super) connection: String,
    /// The number of the first event that the bot has not received; at least 1.
    pub(super) next_seq: i64,
}

/// Opens a new connection, or resumes an earlier one at `resume_point`.
///
/// # Errors
/// Fails if the server does not open a WebSocket. A wrong token usually causes no error here, because the server opens
/// the connection without authenticating the account.
pub(super) async fn open(client: &ApiClient, resume_point: Option<&ResumePoint>) -> Result<Socket, MattermostError> {
    let opening = tokio::time::timeout(OPEN_TIMEOUT, upgrade(client, resume_point));
    opening
        .await
        .unwrap_or_else(|_| Err(MattermostError::unavailable("the server did not open a WebSocket within the timeout")))
}

async fn upgrade(client: &ApiClient, resume_point: Option<&ResumePoint>) -> Result<Socket, MattermostError> {
    let key = generate_key();
    let mut request = client
        .request(Method::GET, &["websocket"])
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, &key);
    if let Some(ResumePoint { connection, next_seq }) = resume_point {
        request = request.query(&[("connection_id", connection), ("sequence_number", &next_seq.to_string())]);
    }
    let response = request.send().await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(match read_error(Request::Other, response).await {
            // A proxy probably does not support WebSockets. A retry can succeed after the proxy is reconfigured.
            MattermostError::Rejected { reason, .. } => MattermostError::unavailable(format!(
                "the server does not open a WebSocket: {reason}; hint: allow WebSockets in the proxy in front of the server"
            )),
            error => error,
        });
    }
    let accept = response.headers().get(SEC_WEBSOCKET_ACCEPT);
    let accepted = accept.is_some_and(|accept| accept == derive_accept_key(key.as_bytes()).as_str());
    if !accepted {
        return Err(MattermostError::unavailable("a proxy answered the WebSocket handshake instead of the server"));
    }
    let stream = response.upgrade().await?;
    let limits = WebSocketConfig::default().max_message_size(Some(MAX_FRAME)).max_frame_size(Some(MAX_FRAME));
    Ok(WebSocketStream::from_raw_socket(stream, Role::Client, Some(limits)).await)
}
