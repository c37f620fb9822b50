//! A proxy between a bot and its server that breaks at random: connections are cut, closed on one side, delayed, or
//! left open without data. It does not parse the data.
//!
//! Invariant: a seed determines the sequence of faults. The positions of the faults in the data depend on timing.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Both sides are closed at once.
    Cut,
    /// Responses are cut first, while requests still arrive.
    Half,
    /// No data is forwarded, and both sides stay open for [`FaultLimits::blocked`].
    Blocked,
}

/// The faults of a proxy.
#[derive(Debug, Clone, Copy)]
pub struct FaultLimits {
    /// Maximum lifetime of a connection.
    pub lifetime: Duration,
    /// Maximum delay of a packet.
    pub delay: Duration,
    /// The time for which a blocked connection stays open.
    pub blocked: Duration,
}

/// A proxy.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    limits: watch::Sender<Option<FaultLimits>>,
    cuts: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy without faults to a port of this machine.
    ///
    /// # Errors
    /// No port is free.
    pub async fn new(target: u16, seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let (limits, updates) = watch::channel(None);
        let cuts = Arc::new(AtomicU64::new(0));
        let counter = cuts.clone();
        let task = tokio::spawn(async move {
            let mut random = Random(seed.max(1));
            while let Ok((client, _)) = listener.accept().await {
                let (seed, updates, cuts) = (random.next(), updates.clone(), counter.clone());
                tokio::spawn(async move {
                    // Ignore the error of a connection that fails without a fault.
                    let _ = forward_connection(client, target, Random(seed.max(1)), updates, &cuts).await;
                });
            }
        });
        Ok(Self { port, limits, cuts, task })
    }

    /// Returns the base URL of the server through the proxy.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Sets the faults, also for open connections. `None` switches them off.
    pub fn set(&self, limits: Option<FaultLimits>) {
        self.limits.send_replace(limits);
    }

    /// Returns the number of connections that the proxy cut.
    pub fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward_connection(
    client: TcpStream,
    target: u16,
    mut random: Random,
    mut updates: watch::Receiver<Option<FaultLimits>>,
    cuts: &AtomicU64,
) -> io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", target)).await?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (blocked, limits) = (CancellationToken::new(), updates.clone());
    let direction = |random: &mut Random| Direction {
        random: Random(random.next()),
        updates: limits.clone(),
        blocked: blocked.clone(),
    };
    let there = tokio::spawn(forward(from_client, to_server, direction(&mut random)));
    let back = tokio::spawn(forward(from_server, to_client, direction(&mut random)));
    let whole = async {
        // Forward until one side closes.
        while !there.is_finished() && !back.is_finished() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        // Forward data of the other side for a short time.
        () = whole => tokio::time::sleep(Duration::from_millis(50)).await,
        (end, lasts) = random_end(&mut random, &mut updates) => {
            cuts.fetch_add(1, Ordering::SeqCst);
            match end {
                End::Cut => {}
                End::Half => {
                    back.abort();
                    tokio::time::sleep(lasts).await;
                }
                End::Blocked => {
                    blocked.cancel();
                    tokio::time::sleep(lasts).await;
                }
            }
        }
    }
    there.abort();
    back.abort();
    Ok(())
}

/// Waits until the random end of a connection. Returns the kind of the end and the time that the connection stays
/// blocked.
async fn random_end(random: &mut Random, updates: &mut watch::Receiver<Option<FaultLimits>>) -> (End, Duration) {
    loop {
        let limits = *updates.borrow_and_update();
        let Some(limits) = limits else {
            if updates.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            continue;
        };
        let end = match random.next() % 4 {
            0 => End::Half,
            1 => End::Blocked,
            _ => End::Cut,
        };
        tokio::select! {
            () = tokio::time::sleep(limits.lifetime.mul_f64(random.share())) => return (end, limits.blocked),
            _ = updates.changed() => {}
        }
    }
}

/// The faults of one direction.
struct Direction {
    random: Random,
    updates: watch::Receiver<Option<FaultLimits>>,
    blocked: CancellationToken,
}

/// Forwards the data of one direction.
async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut direction: Direction) -> io::Result<()> {
    let mut packet = vec![0; 16 * 1024];
    loop {
        let length = tokio::select! {
            () = direction.blocked.cancelled() => std::future::pending().await,
            length = from.read(&mut packet) => length?,
        };
        if length == 0 {
            return to.shutdown().await;
        }
        let limits = *direction.updates.borrow();
        if let Some(limits) = limits {
            tokio::time::sleep(limits.delay.mul_f64(direction.random.share())).await;
        }
        to.write_all(&packet[..length]).await?;
    }
}

/// A pseudo-random sequence (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Returns a number between 0 and 1.
    #[expect(clippy::cast_precision_loss, reason = "a share need not be exact")]
    fn share(&mut self) -> f64 {
        (self.next() % 10_000) as f64 / 10_000.0
    }
}
