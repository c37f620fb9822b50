//! A proxy between the bot and its homeserver that can withhold or garble requests. With it, a test can crash the bot
//! between reading and answering or between an answer and its confirmation, or make the homeserver refuse a request.
//!
//! Between a person's client and the homeserver, the proxy can withhold room keys.
//!
//! Invariant: the proxy withholds only `PUT` requests; a sync always passes. The parser expects one client and one
//! homeserver: each request starts a packet.

use std::sync::Arc;

use anyhow::Result;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Mutex, watch},
    task::JoinHandle,
};

/// The requests or responses that a proxy withholds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withheld {
    /// All requests and responses pass.
    Nothing,
    /// Sends do not reach the homeserver.
    Sends,
    /// Sends reach the homeserver, but their responses do not return.
    Answers,
    /// All pass, but the homeserver refuses requests for a room's history.
    History,
    /// All pass, but the homeserver refuses requests for a room's encryption state.
    Encryption,
    /// All pass, but the homeserver reports that no room is encrypted.
    EncryptionState,
    /// The proxy stores room keys for other devices and answers the sender with success.
    Keys,
}

/// A running proxy.
#[derive(Debug)]
pub struct HttpProxy {
    port: u16,
    withheld: watch::Sender<Withheld>,
    sends: watch::Receiver<u64>,
    target: u16,
    keys: StoredRequests,
    task: JoinHandle<()>,
}

type StoredRequests = Arc<Mutex<Vec<Vec<u8>>>>;

impl HttpProxy {
    /// Starts a proxy to a port of this machine that withholds nothing.
    ///
    /// # Errors
    /// No port is free.
    pub async fn new(target: u16) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let (withheld, updates) = watch::channel(Withheld::Nothing);
        let (count, sends) = watch::channel(0);
        let count = Arc::new(count);
        let keys = StoredRequests::default();
        let stored = keys.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward_connection(client, target, updates.clone(), count.clone(), stored.clone()));
            }
        });
        Ok(Self { port, withheld, sends, target, keys, task })
    }

    /// Returns the base URL of the homeserver through the proxy.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Sets the withheld requests. Requests that are already withheld are never delivered.
    pub fn withhold(&self, withheld: Withheld) {
        self.withheld.send_replace(withheld);
    }

    /// Delivers the stored room keys to the homeserver. Returns the number of requests.
    ///
    /// # Errors
    /// The homeserver is down.
    pub async fn deliver_keys(&self) -> Result<usize> {
        let stored = std::mem::take(&mut *self.keys.lock().await);
        for request in &stored {
            let mut server = TcpStream::connect(("127.0.0.1", self.target)).await?;
            server.write_all(request).await?;
            let mut answer = vec![0; 4096];
            let length = server.read(&mut answer).await?;
            let answer = String::from_utf8_lossy(&answer[..length]);
            anyhow::ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        Ok(stored.len())
    }

    /// Waits until the bot has made more than `more_than` sends. Returns the number of sends since the start.
    ///
    /// # Errors
    /// The proxy has ended.
    pub async fn sends(&self, more_than: u64) -> Result<u64> {
        Ok(*self.sends.clone().wait_for(|sends| *sends > more_than).await?)
    }

    /// Returns the number of the bot's sends so far.
    pub fn count(&self) -> u64 {
        *self.sends.borrow()
    }
}

impl Drop for HttpProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward_connection(
    client: TcpStream,
    target: u16,
    withheld: watch::Receiver<Withheld>,
    count: Arc<watch::Sender<u64>>,
    keys: StoredRequests,
) -> Result<()> {
    let (mut from_bot, to_bot) = client.into_split();
    let to_bot = Arc::new(Mutex::new(to_bot));
    let answers = to_bot.clone();
    let (mut from_server, mut to_server) = TcpStream::connect(("127.0.0.1", target)).await?.into_split();
    let (stuck, is_stuck) = watch::channel(false);
    let answered = withheld.clone();
    let there = async move {
        let mut packet = vec![0; 128 * 1024];
        loop {
            let length = from_bot.read(&mut packet).await?;
            if length == 0 {
                return to_server.shutdown().await;
            }
            if packet[..length].starts_with(b"PUT ") {
                count.send_modify(|count| *count += 1);
                let withheld = *withheld.borrow();
                match withheld {
                    Withheld::Nothing | Withheld::History | Withheld::Encryption | Withheld::EncryptionState => {}
                    Withheld::Keys if contains(&packet[..length], b"/sendToDevice/m.room.encrypted/") => {
                        let mut request = packet[..length].to_vec();
                        while !is_whole(&request) {
                            let length = from_bot.read(&mut packet).await?;
                            request.extend_from_slice(&packet[..length]);
                        }
                        keys.lock().await.push(request);
                        answers.lock().await.write_all(ARRIVED).await?;
                        continue;
                    }
                    Withheld::Keys => {}
                    Withheld::Sends => std::future::pending().await,
                    Withheld::Answers => drop(stuck.send_replace(true)),
                }
            }
            if packet[..length].starts_with(b"GET ") {
                let withheld = *withheld.borrow();
                match withheld {
                    Withheld::Nothing | Withheld::Sends | Withheld::Answers | Withheld::Keys => {}
                    Withheld::History => garble(&mut packet[..length], b"/messages?"),
                    Withheld::Encryption => garble(&mut packet[..length], b"/state/m.room.encryption"),
                    Withheld::EncryptionState => hide_encryption(&mut packet[..length]),
                }
            }
            to_server.write_all(&packet[..length]).await?;
        }
    };
    let back = async move {
        let mut packet = vec![0; 128 * 1024];
        loop {
            let length = from_server.read(&mut packet).await?;
            let stuck = *is_stuck.borrow();
            if stuck {
                std::future::pending::<()>().await;
            }
            if length == 0 {
                return to_bot.lock().await.shutdown().await;
            }
            let mut length = length;
            let hides = *answered.borrow() == Withheld::EncryptionState;
            while hides && ends_within(&packet[..length], ENCRYPTION) {
                match from_server.read(&mut packet[length..]).await? {
                    0 => break,
                    more => length += more,
                }
            }
            if hides {
                hide_encryption(&mut packet[..length]);
            }
            to_bot.lock().await.write_all(&packet[..length]).await?;
        }
    };
    tokio::try_join!(there, back)?;
    Ok(())
}

/// Changes the path of a request to an unknown path.
fn garble(request: &mut [u8], path: &[u8]) {
    if let Some(at) = find(request, path) {
        request[at + 1] = b'x';
    }
}

/// The type of the state event that encrypts a room.
const ENCRYPTION: &[u8] = b"m.room.encryption";

/// Changes the type of each encryption event to an unknown type of the same length.
fn hide_encryption(bytes: &mut [u8]) {
    while let Some(at) = find(bytes, ENCRYPTION) {
        bytes[at + ENCRYPTION.len() - 1] = b'x';
    }
}

/// Returns whether the last bytes are the start of `part`, so that the rest of `part` may follow.
fn ends_within(bytes: &[u8], part: &[u8]) -> bool {
    (1..part.len()).any(|length| bytes.ends_with(&part[..length]))
}

const ARRIVED: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";

/// Returns true if a request has arrived with its whole body.
fn is_whole(request: &[u8]) -> bool {
    let Some(end) = find(request, b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    request.len() >= end + 4 + length.unwrap_or(0)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    find(bytes, part).is_some()
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}
