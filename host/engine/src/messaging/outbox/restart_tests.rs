//! Tests of the messages that an earlier process may have sent.

use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    adapter::{ChatFeatures, Inbox, MemoryChat, SendError},
    base::Text,
    store::{MemoryStore, OutboxRow},
};

/// Returns the outbox of a bot with one account.
fn outbox(store: Arc<MemoryStore>, chat: Arc<dyn Chat>) -> (Arc<Outbox>, Activity) {
    let accounts = vec![Account::of("marvin", chat)];
    let (network, activity) = (MemoryChat::NETWORK.to_owned(), Activity::default());
    let outbox = Outbox::new(store, accounts, vec!["marvin".into()], network, Vec::new(), activity.clone());
    (Arc::new(outbox), activity)
}

fn card(text: &str, rest: bool) -> OutboxRow {
    OutboxRow {
        key: "7f3ak/card".into(),
        bot: "marvin".into(),
        network: MemoryChat::NETWORK.into(),
        room: "!ops".into(),
        thread: None,
        purpose: OutboxKind::Card { rest },
        text: Text::lines(text),
    }
}

/// Stores the texts of a card as an earlier process did. That process sent the first text, and ended before it marked
/// the text as sent. Returns the messages on the network after a new process has sent its first message.
async fn after_restart(texts: &[&str]) -> Vec<String> {
    let edits = ChatFeatures { edits: true, ..ChatFeatures::PLAIN };
    let (store, chat) = (Arc::new(MemoryStore::new()), MemoryChat::new(edits));
    let body = Body::Say { text: Text::lines(texts[0]), thread: None };
    chat.send(&Outgoing { key: "7f3ak/card".into(), room: "!ops".into(), body }).await.unwrap();
    for text in texts {
        store.commit(vec![Write::Send(card(text, false))]).await.unwrap();
    }
    let closing = OutboxRow { key: "7f3ak/closing".into(), purpose: OutboxKind::Message, ..card("Deployed.", true) };
    store.commit(vec![Write::Send(closing)]).await.unwrap();
    let (outbox, activity) = outbox(store, chat.clone());
    tokio::spawn(outbox.clone().run());
    outbox.wake();
    activity.until_idle().await;
    chat.words()
}

#[tokio::test]
async fn a_card_that_an_earlier_process_sent_gets_the_text_that_it_has_now() {
    assert_eq!(after_restart(&["running", "succeeded"]).await, ["running", "Deployed.", "succeeded"]);
    assert_eq!(after_restart(&["running"]).await, ["running", "Deployed."], "the text is already sent");
}

/// A network on which every search waits until the test permits it.
struct SlowSearch {
    network: Arc<MemoryChat>,
    permits: tokio::sync::Semaphore,
}

#[async_trait::async_trait]
impl Chat for SlowSearch {
    fn network(&self) -> &'static str {
        MemoryChat::NETWORK
    }

    fn features(&self) -> ChatFeatures {
        self.network.features()
    }

    async fn serve(&self, _: Arc<dyn Inbox>, _: CancellationToken) -> anyhow::Result<()> {
        Ok(())
    }

    async fn send(&self, message: &Outgoing) -> Result<String, SendError> {
        self.network.send(message).await
    }

    async fn find(&self, room: &str, key: &str) -> Result<Option<String>, SendError> {
        self.permits.acquire().await.unwrap().forget();
        self.network.find(room, key).await
    }
}

#[tokio::test]
async fn a_card_that_changes_before_it_is_searched_is_searched_and_gets_its_newest_text() {
    let edits = ChatFeatures { edits: true, ..ChatFeatures::PLAIN };
    let (store, network) = (Arc::new(MemoryStore::new()), MemoryChat::new(edits));
    // 1. An earlier process sent the first text of the card, and did not mark it as sent. Another row is before it.
    let body = Body::Say { text: Text::lines("running"), thread: None };
    network.send(&Outgoing { key: "7f3ak/card".into(), room: "!ops".into(), body }).await.unwrap();
    let answer = OutboxRow { key: "answer".into(), purpose: OutboxKind::Message, ..card("Yes.", true) };
    store.commit(vec![Write::Send(answer), Write::Send(card("running", false))]).await.unwrap();
    let chat = Arc::new(SlowSearch { network: network.clone(), permits: tokio::sync::Semaphore::new(0) });
    let (outbox, _) = outbox(store.clone(), chat.clone());
    tokio::spawn(outbox.clone().run());
    outbox.wake();
    let settle = async || {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    };
    settle().await;
    // 2. The card changes while the outbox still searches for the row before it.
    store.commit(vec![Write::Send(card("succeeded", true))]).await.unwrap();
    outbox.wake();
    settle().await;
    chat.permits.add_permits(2);
    network.until(3).await;
    assert_eq!(network.words(), ["running", "Yes.", "succeeded"]);
}

/// Sends rows of the outbox that no process has sent before. Returns the texts on the network.
async fn sent(features: ChatFeatures, rows: Vec<OutboxRow>) -> Vec<String> {
    let (store, chat) = (Arc::new(MemoryStore::new()), MemoryChat::new(features));
    store.commit(rows.into_iter().map(Write::Send).collect()).await.unwrap();
    let (outbox, activity) = outbox(store.clone(), chat.clone());
    tokio::spawn(outbox.clone().run());
    outbox.wake();
    activity.until_idle().await;
    assert_eq!(store.outbox().await.unwrap(), [], "no row waits any more");
    chat.words()
}

#[tokio::test]
async fn a_card_is_not_sent_after_the_closing_message_of_its_job() {
    let message =
        |key: &str, text: &str| OutboxRow { key: key.into(), purpose: OutboxKind::Message, ..card(text, true) };
    let ended = || vec![card("failed", true), message("7f3ak/closing", "Not deployed."), message("x", "Approve?")];
    let edits = ChatFeatures { edits: true, ..ChatFeatures::PLAIN };
    assert_eq!(sent(edits, ended()).await, ["Not deployed.", "Approve?"]);
    assert_eq!(sent(ChatFeatures::PLAIN, ended()).await, ["failed", "Not deployed.", "Approve?"]);
}

#[tokio::test]
async fn a_closing_message_takes_the_place_of_a_card_that_was_not_sent() {
    let edits = ChatFeatures { edits: true, ..ChatFeatures::PLAIN };
    let closing = OutboxRow { purpose: OutboxKind::Closing, ..card("Deployed.", true) };
    assert_eq!(sent(edits, vec![card("running", false), closing]).await, ["Deployed."]);
}
