//! An in-memory chat network for tests: it stores what is sent.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    adapter::{
        Inbox,
        chat::{Body, Chat, ChatFeatures, Outgoing, SendError},
    },
    model::Person,
};

/// An in-memory chat network.
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
}

impl MemoryChat {
    /// The network's name.
    pub const NETWORK: &str = "memory";

    /// Creates a network with these features.
    pub fn new(features: ChatFeatures) -> Arc<Self> {
        Arc::new(Self { features, sent: Mutex::default(), members: Mutex::default(), count: watch::Sender::new(0) })
    }

    /// Sets the members of a room.
    pub fn set_members(&self, room: &str, members: Vec<Person>) {
        self.members.lock().unwrap_or_else(PoisonError::into_inner).insert(room.to_owned(), members);
    }

    /// All messages, in the order of sending.
    pub fn sent(&self) -> Vec<Outgoing> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The texts of all messages, in the order of sending.
    pub fn words(&self) -> Vec<String> {
        let words = |message: Outgoing| match message.body {
            Body::Say { text, .. } | Body::Edit { text, .. } => Some(text.plain()),
            Body::React { .. } => None,
        };
        self.sent().into_iter().filter_map(words).collect()
    }

    /// Waits until at least `count` messages were sent.
    pub async fn until(&self, count: usize) {
        let mut seen = self.count.subscribe();
        // Cannot fail: the sender lives as long as `self`.
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

    async fn serve(&self, _inbox: Arc<dyn Inbox>, stop: CancellationToken) -> anyhow::Result<()> {
        stop.cancelled().await;
        Ok(())
    }

    async fn send(&self, message: &Outgoing) -> Result<String, SendError> {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let event = match sent.iter().position(|known| known.key == message.key) {
            Some(index) => index,
            None => {
                sent.push(message.clone());
                sent.len() - 1
            }
        };
        self.count.send_replace(sent.len());
        Ok(format!("sent-{event}"))
    }

    async fn find(&self, room: &str, key: &str) -> Result<Option<String>, SendError> {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(sent.iter().position(|known| known.room == room && known.key == key).map(|index| format!("sent-{index}")))
    }

    /// Every name is its own room id.
    async fn room(&self, name: &str) -> Result<Option<String>, SendError> {
        Ok(Some(name.to_owned()))
    }

    async fn members(&self, room: &str) -> Result<Vec<Person>, SendError> {
        let members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(members.get(room).cloned().unwrap_or_default())
    }

    async fn probe(&self, _people: &[String]) -> Result<Vec<String>, Vec<String>> {
        Ok(vec!["memory: ok".to_owned()])
    }
}
