//! A wire between the bot and its homeserver on which what the bot sends can be held up, so that a crash can
//! be put between reading and answering, or between an answer and the knowledge of it; and on which what it
//! asks can be garbled, so that the homeserver refuses it.
//!
//! Invariant: only sends (`PUT`) are held; a sync passes always, so the bot reads on. It knows just enough HTTP for
//! one client on one homeserver: each request begins a packet.

use std::sync::Arc;

use anyhow::Result;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// What is held up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Nothing.
    Nothing,
    /// Sends do not reach the homeserver.
    Sends,
    /// Sends reach it, and the bot is not told.
    Answers,
    /// Nothing, but no room can be read back: the homeserver refuses.
    History,
    /// Nothing, but no room's encryption can be looked up: the homeserver refuses.
    Encryption,
}

/// A wire.
#[derive(Debug)]
pub struct Wire {
    port: u16,
    held: watch::Sender<Held>,
    sends: watch::Receiver<u64>,
    task: JoinHandle<()>,
}

impl Wire {
    /// A wire to a port of this machine on which nothing is held.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn new(target: u16) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let (held, told) = watch::channel(Held::Nothing);
        let (count, sends) = watch::channel(0);
        let count = Arc::new(count);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, target, told.clone(), count.clone()));
            }
        });
        Ok(Self { port, held, sends, task })
    }

    /// Where the bot finds its homeserver.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Holds something up from now on. What is held already stays so for ever: its connection is dead.
    pub fn hold(&self, held: Held) {
        self.held.send_replace(held);
    }

    /// Waits until the bot sends something, counted from when the wire was made, and gives how often it did.
    ///
    /// # Errors
    /// The wire is gone.
    pub async fn sends(&self, more_than: u64) -> Result<u64> {
        Ok(*self.sends.clone().wait_for(|sends| *sends > more_than).await?)
    }

    /// How often the bot sent something up to now.
    pub fn count(&self) -> u64 {
        *self.sends.borrow()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(
    client: TcpStream,
    target: u16,
    held: watch::Receiver<Held>,
    count: Arc<watch::Sender<u64>>,
) -> Result<()> {
    let (mut from_bot, mut to_bot) = client.into_split();
    let (mut from_server, mut to_server) = TcpStream::connect(("127.0.0.1", target)).await?.into_split();
    let (stuck, is_stuck) = watch::channel(false);
    let there = async move {
        let mut packet = vec![0; 128 * 1024];
        loop {
            let length = from_bot.read(&mut packet).await?;
            if length == 0 {
                return to_server.shutdown().await;
            }
            if packet[..length].starts_with(b"PUT ") {
                count.send_modify(|count| *count += 1);
                let held = *held.borrow();
                match held {
                    Held::Nothing | Held::History | Held::Encryption => {}
                    Held::Sends => std::future::pending().await,
                    Held::Answers => drop(stuck.send_replace(true)),
                }
            }
            if packet[..length].starts_with(b"GET ") {
                let held = *held.borrow();
                match held {
                    Held::Nothing | Held::Sends | Held::Answers => {}
                    Held::History => garble(&mut packet[..length], b"/messages?"),
                    Held::Encryption => garble(&mut packet[..length], b"/state/m.room.encryption"),
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
                return to_bot.shutdown().await;
            }
            to_bot.write_all(&packet[..length]).await?;
        }
    };
    tokio::try_join!(there, back)?;
    Ok(())
}

/// Makes of a request one that no homeserver knows.
fn garble(request: &mut [u8], path: &[u8]) {
    if let Some(at) = request.windows(path.len()).position(|part| part == path) {
        request[at + 1] = b'x';
    }
}
