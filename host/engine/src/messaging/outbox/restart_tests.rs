//! Tests of the messages that an earlier process may have sent.

use super::*;
use crate::{
    adapter::{ChatFeatures, MemoryChat},
    base::Text,
    store::{MemoryStore, OutboxRow},
};

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
    let accounts = vec![Account { bot: "marvin".into(), chat: chat.clone() }];
    let network = MemoryChat::NETWORK.to_owned();
    let outbox = Outbox::new(store, accounts, vec!["marvin".into()], network, Vec::new(), Activity::default());
    let outbox = Arc::new(outbox);
    tokio::spawn(outbox.clone().run());
    outbox.wake();
    // The closing message is the last one, and the rows of a room are sent in order.
    while !chat.words().contains(&"Deployed.".to_owned()) {
        chat.until(chat.sent().len() + 1).await;
    }
    chat.words()
}

#[tokio::test]
async fn a_card_that_an_earlier_process_sent_gets_the_text_that_it_has_now() {
    assert_eq!(after_restart(&["running", "succeeded"]).await, ["running", "succeeded", "Deployed."]);
    assert_eq!(after_restart(&["running"]).await, ["running", "Deployed."], "the text is already sent");
}
