//! Tests of messages that wait for a permission.

use std::time::Instant;

use super::*;
use crate::{
    adapter::{Body, Chat, ChatFeatures, MemoryChat, Outgoing, SendPermissions},
    base::{Activity, Text},
    messaging::Account,
    store::{MemoryStore, OutboxKind, Store as _, Write},
};

struct Scene {
    store: Arc<MemoryStore>,
    chat: Arc<MemoryChat>,
    outbox: Arc<Outbox>,
    activity: Activity,
}

fn message(key: &str, room: &str) -> OutboxRow {
    OutboxRow {
        key: key.into(),
        bot: "marvin".into(),
        network: MemoryChat::NETWORK.into(),
        room: room.into(),
        thread: None,
        purpose: OutboxKind::Message,
        text: Text::lines(key),
    }
}

impl Scene {
    fn new() -> Self {
        let (store, chat) = (Arc::new(MemoryStore::new()), MemoryChat::new(ChatFeatures::PLAIN));
        let accounts = vec![Account::of("marvin", chat.clone())];
        let (bots, network, activity) = (vec!["marvin".into()], MemoryChat::NETWORK.to_owned(), Activity::default());
        let outbox = Outbox::new(store.clone(), accounts, bots, network, Vec::new(), activity.clone());
        Self { store, chat, outbox: Arc::new(outbox), activity }
    }

    fn permissions(&self) -> &SendPermissions {
        self.chat.send_permissions().expect("the network has permissions")
    }

    async fn store(&self, rows: &[(&str, &str)]) {
        let writes = rows.iter().map(|(key, room)| Write::Send(message(key, room))).collect();
        self.store.commit(writes).await.expect("stored");
    }

    fn start(&self) {
        tokio::spawn(self.outbox.clone().run());
        self.outbox.wake();
    }

    async fn unsent(&self) -> usize {
        self.store.outbox().await.expect("readable").len()
    }
}

#[tokio::test]
async fn messages_wait_for_the_permission_and_are_sent_once_in_order() {
    let scene = Scene::new();
    scene.permissions().block("ops", "read-only");
    scene.store(&[("first", "ops"), ("second", "ops"), ("other", "dev")]).await;
    scene.start();
    // Another room does not wait, and the host is idle meanwhile.
    scene.chat.until(1).await;
    scene.activity.until_idle().await;
    scene.store(&[("third", "ops")]).await;
    scene.outbox.wake();
    scene.activity.until_idle().await;
    assert_eq!((scene.chat.words(), scene.unsent().await), (vec!["other".to_owned()], 3));
    let before = Instant::now();
    scene.permissions().allow("ops");
    scene.chat.until(4).await;
    scene.activity.until_idle().await;
    assert!(before.elapsed() < FIRST_WAIT / 2, "the messages do not wait for the delay");
    assert_eq!(scene.chat.words(), ["other", "first", "second", "third"]);
    assert_eq!(scene.unsent().await, 0);
}

#[tokio::test]
async fn a_message_that_an_earlier_process_sent_is_searched_after_the_wait() {
    let scene = Scene::new();
    // The earlier process sent the message, and ended before it marked the row as sent.
    let body = Body::Say { text: Text::lines("first"), thread: None };
    scene.chat.send(&Outgoing { key: "first".into(), room: "ops".into(), body }).await.expect("sent");
    scene.store(&[("first", "ops"), ("second", "ops")]).await;
    scene.permissions().block("ops", "read-only");
    scene.start();
    scene.activity.until_idle().await;
    scene.permissions().allow("ops");
    scene.chat.until(2).await;
    scene.activity.until_idle().await;
    assert_eq!(scene.chat.words(), ["first", "second"]);
    assert_eq!(scene.unsent().await, 0);
}

/// A network that rejects the first messages, because a permission is missing.
struct StrictNetwork {
    chat: Arc<MemoryChat>,
    attempts: Mutex<Vec<Instant>>,
    allowed_from: usize,
    /// The permissions that the network reports. A rejected room is allowed before the rejection arrives.
    permissions: Option<SendPermissions>,
}

impl StrictNetwork {
    fn new(chat: Arc<MemoryChat>, allowed_from: usize, permissions: Option<SendPermissions>) -> Arc<Self> {
        Arc::new(Self { chat, attempts: Mutex::default(), allowed_from, permissions })
    }
}

#[async_trait::async_trait]
impl Chat for StrictNetwork {
    fn network(&self) -> &'static str {
        MemoryChat::NETWORK
    }

    async fn serve(
        &self,
        _: Arc<dyn crate::adapter::Inbox>,
        _: tokio_util::sync::CancellationToken,
    ) -> anyhow::Result<()> {
        Ok(())
    }

    async fn send(&self, message: &Outgoing) -> Result<String, crate::adapter::SendError> {
        let number = {
            let mut attempts = self.attempts.lock();
            attempts.push(Instant::now());
            attempts.len()
        };
        if number < self.allowed_from {
            if let Some(permissions) = &self.permissions {
                permissions.block(&message.room, "403");
                permissions.allow(&message.room);
            }
            return Err(crate::adapter::SendError::Forbidden { reason: "403".into() });
        }
        self.chat.send(message).await
    }

    fn send_permissions(&self) -> Option<&SendPermissions> {
        self.permissions.as_ref()
    }
}

/// Returns an outbox that sends the messages `first` and `second` to a network.
async fn outbox_of(chat: Arc<StrictNetwork>, activity: Activity, delays: (Duration, Duration)) -> Arc<Outbox> {
    let store = Arc::new(MemoryStore::new());
    let accounts = vec![Account::of("marvin", chat)];
    let network = MemoryChat::NETWORK.to_owned();
    let mut outbox = Outbox::new(store.clone(), accounts, vec!["marvin".into()], network, Vec::new(), activity);
    outbox.blocked.delays = delays;
    let writes = vec![Write::Send(message("first", "ops")), Write::Send(message("second", "ops"))];
    store.commit(writes).await.expect("stored");
    Arc::new(outbox)
}

#[tokio::test]
async fn a_permission_that_returns_before_the_rejection_arrives_ends_the_wait() {
    let memory = MemoryChat::new(ChatFeatures::PLAIN);
    let chat = StrictNetwork::new(memory.clone(), 2, Some(SendPermissions::default()));
    let outbox = outbox_of(chat, Activity::default(), (FIRST_WAIT, MAX_WAIT)).await;
    let before = Instant::now();
    tokio::spawn(outbox.clone().run());
    outbox.wake();
    memory.until(2).await;
    assert_eq!(memory.words(), ["first", "second"]);
    assert!(before.elapsed() < FIRST_WAIT / 2, "the messages do not wait for the delay");
}

#[tokio::test]
async fn a_network_that_reports_no_permission_is_tried_again_after_growing_delays() {
    let (memory, activity) = (MemoryChat::new(ChatFeatures::PLAIN), Activity::default());
    let chat = StrictNetwork::new(memory.clone(), 5, None);
    let delays = (Duration::from_millis(10), Duration::from_millis(80));
    let outbox = outbox_of(chat.clone(), activity.clone(), delays).await;
    tokio::spawn(outbox.clone().run());
    outbox.wake();
    memory.until(2).await;
    assert_eq!(memory.words(), ["first", "second"]);
    // Four refusals, and then one attempt for each message.
    let attempts = chat.attempts.lock().clone();
    assert_eq!(attempts.len(), 6);
    let waits: Vec<Duration> = attempts.windows(2).take(4).map(|pair| pair[1] - pair[0]).collect();
    // The delays have a jitter of a quarter.
    assert!(waits.iter().zip([7, 15, 30, 60]).all(|(wait, least)| wait.as_millis() >= least), "{waits:?}");
    activity.until_idle().await;
}
