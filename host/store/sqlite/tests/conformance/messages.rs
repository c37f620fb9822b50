//! Checks of the inbox, the outbox and the room cursors.

use wardroom::store::{InboxKey, InboxRow, OutboxKind, OutboxRow, RoomCursor, Store, Write};

use crate::{
    helpers::commit,
    rows::{at, card, cursor, key, message, pending, person, reaction, sent, set, words},
};

pub(crate) async fn a_message_is_received_once(store: &dyn Store) {
    let other_room = InboxKey { room: "!other".into(), ..key(1) };
    let mut other = message(1);
    other.key = other_room.clone();
    let new =
        commit(store, vec![Write::Receive(message(2)), Write::Receive(message(1)), Write::Receive(message(2))]).await;
    assert_eq!(new, [key(2), key(1)]);
    let mut changed = message(1);
    changed.text = "rollback cms".into();
    let new = commit(store, vec![Write::Receive(changed), Write::Receive(other.clone())]).await;
    assert_eq!(new, [other_room]);
    assert_eq!(store.unhandled().await.expect("rows"), [message(2), message(1), other]);
}

pub(crate) async fn a_named_message_is_received_once_whatever_its_key(store: &dyn Store) {
    let once = |name: &str, number: u32| Write::ReceiveOnce {
        key: name.into(),
        received: at(3),
        window: None,
        // The time of the message does not matter.
        row: InboxRow { at: at(-1_000_000_000), ..message(number) },
        announcements: vec![words(&format!("of {number}"), "announced")],
    };
    assert_eq!(commit(store, vec![once("a", 1), once("a", 2), once("b", 3)]).await, [key(1), key(3)]);
    assert_eq!(commit(store, vec![once("a", 4)]).await, []);
    let waiting: Vec<InboxKey> = store.unhandled().await.expect("rows").into_iter().map(|row| row.key).collect();
    assert_eq!(waiting, [key(1), key(3)]);
    let keys: Vec<String> = store.outbox().await.expect("rows").into_iter().map(|row| row.row.key).collect();
    assert_eq!(keys, ["of 1", "of 3"], "a duplicate is not announced");
    // The deduplication key is kept for a year, much longer than the message.
    commit(
        store,
        vec![Write::Handled(key(1)), Write::Handled(key(3)), sent("of 1", 1, Some("$1")), sent("of 3", 1, Some("$3"))],
    )
    .await;
    let later = |days: u64| at(3).checked_add(std::time::Duration::from_secs(24 * 60 * 60 * days)).expect("a time");
    store.remove(later(360), &[]).await.expect("a removal");
    assert_eq!(commit(store, vec![Write::Receive(message(1))]).await, [key(1)], "the message was removed");
    assert_eq!(commit(store, vec![once("a", 5)]).await, []);
    store.remove(later(370), &[]).await.expect("a removal");
    assert_eq!(commit(store, vec![once("a", 5)]).await, [key(5)]);
}

pub(crate) async fn a_key_counts_as_new_after_its_window(store: &dyn Store) {
    let minutes = |minutes: u64| at(3).checked_add(std::time::Duration::from_secs(60 * minutes)).expect("a time");
    let window = Some(std::time::Duration::from_secs(600));
    let once = |number: u32, received, window| Write::ReceiveOnce {
        key: "a".into(),
        received,
        window,
        row: message(number),
        announcements: vec![words(&format!("of {number}"), "announced")],
    };
    assert_eq!(commit(store, vec![once(1, minutes(0), window)]).await, [key(1)]);
    assert_eq!(commit(store, vec![once(2, minutes(9), window)]).await, []);
    // A known message does not move the window.
    assert_eq!(commit(store, vec![once(3, minutes(10), window)]).await, [key(3)]);
    // A new one does.
    assert_eq!(commit(store, vec![once(4, minutes(15), window)]).await, []);
    assert_eq!(commit(store, vec![once(5, minutes(500), None)]).await, []);
    let zero = Some(std::time::Duration::ZERO);
    assert_eq!(commit(store, vec![once(6, minutes(500), zero), once(7, minutes(500), window)]).await, [key(6)]);
    let keys: Vec<String> = store.outbox().await.expect("rows").into_iter().map(|row| row.row.key).collect();
    assert_eq!(keys, ["of 1", "of 3", "of 6"]);
}

pub(crate) async fn the_newest_key_is_found_by_its_prefix(store: &dyn Store) {
    let once = |key: &str, number: u32, seconds: i64, window| Write::ReceiveOnce {
        key: key.into(),
        received: at(seconds),
        window,
        row: message(number),
        announcements: Vec::new(),
    };
    let newest = async |prefix: &str| store.newest_deduplication_key(prefix).await.expect("a key");
    assert_eq!(newest("hook/a/").await, None);
    let keys = [("hook/a/x", 1, 5), ("hook/a/\u{e9}", 2, 3), ("hook/ab/y", 3, 9), ("hook/a", 4, 9), ("hook/A/z", 5, 9)];
    commit(store, keys.map(|(key, number, seconds)| once(key, number, seconds, None)).into()).await;
    assert_eq!(newest("hook/a/").await, Some(("hook/a/x".to_owned(), at(5))));
    assert_eq!(newest("hook/b/").await, None);
    // A key that is received again is the newest one.
    commit(store, vec![once("hook/a/\u{e9}", 6, 7, Some(std::time::Duration::ZERO))]).await;
    assert_eq!(newest("hook/a/").await, Some(("hook/a/\u{e9}".to_owned(), at(7))));
}

pub(crate) async fn a_message_waits_until_it_is_done(store: &dyn Store) {
    commit(store, (1..=3).map(|number| Write::Receive(message(number))).collect()).await;
    commit(store, vec![Write::Handled(key(2)), Write::Handled(key(2)), Write::Handled(key(99))]).await;
    assert_eq!(store.unhandled().await.expect("rows"), [message(1), message(3)]);
    let new = commit(store, vec![Write::Receive(message(2))]).await;
    assert_eq!(new, [], "a handled message is still deduplicated");
    assert_eq!(store.unhandled().await.expect("rows"), [message(1), message(3)]);
}

pub(crate) async fn a_mark_moves_forward_only(store: &dyn Store) {
    assert_eq!(store.cursor("marvin", "matrix", "!ops").await.expect("a mark"), None);
    commit(store, vec![Write::SetCursor(cursor(5, None))]).await;
    assert_eq!(store.cursor("marvin", "matrix", "!ops").await.expect("a mark"), Some(cursor(5, None)));
    commit(store, vec![Write::SetCursor(cursor(5, Some("$a")))]).await;
    commit(store, vec![Write::SetCursor(cursor(8, Some("$b")))]).await;
    commit(store, vec![Write::SetCursor(cursor(7, Some("$late")))]).await;
    let elsewhere = RoomCursor { room: "!other".into(), ..cursor(1, None) };
    commit(store, vec![Write::SetCursor(elsewhere.clone())]).await;
    assert_eq!(store.cursor("marvin", "matrix", "!ops").await.expect("a mark"), Some(cursor(8, Some("$b"))));
    assert_eq!(store.cursor("marvin", "matrix", "!other").await.expect("a mark"), Some(elsewhere));
    assert_eq!(store.cursor("marvin", "mattermost", "!ops").await.expect("a mark"), None);
}

pub(crate) async fn a_message_is_queued_once(store: &dyn Store) {
    commit(store, vec![Write::Send(words("b", "first")), Write::Send(words("a", "second"))]).await;
    commit(store, vec![Write::Send(words("b", "again")), Write::Send(card("b", "as a card", true))]).await;
    let rows = [pending(words("b", "first"), None, 1), pending(words("a", "second"), None, 1)];
    assert_eq!(store.outbox().await.expect("rows"), rows);
    commit(store, vec![sent("b", 1, Some("$b")), sent("nobody", 1, Some("$x"))]).await;
    commit(store, vec![Write::Send(words("b", "once more"))]).await;
    assert_eq!(store.outbox().await.expect("rows"), rows[1..]);
}

pub(crate) async fn a_reaction_is_queued_once(store: &dyn Store) {
    commit(store, vec![Write::Send(reaction("r", "👀")), Write::Send(reaction("r", "✅"))]).await;
    assert_eq!(store.outbox().await.expect("rows"), [pending(reaction("r", "👀"), None, 1)]);
    commit(store, vec![sent("r", 1, Some("$r"))]).await;
    commit(store, vec![Write::Send(reaction("r", "✅"))]).await;
    assert_eq!(store.outbox().await.expect("rows"), []);
}

pub(crate) async fn a_card_keeps_its_last_text(store: &dyn Store) {
    commit(store, vec![Write::Send(card("c", "queued", false)), Write::Send(words("m", "hello"))]).await;
    commit(store, vec![Write::Send(card("c", "running", false)), Write::Send(card("c", "done", true))]).await;
    let rows = [pending(card("c", "done", true), None, 3), pending(words("m", "hello"), None, 1)];
    assert_eq!(store.outbox().await.expect("rows"), rows, "a card keeps its place in the queue");
    commit(store, vec![Write::Send(words("c", "a message"))]).await;
    assert_eq!(store.outbox().await.expect("rows"), rows);
}

pub(crate) async fn a_card_keeps_its_first_event_and_its_room(store: &dyn Store) {
    commit(store, vec![Write::Send(card("c", "queued", false)), sent("c", 1, Some("$first"))]).await;
    assert_eq!(store.outbox().await.expect("rows"), []);
    let moved = OutboxRow { room: "!other".into(), thread: None, ..card("c", "running", false) };
    commit(store, vec![Write::Send(moved)]).await;
    assert_eq!(store.outbox().await.expect("rows"), [pending(card("c", "running", false), Some("$first"), 2)]);
    commit(store, vec![sent("c", 2, Some("$edit"))]).await;
    commit(store, vec![Write::Send(card("c", "done", true))]).await;
    assert_eq!(store.outbox().await.expect("rows"), [pending(card("c", "done", true), Some("$first"), 3)]);
}

pub(crate) async fn a_card_stays_unsent_until_its_last_text_is_sent(store: &dyn Store) {
    commit(store, vec![Write::Send(card("c", "queued", false)), Write::Send(card("c", "running", false))]).await;
    commit(store, vec![sent("c", 1, Some("$first"))]).await;
    let row = pending(card("c", "running", false), Some("$first"), 2);
    assert_eq!(store.outbox().await.expect("rows"), [row]);
    commit(store, vec![sent("c", 2, Some("$edit"))]).await;
    // A late confirmation changes nothing, and one for a future version counts for the present one.
    commit(store, vec![sent("c", 1, Some("$first")), sent("c", 77, Some("$wrong"))]).await;
    assert_eq!(store.outbox().await.expect("rows"), []);
    commit(store, vec![Write::Send(card("c", "done", true))]).await;
    assert_eq!(store.outbox().await.expect("rows"), [pending(card("c", "done", true), Some("$first"), 3)]);
}

pub(crate) async fn a_message_that_was_given_up_is_never_sent(store: &dyn Store) {
    commit(store, vec![Write::Send(card("c", "queued", false)), Write::Send(words("m", "hello"))]).await;
    commit(store, vec![sent("c", 1, None), sent("m", 1, None)]).await;
    assert_eq!(store.outbox().await.expect("rows"), []);
    commit(store, vec![Write::Send(card("c", "done", true)), sent("c", 1, Some("$late"))]).await;
    assert_eq!(store.outbox().await.expect("rows"), []);
}

pub(crate) async fn a_closing_message_is_sent_even_if_its_card_was_given_up(store: &dyn Store) {
    let closing = |key: &str| OutboxRow { purpose: OutboxKind::Closing, ..card(key, "Deployed.", true) };
    commit(store, vec![Write::Send(card("c", "running", false)), Write::Send(card("d", "running", false))]).await;
    commit(store, vec![sent("c", 1, None), Write::Send(closing("c"))]).await;
    // The refusal of the card can be stored after the closing message.
    commit(store, vec![Write::Send(closing("d")), sent("d", 1, None)]).await;
    let rows = store.outbox().await.expect("rows");
    assert_eq!(rows, [pending(closing("c"), None, 2), pending(closing("d"), None, 2)]);
    commit(store, vec![sent("c", 2, None), sent("d", 2, Some("$d"))]).await;
    assert_eq!(store.outbox().await.expect("rows"), []);
}

pub(crate) async fn a_sent_message_is_found_by_its_event(store: &dyn Store) {
    commit(store, vec![Write::Send(card("7f/card", "one", true)), sent("7f/card", 1, Some("$card"))]).await;
    let network = card("7f/card", "one", true).network;
    assert_eq!(store.key_of_event(&network, "$card").await.expect("a key").as_deref(), Some("7f/card"));
    assert_eq!(store.key_of_event("other", "$card").await.expect("a key"), None);
    assert_eq!(store.key_of_event(&network, "$other").await.expect("a key"), None);
}

pub(crate) async fn hostile_text_and_extreme_times_are_stored_unchanged(store: &dyn Store) {
    let hostile = "'; drop table inbox; --\u{0}\u{202e}\"\\ é 👀";
    let mut received = message(1);
    received.text = hostile.into();
    received.sender = person(hostile);
    received.key.event = hostile.into();
    // A network may send any time.
    received.at = wardroom::Timestamp::MAX;
    let mut message = words(hostile, "a line");
    message.text.push_code("some\ncode");
    let early = RoomCursor { at: wardroom::Timestamp::MIN, event: Some(hostile.into()), ..cursor(0, None) };
    let writes = vec![
        Write::Receive(received.clone()),
        Write::Send(message.clone()),
        Write::SetCursor(early.clone()),
        set(hostile, hostile, hostile.as_bytes()),
    ];
    commit(store, writes).await;
    assert_eq!(store.unhandled().await.expect("rows"), [received]);
    assert_eq!(store.outbox().await.expect("rows"), [pending(message, None, 1)]);
    assert_eq!(store.cursor("marvin", "matrix", "!ops").await.expect("a mark"), Some(early));
    assert_eq!(store.value(hostile, hostile).await.expect("a value"), Some(hostile.as_bytes().to_vec()));
    commit(store, vec![Write::SetCursor(RoomCursor { at: at(0), ..cursor(0, None) })]).await;
    assert_eq!(store.cursor("marvin", "matrix", "!ops").await.expect("a mark"), Some(cursor(0, None)));
}
