//! An in-memory chat network for tests, which stores every message that the engine sends.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    adapter::{
        Inbox, SendPermissions,
        chat::{Body, Chat, ChatFeatures, Outgoing, SendError},
    },
    model::Person,
};

/// An in-memory chat network for tests. The network stores every message that the engine sends.
///
/// ```
/// use wardroom::prelude::*;
///
/// let chat = MemoryChat::new(ChatFeatures::PLAIN);
/// assert!(chat.sent().is_empty());
/// ```
#[derive(Debug)]
pub struct MemoryChat {
    features: ChatFeatures,
    sent: Mutex<Vec<Outgoing>>,
    members: Mutex<HashMap<String, Vec<Person>>>,
    count: watch::Sender<usize>,
    permissions: SendPermissions,
}

impl MemoryChat {
    /// The name of the in-memory network, which is also the name of its configuration table.
    pub const NETWORK: &str = "memory";

    /// Creates a network with these optional features. The network has no messages, and its rooms have no members.
    pub fn new(features: ChatFeatures) -> Arc<Self> {
        let (sent, members, permissions) = (Mutex::default(), Mutex::default(), SendPermissions::default());
        Arc::new(Self { features, sent, members, count: watch::Sender::new(0), permissions })
    }

    /// Replaces the members of a room.
    pub fn set_members(&self, room: &str, members: Vec<Person>) {
        self.members.lock().insert(room.to_owned(), members);
    }

    /// Returns all sent messages, edits and reactions, in the order of sending.
    pub fn sent(&self) -> Vec<Outgoing> {
        self.sent.lock().clone()
    }

    /// Returns the plain texts of all sent messages and edits, in the order of sending.
    pub fn words(&self) -> Vec<String> {
        let words = |message: Outgoing| match message.body {
            Body::Say { text, .. } | Body::Edit { text, .. } => Some(text.plain()),
            Body::React { .. } => None,
        };
        self.sent().into_iter().filter_map(words).collect()
    }

    /// Waits until at least `count` messages, edits and reactions were sent.
    pub async fn until(&self, count: usize) {
        let mut seen = self.count.subscribe();
        // `wait_for` cannot fail, because the sender lives as long as `self`.
        let _ = seen.wait_for(|sent| *sent >= count).await;
    }
}

#[async_trait]
impl Chat for MemoryChat {
    fn network(&self) -> &'static str {
        Self::NETWORK
    }

    fn features(&self) -> ChatFeatures {
        self.features
    }

    /// Returns the rooms that the test has blocked.
    fn send_permissions(&self) -> Option<&SendPermissions> {
        Some(&self.permissions)
    }

    async fn serve(&self, _inbox: Arc<dyn Inbox>, stop: CancellationToken) -> anyhow::Result<()> {
        stop.cancelled().await;
        Ok(())
    }

    async fn send(&self, message: &Outgoing) -> Result<String, SendError> {
        if let Some(reason) = self.permissions.reason(&message.room) {
            return Err(SendError::Forbidden { reason });
        }
        let mut sent = self.sent.lock();
        let known = sent.iter().position(|known| known.key == message.key);
        let index = known.unwrap_or_else(|| {
            sent.push(message.clone());
            sent.len() - 1
        });
        self.count.send_replace(sent.len());
        Ok(format!("sent-{index}"))
    }

    async fn find(&self, room: &str, key: &str) -> Result<Option<String>, SendError> {
        let sent = self.sent.lock();
        Ok(sent.iter().position(|known| known.room == room && known.key == key).map(|index| format!("sent-{index}")))
    }

    /// Returns the name itself, because every name is the id of its room.
    async fn room(&self, name: &str) -> Result<Option<String>, SendError> {
        Ok(Some(name.to_owned()))
    }

    async fn members(&self, room: &str) -> Result<Vec<Person>, SendError> {
        Ok(self.members.lock().get(room).cloned().unwrap_or_default())
    }

    async fn probe(&self, _people: &[String], _rooms: &[String]) -> Result<Vec<String>, Vec<String>> {
        Ok(vec!["memory: ok".to_owned()])
    }
}
