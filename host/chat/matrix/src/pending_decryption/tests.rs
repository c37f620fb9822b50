//! Tests of the stored events, and of the requests to their senders.

use std::path::Path;

use matrix_sdk::ruma::{event_id, room_id, serde::Raw};
use serde_json::json;
use tempfile::TempDir;
use wardroom::model::Person;

use super::{
    resend_request::{MAX_PER_ROOM, ResendRequest},
    retention::{MAX_ROOM_BYTES, MAX_ROOM_EVENTS},
    *,
};

fn load(folder: &Path) -> PendingDecryption {
    let file = folder.join("undecrypted.json");
    let events = folder::read_json(&file).expect("readable").unwrap_or_default();
    PendingDecryption { file, events, is_changed: false, requests: HashMap::new() }
}

/// Adds events of the room `!r:x`, and writes them to the file.
fn add(pending: &mut PendingDecryption, events: Vec<(RawEvent, DecryptionFailure)>) {
    pending.add(room_id!("!r:x"), events);
    pending.store().expect("written");
}

/// Returns the requests that are due after the grace period, and writes the change to the file.
fn ask(pending: &mut PendingDecryption) -> Vec<ResendRequest> {
    let requests = pending.take_due_requests(later());
    pending.store().expect("written");
    requests
}

fn encrypted_event(id: &str, session: &str, age: i64) -> (RawEvent, DecryptionFailure) {
    let json = json!({
        "type": "m.room.encrypted", "event_id": id, "sender": "@bob:x",
        "origin_server_ts": Timestamp::now().as_millisecond() - age * 1000,
        "content": { "algorithm": "m.megolm.v1.aes-sha2", "session_id": session },
    });
    (Raw::from_json_string(json.to_string()).expect("an object is JSON"), DecryptionFailure::KeyMissing)
}

fn message(event: &str, text: &str) -> Incoming {
    message_at(event, text, Timestamp::now())
}

fn message_at(event: &str, text: &str, at: Timestamp) -> Incoming {
    Incoming::new(event, Person::named_by_id("@bob:x"), text, at)
}

fn later() -> Instant {
    Instant::now() + GRACE_PERIOD + Duration::from_secs(1)
}

#[test]
fn an_event_survives_a_restart_and_is_kept_once() {
    let folder = TempDir::new().expect("a folder");
    let mut pending = load(folder.path());
    for _ in 0..2 {
        add(&mut pending, vec![encrypted_event("$a:x", "S", 0)]);
    }
    let pending = load(folder.path());
    assert_eq!(pending.waiting_for(None).len(), 1);
    assert_eq!(pending.waiting_for(Some(&HashSet::from(["S".to_owned()]))).len(), 1);
    assert!(pending.waiting_for(Some(&HashSet::from(["T".to_owned()]))).is_empty());
}

#[test]
fn a_sender_is_asked_after_the_grace_period_and_at_most_twice_about_one_key() {
    let folder = TempDir::new().expect("a folder");
    let mut pending = load(folder.path());
    add(&mut pending, vec![encrypted_event("$a:x", "S", 0)]);
    assert!(pending.take_due_requests(Instant::now()).is_empty(), "its key may still arrive");
    let requests = ask(&mut pending);
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].thread, event_id!("$a:x"));
    assert!(ask(&mut pending).is_empty(), "asked once about one event");
    let more = vec![encrypted_event("$b:x", "S", 0), encrypted_event("$c:x", "S", 0), encrypted_event("$d:x", "T", 0)];
    add(&mut pending, more);
    let asked: Vec<_> = ask(&mut pending).into_iter().map(|request| request.event).collect();
    assert_eq!(asked, [event_id!("$b:x"), event_id!("$d:x")], "the third event of one key is not asked about");
    let due_in = pending.time_until_due(later(), Timestamp::now());
    assert!(due_in.is_some_and(|due| due > GRACE_PERIOD), "no busy loop: {due_in:?}");
}

#[test]
fn a_request_that_failed_is_repeated() {
    let folder = TempDir::new().expect("a folder");
    let mut pending = load(folder.path());
    add(&mut pending, vec![encrypted_event("$a:x", "S", 0)]);
    assert_eq!(pending.take_due_requests(later()).len(), 1);
    pending.retry_request(&event_id!("$a:x").to_owned());
    assert_eq!(ask(&mut pending).len(), 1);
    assert!(ask(&mut load(folder.path())).is_empty(), "not after a restart either");
}

#[test]
fn an_event_that_is_too_old_is_not_kept() {
    let folder = TempDir::new().expect("a folder");
    let mut pending = load(folder.path());
    add(&mut pending, vec![encrypted_event("$old:x", "S", MAX_AGE + 60)]);
    assert!(pending.waiting_for(None).is_empty());
}

#[test]
fn an_event_expires_although_its_sender_was_asked() {
    let folder = TempDir::new().expect("a folder");
    let mut pending = load(folder.path());
    add(&mut pending, vec![encrypted_event("$a:x", "S", MAX_AGE - 60), encrypted_event("$b:x", "T", 0)]);
    assert_eq!(ask(&mut pending).len(), 2);
    let now = Timestamp::now();
    let due_in = pending.time_until_due(Instant::now(), now).expect("an expiry");
    assert!((50..=61).contains(&due_in.as_secs()), "{due_in:?}");
    // Simulate the end of the day.
    pending.events[0].at = Timestamp::from_second(now.as_second() - MAX_AGE - 1).expect("a time");
    assert_eq!(pending.time_until_due(Instant::now(), now), Some(Duration::ZERO));
    assert!(ask(&mut pending).is_empty());
    let left = |pending: &PendingDecryption| pending.waiting_for(None).len();
    assert_eq!((left(&pending), left(&load(folder.path()))), (1, 1));
    assert!(pending.time_until_due(Instant::now(), now) > Some(Duration::from_secs(3600)), "no busy loop");
    // The delivery of other events removes it, too.
    pending.events[0].at = Timestamp::from_second(now.as_second() - MAX_AGE - 1).expect("a time");
    pending.remove_outdated();
    assert_eq!((left(&pending), pending.time_until_due(Instant::now(), now)), (0, None));
}

#[test]
fn a_repeated_message_is_recognized_by_its_text() {
    let folder = TempDir::new().expect("a folder");
    let mut pending = load(folder.path());
    let (room, first) = (room_id!("!r:x"), event_id!("$a:x").to_owned());
    add(&mut pending, vec![encrypted_event("$a:x", "S", 60)]);
    let earlier = Timestamp::from_second(Timestamp::now().as_second() - 120).expect("a time");
    pending.record_messages(room, &[message_at("$x:x", "!where cms", earlier)]);
    assert!(!pending.was_sent_again(&first, "!where cms"), "sent before the event");
    let mut in_thread = message("$t:x", "!deploy cms");
    in_thread.thread = Some("$root:x".into());
    pending.record_messages(room, &[in_thread]);
    assert!(!pending.was_sent_again(&first, "!deploy cms"), "sent in another thread");
    pending.record_messages(room_id!("!other:x"), &[message("$y:x", "!deploy cms")]);
    assert!(!pending.was_sent_again(&first, "!deploy cms"), "sent in another room");
    pending.record_messages(room, &[message("$z:x", "!deploy cms")]);
    assert!(pending.was_sent_again(&first, "!deploy cms"), "sent again before the sender was asked");
    // After the request, only the text is compared: the answer to the request is in a thread.
    assert_eq!(ask(&mut pending).len(), 1);
    let mut answer = message_at("$w:x", "!coffee", earlier);
    answer.thread = Some("$a:x".into());
    pending.record_messages(room, &[answer]);
    pending.store().expect("written");
    let pending = load(folder.path());
    assert!(pending.was_sent_again(&first, "!deploy cms ") && pending.was_sent_again(&first, "!coffee"));
    assert!(!pending.was_sent_again(&first, "!where cms"));
}

#[test]
fn an_event_whose_sender_has_sent_many_other_texts_is_dropped() {
    let folder = TempDir::new().expect("a folder");
    let mut pending = load(folder.path());
    add(&mut pending, vec![encrypted_event("$a:x", "S", 0), encrypted_event("$b:x", "S", 0)]);
    pending.events[1].sender = "@carol:x".try_into().expect("an id");
    let say = |pending: &mut PendingDecryption, number: usize| {
        pending.record_messages(room_id!("!r:x"), &[message(&format!("$m{number}:x"), &format!("!where {number}"))]);
    };
    (0..MAX_LATER_TEXTS).for_each(|number| say(&mut pending, number));
    pending.remove_outdated();
    assert_eq!(pending.waiting_for(None).len(), 2);
    assert_eq!(pending.events[0].later_texts.len(), MAX_LATER_TEXTS);
    say(&mut pending, MAX_LATER_TEXTS);
    assert!(pending.was_sent_again(&event_id!("$a:x").to_owned(), "!deploy cms"), "its text is not recorded");
    pending.remove_outdated();
    let left: Vec<_> = pending.waiting_for(None).into_iter().map(|event| event.event).collect();
    assert_eq!(left, [event_id!("$b:x")]);
}

#[test]
fn a_failed_write_is_repeated_until_the_event_is_on_disk() {
    let folder = TempDir::new().expect("a folder");
    let mut pending = load(folder.path());
    // A folder in the place of the file.
    std::fs::create_dir(folder.path().join("undecrypted.json")).expect("created");
    pending.add(room_id!("!r:x"), vec![encrypted_event("$a:x", "S", 0)]);
    for _ in 0..2 {
        // The adapter delivers the same event again.
        pending.add(room_id!("!r:x"), vec![encrypted_event("$a:x", "S", 0)]);
        pending.store().expect_err("not written");
    }
    std::fs::remove_dir(folder.path().join("undecrypted.json")).expect("removed");
    pending.store().expect("written");
    assert_eq!(load(folder.path()).waiting_for(None).len(), 1);
}

#[test]
fn the_file_is_written_only_after_a_change() {
    let folder = TempDir::new().expect("a folder");
    let mut pending = load(folder.path());
    add(&mut pending, vec![encrypted_event("$a:x", "S", 0)]);
    pending.record_messages(room_id!("!r:x"), &[message("$b:x", "!deploy cms")]);
    pending.store().expect("written");
    let file = folder.path().join("undecrypted.json");
    std::fs::remove_file(&file).expect("removed");
    pending.record_messages(room_id!("!r:x"), &[message("$c:x", "!deploy cms")]);
    pending.store().expect("nothing to write");
    assert!(!file.exists());
}

#[test]
fn a_withdrawn_event_is_not_kept() {
    let folder = TempDir::new().expect("a folder");
    let mut pending = load(folder.path());
    add(&mut pending, vec![encrypted_event("$a:x", "S", 0), encrypted_event("$b:x", "S", 0)]);
    let mut withdrawal = message("$redaction:x", "");
    withdrawal.reaction = Some(Reaction::Withdrawn { given: "$a:x".into() });
    pending.remove_withdrawn(room_id!("!other:x"), std::slice::from_ref(&withdrawal));
    assert_eq!(pending.waiting_for(None).len(), 2, "an event of another room cannot be withdrawn");
    pending.remove_withdrawn(room_id!("!r:x"), &[withdrawal, message("$c:x", "hello")]);
    pending.store().expect("written");
    let left: Vec<_> = load(folder.path()).waiting_for(None).into_iter().map(|event| event.event).collect();
    assert_eq!(left, [event_id!("$b:x")]);
}

#[test]
fn a_flooded_room_displaces_no_event_of_another() {
    let folder = TempDir::new().expect("a folder");
    let mut pending = load(folder.path());
    pending.add(room_id!("!quiet:x"), vec![encrypted_event("$quiet:x", "Q", 0)]);
    let flood =
        (0..MAX_ROOM_EVENTS + 5).map(|number| encrypted_event(&format!("$f{number}:x"), &format!("F{number}"), 0));
    pending.add(room_id!("!loud:x"), flood.collect());
    pending.store().expect("written");
    let left = load(folder.path()).waiting_for(None);
    assert_eq!(left.len(), MAX_ROOM_EVENTS + 1);
    assert!(left.iter().any(|event| event.event == event_id!("$quiet:x")));
    assert!(!left.iter().any(|event| event.event == event_id!("$f4:x")), "the oldest was dropped");
    // Large events are limited, too.
    for number in 0..80 {
        let (raw, failure) = encrypted_event(&format!("$l{number}:x"), &"L".repeat(60_000), 0);
        pending.add(room_id!("!large:x"), vec![(raw, failure)]);
    }
    assert!(pending.waiting_for(None).iter().any(|event| event.event == event_id!("$quiet:x")));
    let large = pending.waiting_for(None).iter().filter(|event| event.room == room_id!("!large:x")).count();
    assert_eq!(large, MAX_ROOM_BYTES / encrypted_event("$l10:x", &"L".repeat(60_000), 0).0.json().get().len());
}

#[test]
fn the_largest_room_gives_way_if_the_account_has_too_many_events() {
    let folder = TempDir::new().expect("a folder");
    let mut pending = load(folder.path());
    for room in 0..6 {
        // Room 0 has the largest events.
        let session = if room == 0 { "L".repeat(2_000) } else { "S".to_owned() };
        let events = (0..200).map(|number| encrypted_event(&format!("$e{room}.{number}:x"), &session, 0));
        pending.add(&RoomId::parse(format!("!r{room}:x")).expect("an id"), events.collect());
    }
    let left = pending.waiting_for(None);
    let of_room = |room: &str| left.iter().filter(|event| event.room == room).count();
    assert_eq!(left.len(), 1_000);
    assert!(of_room("!r0:x") < 30 && of_room("!r5:x") > 180, "{} {}", of_room("!r0:x"), of_room("!r5:x"));
    assert!(!left.iter().any(|event| event.event == event_id!("$e0.0:x")), "the oldest was dropped");
}

#[test]
fn a_flood_of_events_is_added_in_linear_time() {
    let folder = TempDir::new().expect("a folder");
    let mut pending = load(folder.path());
    let flood: Vec<_> = (0..50_000).map(|number| encrypted_event(&format!("$f{number}:x"), "F", 0)).collect();
    let began = Instant::now();
    pending.add(room_id!("!loud:x"), flood);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(pending.waiting_for(None).len(), MAX_ROOM_EVENTS);
}

#[test]
fn a_sender_with_many_keys_is_asked_a_limited_number_of_times() {
    let folder = TempDir::new().expect("a folder");
    let mut pending = load(folder.path());
    let many = (0..50).map(|number| encrypted_event(&format!("$f{number}:x"), &format!("F{number}"), 0));
    add(&mut pending, many.collect());
    assert_eq!(ask(&mut pending).len(), MAX_PER_ROOM);
    assert!(pending.take_due_requests(later()).is_empty());
    // The limit still applies after all events were removed.
    pending.remove(&pending.waiting_for(None).into_iter().map(|event| event.event).collect());
    add(&mut pending, vec![encrypted_event("$more:x", "M", 0)]);
    assert!(pending.take_due_requests(later()).is_empty());
}
