//! What is kept of events that could not be decrypted, and who is asked when.

use std::path::Path;

use matrix_sdk::ruma::{event_id, room_id, serde::Raw};
use serde_json::json;
use tempfile::TempDir;
use wardroom::message::Person;

use super::*;

fn load(folder: &Path) -> Undecrypted {
    let file = folder.join("undecrypted.json");
    let entries = folder::read_json(&file).expect("readable").unwrap_or_default();
    Undecrypted { file, entries, asked: HashMap::new() }
}

fn sealed_event(id: &str, session: &str, age: i64) -> (RawEvent, Reason) {
    let json = json!({
        "type": "m.room.encrypted", "event_id": id, "sender": "@bob:x",
        "origin_server_ts": Timestamp::now().as_millisecond() - age * 1000,
        "content": { "algorithm": "m.megolm.v1.aes-sha2", "session_id": session },
    });
    (Raw::from_json_string(json.to_string()).expect("an object is JSON"), Reason::NoKey)
}

fn message(event: &str, text: &str) -> Incoming {
    Incoming {
        event: event.into(),
        thread: None,
        sender: Person::named_by_id("@bob:x"),
        text: text.into(),
        reaction: None,
        at: Timestamp::now(),
        direct: false,
        late: false,
        machine: false,
        once: None,
        unproven: None,
    }
}

fn later() -> Instant {
    Instant::now() + GRACE + Duration::from_secs(1)
}

#[test]
fn an_event_outlives_the_process_and_is_kept_once() {
    let folder = TempDir::new().expect("a folder");
    let mut kept = load(folder.path());
    for _ in 0..2 {
        kept.add(room_id!("!r:x"), vec![sealed_event("$a:x", "S", 0)]).expect("kept");
    }
    let kept = load(folder.path());
    assert_eq!(kept.needing(None).len(), 1);
    assert_eq!(kept.needing(Some(&HashSet::from(["S".to_owned()]))).len(), 1);
    assert!(kept.needing(Some(&HashSet::from(["T".to_owned()]))).is_empty());
}

#[test]
fn a_sender_is_asked_after_a_while_and_twice_about_one_key() {
    let folder = TempDir::new().expect("a folder");
    let mut kept = load(folder.path());
    let room = room_id!("!r:x");
    kept.add(room, vec![sealed_event("$a:x", "S", 0)]).expect("kept");
    assert!(kept.due_asks(Instant::now()).is_empty(), "its key may be on its way");
    let asks = kept.due_asks(later());
    assert_eq!(asks.len(), 1);
    assert_eq!(asks[0].thread, event_id!("$a:x"));
    assert!(kept.due_asks(later()).is_empty(), "asked once about one event");
    kept.add(room, vec![sealed_event("$b:x", "S", 0), sealed_event("$c:x", "S", 0), sealed_event("$d:x", "T", 0)])
        .expect("kept");
    let asked: Vec<_> = kept.due_asks(later()).into_iter().map(|ask| ask.event).collect();
    assert_eq!(asked, [event_id!("$b:x"), event_id!("$d:x")], "a long talk with one key is not answered line by line");
    assert_eq!(kept.next_due(later()).map(|wait| wait > GRACE), Some(true), "and is no busy loop");
}

#[test]
fn who_could_not_be_asked_is_asked_again() {
    let folder = TempDir::new().expect("a folder");
    let mut kept = load(folder.path());
    kept.add(room_id!("!r:x"), vec![sealed_event("$a:x", "S", 0)]).expect("kept");
    assert_eq!(kept.due_asks(later()).len(), 1);
    kept.asked(Some(&event_id!("$a:x").to_owned()));
    assert_eq!(kept.due_asks(later()).len(), 1);
    kept.asked(None);
    assert!(load(folder.path()).due_asks(later()).is_empty(), "nor after a restart");
}

#[test]
fn what_is_too_old_is_not_kept() {
    let folder = TempDir::new().expect("a folder");
    let mut kept = load(folder.path());
    kept.add(room_id!("!r:x"), vec![sealed_event("$old:x", "S", KEPT + 60)]).expect("kept");
    assert!(kept.needing(None).is_empty());
}

#[test]
fn what_was_sent_again_is_known_by_its_words() {
    let folder = TempDir::new().expect("a folder");
    let mut kept = load(folder.path());
    let (room, first) = (room_id!("!r:x"), event_id!("$a:x").to_owned());
    kept.add(room, vec![sealed_event("$a:x", "S", 0)]).expect("kept");
    kept.said(room, &[message("$x:x", "!deploy cms")]).expect("kept");
    assert!(!kept.was_sent_again(&first, "!deploy cms"), "nobody had asked for it yet");
    assert_eq!(kept.due_asks(later()).len(), 1);
    kept.asked(None);
    kept.said(room_id!("!other:x"), &[message("$y:x", "!deploy cms")]).expect("kept");
    assert!(!kept.was_sent_again(&first, "!deploy cms"), "said elsewhere");
    kept.said(room, &[message("$z:x", "!deploy cms")]).expect("kept");
    let kept = load(folder.path());
    assert!(kept.was_sent_again(&first, "!deploy cms "));
    assert!(!kept.was_sent_again(&first, "!where cms"));
}

#[test]
fn what_is_taken_back_is_not_kept() {
    let folder = TempDir::new().expect("a folder");
    let mut kept = load(folder.path());
    kept.add(room_id!("!r:x"), vec![sealed_event("$a:x", "S", 0), sealed_event("$b:x", "S", 0)]).expect("kept");
    let taken_back =
        Incoming { reaction: Some(Reaction::Withdrawn { given: "$a:x".into() }), ..message("$redaction:x", "") };
    kept.withdrawn(room_id!("!other:x"), std::slice::from_ref(&taken_back));
    assert_eq!(kept.needing(None).len(), 2, "of another room nothing can be taken back");
    kept.withdrawn(room_id!("!r:x"), &[taken_back, message("$c:x", "hello")]);
    let left: Vec<_> = load(folder.path()).needing(None).into_iter().map(|entry| entry.event).collect();
    assert_eq!(left, [event_id!("$b:x")]);
}

#[test]
fn a_room_that_is_flooded_takes_no_place_from_another() {
    let folder = TempDir::new().expect("a folder");
    let mut kept = load(folder.path());
    kept.add(room_id!("!quiet:x"), vec![sealed_event("$quiet:x", "Q", 0)]).expect("kept");
    let flood = (0..MOST_OF_A_ROOM + 5).map(|number| sealed_event(&format!("$f{number}:x"), &format!("F{number}"), 0));
    kept.add(room_id!("!loud:x"), flood.collect()).expect("kept");
    let left = load(folder.path()).needing(None);
    assert_eq!(left.len(), MOST_OF_A_ROOM + 1);
    assert!(left.iter().any(|entry| entry.event == event_id!("$quiet:x")));
    assert!(!left.iter().any(|entry| entry.event == event_id!("$f4:x")), "the oldest went");
    // Nor does one of few and large ones.
    for number in 0..80 {
        let (raw, reason) = sealed_event(&format!("$l{number}:x"), &"L".repeat(60_000), 0);
        kept.add(room_id!("!large:x"), vec![(raw, reason)]).expect("kept");
    }
    assert!(kept.needing(None).iter().any(|entry| entry.event == event_id!("$quiet:x")));
    let large = kept.needing(None).iter().filter(|entry| entry.room == room_id!("!large:x")).count();
    assert_eq!(large, LARGEST_OF_A_ROOM / sealed_event("$l10:x", &"L".repeat(60_000), 0).0.json().get().len());
}

#[test]
fn who_makes_up_keys_is_asked_a_few_times_only() {
    let folder = TempDir::new().expect("a folder");
    let mut kept = load(folder.path());
    let many = (0..50).map(|number| sealed_event(&format!("$f{number}:x"), &format!("F{number}"), 0));
    kept.add(room_id!("!r:x"), many.collect()).expect("kept");
    assert_eq!(kept.due_asks(later()).len(), ASKED_IN_A_ROOM);
    kept.asked(None);
    assert!(kept.due_asks(later()).is_empty());
    // Not even after they took all of it back.
    kept.remove(&kept.needing(None).into_iter().map(|entry| entry.event).collect());
    kept.add(room_id!("!r:x"), vec![sealed_event("$more:x", "M", 0)]).expect("kept");
    assert!(kept.due_asks(later()).is_empty());
}
