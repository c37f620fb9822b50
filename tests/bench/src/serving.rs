//! An engine in the process of the bench that serves an in-memory chat.
//!
//! Invariant: each figure checks the engine's work in its store; it checks messages only if its description mentions
//! them.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::{Result, bail};
use tokio::task::JoinHandle;
use wardroom::{
    CancellationToken, Timestamp,
    adapter::{Incoming, MemoryChat},
    engine::{Engine, RunError},
    model::Person,
    store::Store,
};

use crate::scene::{self, PERSON};

pub(crate) const ROOM: &str = "console";

/// A serving engine.
pub(crate) struct Serving {
    engine: Arc<Engine>,
    stop: CancellationToken,
    running: JoinHandle<Result<(), RunError>>,
    typed: AtomicUsize,
}

impl Serving {
    /// Starts an engine. `folder` holds the configuration and the compiled code.
    pub(crate) async fn start(folder: &Path, text: &str, store: Arc<dyn Store>) -> Result<Self> {
        let config = scene::read_text(folder, text)?;
        let engine = scene::builder().cache(folder.join("code")).build(config, store).await?;
        if let Some((plugin, error)) = engine.not_loaded().first() {
            bail!("plugin {plugin} is not loaded: {error}");
        }
        let (engine, stop) = (Arc::new(engine), CancellationToken::new());
        let running = tokio::spawn({
            let (engine, stop) = (engine.clone(), stop.clone());
            async move { engine.run(stop).await }
        });
        Ok(Self { engine, stop, running, typed: AtomicUsize::new(0) })
    }

    fn inbox(&self) -> std::sync::Arc<dyn wardroom::adapter::Inbox> {
        let inbox = self.engine.inbox("bench", MemoryChat::NETWORK);
        inbox.expect("every configuration of the bench has this account")
    }

    /// Delivers lines, all at the same time.
    pub(crate) async fn types(&self, lines: impl IntoIterator<Item = String>) -> Result<()> {
        let message = |text: String| {
            let event = format!("event-{}", self.typed.fetch_add(1, Ordering::Relaxed));
            let mut message = Incoming::new(event, Person::named_by_id(PERSON), text, Timestamp::now());
            message.direct = true;
            message
        };
        let messages = lines.into_iter().map(message).collect();
        self.inbox().receive(ROOM, messages, None).await?;
        Ok(())
    }

    /// Waits until each job is finished or parked and the outbox is empty.
    pub(crate) async fn until_idle(&self) {
        self.inbox().until_idle().await;
    }

    /// Stops the engine.
    pub(crate) async fn end(self) -> Result<()> {
        self.stop.cancel();
        Ok(self.running.await??)
    }
}
