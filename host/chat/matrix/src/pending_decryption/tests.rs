//! Tests of the stored events, and of the requests to their senders.

use std::path::Path;

use matrix_sdk::ruma::{event_id, room_id, serde::Raw};
use serde_json::json;
use tempfile::TempDir;
use wardroom::model::Person;

use super::{
    resend_request::MAX_PER_ROOM,
    retention::{MAX_ROOM_BYTES, MAX_ROOM_EVENTS},
    *,
};

fn load(folder: &Path) -> PendingDecryption {
    let file = folder.join("undecrypted.json");
    let events = folder::read_json(&file).expect("readable").unwrap_or_default();
    PendingDecryption { file, events, requests: HashMap::new() }
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
    Incoming::new(event, Person::named_by_id("@bob:x"), text, Timestamp::now())
}

fn later() -> Instant {
    Instant::now() + GRACE_PERIOD + Duration::from_secs(1)
}

#[test]
fn an_event_survives_a_restart_and_is_kept_once() {
    let folder = TempDir::new().expect("a folder");
    let mut pending = load(folder.path());
    for _ in 0..2 {
        pending.add(room_id!("!r:x"), vec![encrypted_event("$a:x", "S", 0)]).expect("kept");
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
    let room = room_id!("!r:x");
    pending.add(room, vec![encrypted_event("$a:x", "S", 0)]).expect("kept");
    assert!(pending.take_due_requests(Instant::now()).is_empty(), "its key may still arrive");
    let requests = pending.take_due_requests(later());
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].thread, event_id!("$a:x"));
    assert!(pending.take_due_requests(later()).is_empty(), "asked once about one event");
    pending
        .add(
            room,
            vec![encrypted_event("$b:x", "S", 0), encrypted_event("$c:x", "S", 0), encrypted_event("$d:x", "T", 0)],
        )
        .expect("kept");
    let asked: Vec<_> = pending.take_due_requests(later()).into_iter().map(|request| request.event).collect();
    assert_eq!(asked, [event_id!("$b:x"), event_id!("$d:x")], "the third event of one key is not asked about");
    assert_eq!(pending.time_until_request(later()).map(|wait| wait > GRACE_PERIOD), Some(true), "no busy loop");
}

#[test]
fn a_request_that_failed_is_repeated() {
    let folder = TempDir::new().expect("a folder");
    let mut pending = load(folder.path());
    pending.add(room_id!("!r:x"), vec![encrypted_event("$a:x", "S", 0)]).expect("kept");
    assert_eq!(pending.take_due_requests(later()).len(), 1);
    pending.finish_requests(Some(&event_id!("$a:x").to_owned()));
    assert_eq!(pending.take_due_requests(later()).len(), 1);
    pending.finish_requests(None);
    assert!(load(folder.path()).take_due_requests(later()).is_empty(), "not after a restart either");
}

#[test]
fn an_event_that_is_too_old_is_not_kept() {
    let folder = TempDir::new().expect("a folder");
    let mut pending = load(folder.path());
    pending.add(room_id!("!r:x"), vec![encrypted_event("$old:x", "S", MAX_AGE + 60)]).expect("kept");
    assert!(pending.waiting_for(None).is_empty());
}

#[test]
fn a_repeated_message_is_recognized_by_its_text() {
    let folder = TempDir::new().expect("a folder");
    let mut pending = load(folder.path());
    let (room, first) = (room_id!("!r:x"), event_id!("$a:x").to_owned());
    pending.add(room, vec![encrypted_event("$a:x", "S", 0)]).expect("kept");
    pending.record_messages(room, &[message("$x:x", "!deploy cms")]).expect("kept");
    assert!(!pending.was_sent_again(&first, "!deploy cms"), "the sender was not asked yet");
    assert_eq!(pending.take_due_requests(later()).len(), 1);
    pending.finish_requests(None);
    pending.record_messages(room_id!("!other:x"), &[message("$y:x", "!deploy cms")]).expect("kept");
    assert!(!pending.was_sent_again(&first, "!deploy cms"), "sent in another room");
    pending.record_messages(room, &[message("$z:x", "!deploy cms")]).expect("kept");
    let pending = load(folder.path());
    assert!(pending.was_sent_again(&first, "!deploy cms "));
    assert!(!pending.was_sent_again(&first, "!where cms"));
}

#[test]
fn a_withdrawn_event_is_not_kept() {
    let folder = TempDir::new().expect("a folder");
    let mut pending = load(folder.path());
    pending
        .add(room_id!("!r:x"), vec![encrypted_event("$a:x", "S", 0), encrypted_event("$b:x", "S", 0)])
        .expect("kept");
    let mut withdrawal = message("$redaction:x", "");
    withdrawal.reaction = Some(Reaction::Withdrawn { given: "$a:x".into() });
    pending.remove_withdrawn(room_id!("!other:x"), std::slice::from_ref(&withdrawal));
    assert_eq!(pending.waiting_for(None).len(), 2, "an event of another room cannot be withdrawn");
    pending.remove_withdrawn(room_id!("!r:x"), &[withdrawal, message("$c:x", "hello")]);
    let left: Vec<_> = load(folder.path()).waiting_for(None).into_iter().map(|event| event.event).collect();
    assert_eq!(left, [event_id!("$b:x")]);
}

#[test]
fn a_flooded_room_displaces_no_event_of_another() {
    let folder = TempDir::new().expect("a folder");
    let mut pending = load(folder.path());
    pending.add(room_id!("!quiet:x"), vec![encrypted_event("$quiet:x", "Q", 0)]).expect("kept");
    let flood =
        (0..MAX_ROOM_EVENTS + 5).map(|number| encrypted_event(&format!("$f{number}:x"), &format!("F{number}"), 0));
    pending.add(room_id!("!loud:x"), flood.collect()).expect("kept");
    let left = load(folder.path()).waiting_for(None);
    assert_eq!(left.len(), MAX_ROOM_EVENTS + 1);
    assert!(left.iter().any(|event| event.event == event_id!("$quiet:x")));
    assert!(!left.iter().any(|event| event.event == event_id!("$f4:x")), "the oldest was dropped");
    // Large events are limited, too.
    for number in 0..80 {
        let (raw, failure) = encrypted_event(&format!("$l{number}:x"), &"L".repeat(60_000), 0);
        pending.add(room_id!("!large:x"), vec![(raw, failure)]).expect("kept");
    }
    assert!(pending.waiting_for(None).iter().any(|event| event.event == event_id!("$quiet:x")));
    let large = pending.waiting_for(None).iter().filter(|event| event.room == room_id!("!large:x")).count();
    assert_eq!(large, MAX_ROOM_BYTES / encrypted_event("$l10:x", &"L".repeat(60_000), 0).0.json().get().len());
}

#[test]
fn a_sender_with_many_keys_is_asked_a_limited_number_of_times() {
    let folder = TempDir::new().expect("a folder");
    let mut pending = load(folder.path());
    let many = (0..50).map(|number| encrypted_event(&format!("$f{number}:x"), &format!("F{number}"), 0));
    pending.add(room_id!("!r:x"), many.collect()).expect("kept");
    assert_eq!(pending.take_due_requests(later()).len(), MAX_PER_ROOM);
    pending.finish_requests(None);
    assert!(pending.take_due_requests(later()).is_empty());
    // The limit still applies after all events were removed.
    pending.remove(&pending.waiting_for(None).into_iter().map(|event| event.event).collect());
    pending.add(room_id!("!r:x"), vec![encrypted_event("$more:x", "M", 0)]).expect("kept");
    assert!(pending.take_due_requests(later()).is_empty());
}
