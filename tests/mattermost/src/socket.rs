//! One WebSocket: authentication, requests and events.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{
        ConnectInfo, Query, State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    http::HeaderMap,
    response::Response,
};
use serde_json::{Value, json};
use tokio::{sync::mpsc, time::timeout};
use wardroom_fake_server::ConnectionCut;

use crate::{Shared, hub::WriterMessage, routes::bearer};

/// Time after which a connection without authentication is closed.
const CHALLENGE: Duration = Duration::from_secs(5);
/// Maximum size of a client's frame, in bytes.
const LARGEST: usize = 8192;
/// Maximum time that an event waits for another one to overtake it.
const OVERTAKING: Duration = Duration::from_millis(40);

/// The parameters of the request that opens the socket.
#[derive(Debug, Default)]
struct ResumeRequest {
    connection: String,
    sequence: String,
}

pub(crate) async fn open(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(cut): ConnectInfo<ConnectionCut>,
    headers: HeaderMap,
    Query(query): Query<Vec<(String, String)>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let parameter = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let resume_request = ResumeRequest {
        connection: parameter("connection_id").unwrap_or_default(),
        sequence: parameter("sequence_number").unwrap_or_default(),
    };
    let (deaf, no_header) = {
        let faults = shared.faults();
        (faults.deaf, faults.no_header)
    };
    // Accept a wrong token, as a real server does: the connection stays unauthenticated.
    let user = bearer(&headers).filter(|_| !no_header).and_then(|token| shared.data().user_of(token));
    upgrade.on_upgrade(move |socket| async move {
        let cut = cut.0;
        if deaf {
            return cut.cancelled().await;
        }
        cut.run_until_cancelled(serve(shared, socket, resume_request, user)).await;
    })
}

async fn serve(shared: Arc<Shared>, mut socket: WebSocket, resume_request: ResumeRequest, user: Option<String>) {
    let (writer, mut messages) = mpsc::unbounded_channel();
    let user = match user {
        Some(user) => user,
        None => match timeout(CHALLENGE, challenged(&shared, &mut socket, &writer)).await {
            Ok(Some(id)) => return run_connection(&shared, &mut socket, &id.0, &id.1, &writer, &mut messages).await,
            _ => return,
        },
    };
    let resume = match resume_request.sequence.parse::<i64>() {
        _ if resume_request.connection.is_empty() => None,
        Ok(next) => Some((resume_request.connection.as_str(), next)),
        // A connection id without a sequence number is an error.
        Err(_) => return,
    };
    let id = shared.hub().connect(&user, resume, &writer);
    run_connection(&shared, &mut socket, &id, &user, &writer, &mut messages).await;
}

/// Waits until the client authenticates. Returns the connection and its user.
async fn challenged(
    shared: &Shared,
    socket: &mut WebSocket,
    writer: &mpsc::UnboundedSender<WriterMessage>,
) -> Option<(String, String)> {
    loop {
        let Some(Ok(Message::Text(text))) = socket.recv().await else { return None };
        let frame: Value = serde_json::from_str(&text).ok()?;
        if frame["action"] == "authentication_challenge" {
            let user = shared.data().user_of(frame["data"]["token"].as_str().unwrap_or_default())?;
            let id = shared.hub().connect(&user, None, writer);
            let _ = writer.send(WriterMessage::Frame(json!({ "status": "OK", "seq_reply": frame["seq"] }).to_string()));
            return Some((id, user));
        }
        socket.send(Message::text(not_authenticated(&frame["seq"]))).await.ok()?;
    }
}

fn not_authenticated(seq: &Value) -> String {
    let error = json!({ "id": "api.web_socket_router.not_authenticated.app_error", "message": "", "status_code": 401 });
    json!({ "status": "FAIL", "seq_reply": seq, "error": error }).to_string()
}

async fn run_connection(
    shared: &Shared,
    socket: &mut WebSocket,
    id: &str,
    user: &str,
    writer: &mpsc::UnboundedSender<WriterMessage>,
    messages: &mut mpsc::UnboundedReceiver<WriterMessage>,
) {
    let _disconnect = DisconnectOnDrop { shared, id, writer };
    loop {
        tokio::select! {
            message = messages.recv() => match message {
                Some(WriterMessage::Frame(frame)) => {
                    if send(shared, socket, frame, messages).await.is_none() {
                        return;
                    }
                }
                Some(WriterMessage::Freeze) | None => std::future::pending().await,
            },
            frame = socket.recv() => match frame {
                Some(Ok(Message::Text(text))) if text.len() <= LARGEST => {
                    let Ok(frame) = serde_json::from_str::<Value>(&text) else { return };
                    if let Some(answer) = act(shared, user, &frame)
                        && socket.send(Message::text(answer)).await.is_err()
                    {
                        return;
                    }
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return,
            },
        }
    }
}

/// Sends a frame, with the faults that a test has set.
async fn send(
    shared: &Shared,
    socket: &mut WebSocket,
    frame: String,
    messages: &mut mpsc::UnboundedReceiver<WriterMessage>,
) -> Option<()> {
    let (twice, swapped) = {
        let faults = shared.faults();
        (faults.twice, faults.swapped)
    };
    let mut frames = vec![frame];
    if swapped && let Ok(Some(WriterMessage::Frame(second))) = timeout(OVERTAKING, messages.recv()).await {
        frames.insert(0, second);
    }
    for frame in frames {
        socket.send(Message::text(frame.clone())).await.ok()?;
        if twice {
            socket.send(Message::text(frame)).await.ok()?;
        }
    }
    Some(())
}

/// Handles a request of a client over the socket. Returns the response.
fn act(shared: &Shared, user: &str, frame: &Value) -> Option<String> {
    let seq = &frame["seq"];
    if !shared.data().has_token(user) {
        return Some(not_authenticated(seq));
    }
    match frame["action"].as_str() {
        // The connection is already authenticated, so send no response.
        Some("authentication_challenge") => None,
        Some("ping") => {
            let data = json!({ "text": "pong", "version": "11.1.0", "server_time": 0, "node_id": "" });
            Some(json!({ "status": "OK", "seq_reply": seq, "data": data }).to_string())
        }
        Some("user_typing") => {
            shared.faults().typed.extend(frame["data"]["channel_id"].as_str().map(str::to_owned));
            Some(json!({ "status": "OK", "seq_reply": seq }).to_string())
        }
        _ => {
            let error =
                json!({ "id": "api.web_socket_router.bad_action.app_error", "message": "", "status_code": 500 });
            Some(json!({ "status": "FAIL", "seq_reply": seq, "error": error }).to_string())
        }
    }
}

/// Marks the connection as broken when it is dropped.
struct DisconnectOnDrop<'g> {
    shared: &'g Shared,
    id: &'g str,
    writer: &'g mpsc::UnboundedSender<WriterMessage>,
}

impl Drop for DisconnectOnDrop<'_> {
    fn drop(&mut self) {
        self.shared.hub().disconnect(self.id, self.writer);
    }
}
