//! Tests of the conversion of events to messages.

use matrix_sdk::ruma::{serde::Raw, user_id};
use serde_json::json;

use super::*;

fn raw(event: Value) -> RawEvent {
    Raw::from_json_string(event.to_string()).expect("an object is JSON")
}

fn event(sender: &str, content: Value) -> RawEvent {
    raw(json!({
        "type": "m.room.message", "event_id": "$e:x", "sender": sender,
        "origin_server_ts": 1_700_000_000_000_i64, "content": content,
    }))
}

fn convert(raw: &RawEvent, direct: bool) -> Option<Incoming> {
    let converter =
        Converter { me: user_id!("@ops-bot:x"), bot: "marvin", display_name: Some("Marvin the Bot"), direct };
    converter.message(&RoomEvent::from(raw.clone()))
}

fn text_of(body: &str) -> Option<String> {
    convert(&event("@bob:x", json!({ "msgtype": "m.text", "body": body })), false).map(|message| message.text)
}

#[test]
fn a_persons_message_is_converted_with_their_full_id() {
    let message =
        convert(&event("@bob:x", json!({ "msgtype": "m.text", "body": "!deploy cms" })), true).expect("a message");
    assert_eq!(message.text, "!deploy cms");
    assert_eq!(message.sender.id, "@bob:x");
    assert_eq!(message.at.as_millisecond(), 1_700_000_000_000);
    assert!(message.direct && message.thread.is_none());
}

#[test]
fn only_new_text_of_other_people_is_converted() {
    let command = json!({ "msgtype": "m.text", "body": "!deploy cms" });
    let own = event("@ops-bot:x", command.clone());
    let emote = event("@bob:x", json!({ "msgtype": "m.emote", "body": "!deploy cms" }));
    let edit = event(
        "@bob:x",
        json!({ "msgtype": "m.text", "body": "* !deploy cms", "m.new_content": command,
                "m.relates_to": { "rel_type": "m.replace", "event_id": "$a:x" } }),
    );
    let edit_without_relation =
        event("@bob:x", json!({ "msgtype": "m.text", "body": "!deploy cms", "m.new_content": command }));
    let redacted = raw(json!({
        "type": "m.room.message", "event_id": "$e:x", "sender": "@bob:x", "origin_server_ts": 1, "content": {},
        "unsigned": { "redacted_because": { "type": "m.room.redaction", "event_id": "$r:x", "sender": "@bob:x",
                      "origin_server_ts": 2, "content": {}, "redacts": "$e:x" } },
    }));
    let code = event(
        "@bob:x",
        json!({ "msgtype": "m.text", "body": "!deploy cms", "format": "org.matrix.custom.html",
                "formatted_body": "<pre><code>!deploy cms\n</code></pre>\n" }),
    );
    let broken = event("@bob:x", json!({ "msgtype": "m.text", "body": 7 }));
    for (what, raw) in [
        ("own", own),
        ("emote", emote),
        ("edit", edit),
        ("edit without its relation", edit_without_relation),
        ("redacted", redacted),
        ("code", code),
        ("broken", broken),
    ] {
        assert_eq!(convert(&raw, true), None, "{what}");
    }
}

#[test]
fn a_notice_is_marked_as_a_programs() {
    let of = |kind: &str| convert(&event("@bob:x", json!({ "msgtype": kind, "body": "!deploy cms" })), false);
    assert!(of("m.notice").is_some_and(|message| message.machine && message.text == "!deploy cms"));
    assert!(of("m.text").is_some_and(|message| !message.machine));
}

#[test]
fn quoted_text_and_code_blocks_are_left_out() {
    assert_eq!(text_of("> <@alice:x> !deploy cms\n\n!where cms").as_deref(), Some("!where cms"));
    assert_eq!(text_of("```\n!deploy cms\n```"), None);
    assert_eq!(text_of("```!deploy cms```\n!where").as_deref(), Some("!where"));
    assert_eq!(text_of("!where\n```\n!deploy cms\n```").as_deref(), Some("!where"));
    assert_eq!(text_of("> only a quotation"), None);
}

#[test]
fn a_display_name_is_an_address_only_with_a_mention() {
    let content = |body: &str, mentioned: bool| {
        let people: &[&str] = if mentioned { &["@ops-bot:x"] } else { &[] };
        event("@bob:x", json!({ "msgtype": "m.text", "body": body, "m.mentions": { "user_ids": people } }))
    };
    let text = |body: &str, mentioned| convert(&content(body, mentioned), false).map(|message| message.text);
    assert_eq!(text("Marvin the Bot: deploy cms", true).as_deref(), Some("@marvin deploy cms"));
    assert_eq!(text("@Marvin the bot deploy cms", true).as_deref(), Some("@marvin deploy cms"));
    assert_eq!(text("Marvin the Bot: deploy cms", false).as_deref(), Some("Marvin the Bot: deploy cms"));
    assert_eq!(text("@ops-bot:x, deploy cms", false).as_deref(), Some("@marvin deploy cms"));
    assert_eq!(text("@ops-bot:xy deploy cms", false).as_deref(), Some("@ops-bot:xy deploy cms"));
    assert_eq!(text("could Marvin the Bot help", true).as_deref(), Some("could Marvin the Bot help"));
}

#[test]
fn the_root_of_a_thread_is_converted() {
    let raw = event(
        "@bob:x",
        json!({ "msgtype": "m.text", "body": "!where",
                "m.relates_to": { "rel_type": "m.thread", "event_id": "$root:x", "is_falling_back": true,
                                  "m.in_reply_to": { "event_id": "$last:x" } } }),
    );
    assert_eq!(convert(&raw, false).expect("a message").thread.as_deref(), Some("$root:x"));
}

#[test]
fn only_a_changed_membership_is_a_join() {
    let member = |who: &str, now: &str, before: Value| {
        raw(
            json!({ "type": "m.room.member", "event_id": "$m:x", "sender": who, "state_key": who, "origin_server_ts": 1,
                    "content": { "membership": now }, "unsigned": { "prev_content": before } }),
        )
    };
    let me = user_id!("@ops-bot:x");
    let is_own_join = |raw: &RawEvent, me: &UserId| is_own_join(&RoomEvent::from(raw.clone()), me);
    assert!(is_own_join(&member("@ops-bot:x", "join", json!({ "membership": "invite" })), me));
    assert!(is_own_join(&member("@ops-bot:x", "join", Value::Null), me));
    assert!(!is_own_join(&member("@ops-bot:x", "join", json!({ "membership": "join" })), me));
    assert!(!is_own_join(&member("@ops-bot:x", "leave", Value::Null), me));
    assert!(!is_own_join(&member("@bob:x", "join", Value::Null), me));
}
