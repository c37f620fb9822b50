//! Tests of the content of sent events.

use matrix_sdk::ruma::{event_id, serde::Raw, user_id};

use super::*;
use crate::{convert::carries_key, room_event::RawEvent};

fn event(sender: &str, content: Value) -> RawEvent {
    let event = json!({
        "type": "m.room.message", "event_id": "$e:x", "sender": sender,
        "origin_server_ts": 1_700_000_000_000_i64, "content": content,
    });
    Raw::from_json_string(event.to_string()).expect("an object is JSON")
}

#[test]
fn a_message_is_plain_and_formatted_and_notifies_nobody() {
    let mut text = Text::lines("<b>@room</b> & \"more\"\n  second");
    text.push_code("exit 3 <here>");
    text.push_quote("<i>\n x");
    text.push_lines("after");
    let content = message(&text, Some(event_id!("$root:x")), "7f3a/end");
    assert_eq!(content["msgtype"], "m.notice");
    assert_eq!(content["body"], "<b>@room</b> & \"more\"\n  second\n    exit 3 <here>\n| <i>\n|  x\nafter");
    assert_eq!(
        content["formatted_body"],
        "&lt;b&gt;@room&lt;/b&gt; &amp; &quot;more&quot;<br>&nbsp;&nbsp;second<pre><code>exit 3 &lt;here&gt;</code></pre>\
         <blockquote>&lt;i&gt;<br>&nbsp;x</blockquote>after"
    );
    assert_eq!(content["m.mentions"], json!({}));
    assert_eq!(content[KEY_FIELD], "7f3a/end");
    assert_eq!(
        content["m.relates_to"],
        json!({ "rel_type": "m.thread", "event_id": "$root:x", "is_falling_back": true, "m.in_reply_to": { "event_id": "$root:x" } })
    );
}

#[test]
fn an_edit_names_the_event_that_it_replaces() {
    let content = edit(event_id!("$card:x"), &Text::lines("job 7f3a: done"), "7f3a/card#2");
    assert_eq!(content["m.relates_to"], json!({ "rel_type": "m.replace", "event_id": "$card:x" }));
    assert_eq!(content["m.new_content"]["body"], "job 7f3a: done");
    assert_eq!(content["m.new_content"]["msgtype"], "m.notice");
    assert_eq!(content["m.new_content"]["formatted_body"], "job 7f3a: done");
    assert_eq!(content["msgtype"], "m.notice");
    assert_eq!(content["body"], "* edited: job 7f3a: done");
    assert_eq!(content[KEY_FIELD], "7f3a/card#2");
    let long = edit(event_id!("$card:x"), &Text::lines(format!("{}\nsecond", "\u{1f680}".repeat(90))), "k");
    assert_eq!(long["body"], format!("* edited: {}...", "\u{1f680}".repeat(25)));
    assert!(long["formatted_body"].is_null());
}

#[test]
fn an_edit_notifies_nobody_again() {
    let text: Text = serde_json::from_value(json!([{ "line": "waits" }, { "people": ["@bob:x"] }])).expect("a text");
    let content = edit(event_id!("$card:x"), &text, "k");
    assert_eq!(content["m.mentions"], json!({}));
    assert_eq!(content["m.new_content"]["m.mentions"], json!({ "user_ids": ["@bob:x"] }));
    assert_eq!((&content["msgtype"], &content["m.new_content"]["msgtype"]), (&json!("m.text"), &json!("m.text")));
}

#[test]
fn a_text_that_a_new_message_shows_whole_is_whole_in_an_edit() {
    // Ids and keys of the maximum length, and characters that take the most space in JSON and in HTML.
    let event = EventId::parse(format!("${}", "e".repeat(254))).expect("an id");
    let key = "k".repeat(150);
    for part in ["x", "\"", "<", "\\", "\u{e9}", "\u{1f680}", "line\n", "  \n", "\"\"\"\"\n"] {
        let make = |count: usize| {
            let mut text = Text::lines("\"".repeat(200));
            text.push_lines(part.repeat(count));
            text
        };
        // Find the longest text that fits.
        let (mut fitting, mut excess) = (1, 30_000);
        while excess - fitting > 1 {
            let middle = usize::midpoint(fitting, excess);
            if fits(&make(middle)) { fitting = middle } else { excess = middle }
        }
        let text = make(fitting);
        let (new, edited) = (message(&text, Some(&event), &key), edit(&event, &text, &key));
        assert_eq!(new["body"], text.plain(), "{part:?} {fitting}");
        assert_eq!(edited["m.new_content"]["body"], text.plain(), "{part:?} {fitting}");
        assert_eq!(edited["m.new_content"]["formatted_body"], new["formatted_body"]);
        assert!(edited.to_string().len() <= MAX_CONTENT);
    }
}

#[test]
fn the_longest_text_is_truncated_to_one_event() {
    let mut text = Text::lines("\"<&>'".repeat(20_000));
    text.push_code("\u{1f680}".repeat(20_000));
    let (new, edited) = (message(&text, None, "k"), edit(event_id!("$card:x"), &text, "k"));
    for (content, size) in [(&new, new.to_string().len()), (&edited["m.new_content"], edited.to_string().len())] {
        assert!(size < 48_000, "{size}");
        assert!(content["body"].as_str().is_some_and(|body| body.contains("more bytes")));
    }
    assert_eq!(message(&Text::lines("short"), None, "k")["body"], "short");
}

#[test]
fn a_text_that_does_not_fit_is_sent_as_a_file() {
    assert!(fits(&Text::lines("short")));
    assert!(fits(&Text::lines("x".repeat(19_000))));
    assert!(!fits(&Text::lines("x".repeat(70_000))));
    // A text with few characters whose event has many bytes.
    assert!(!fits(&Text::lines("<&>'\"".repeat(3_500))));
    let content = file(json!({ "url": "mxc://x/y" }), 70_000, Some(event_id!("$root:x")), "k#file");
    assert_eq!((&content["url"], &content["info"]["size"]), (&json!("mxc://x/y"), &json!(70_000)));
    assert_eq!(content["m.relates_to"]["event_id"], "$root:x");
    assert!(carries_key(&event("@ops-bot:x", content), user_id!("@ops-bot:x"), "k#file"));
}

#[test]
fn the_bots_message_is_found_by_its_key() {
    let me = user_id!("@ops-bot:x");
    let content = message(&Text::lines("hello"), None, "k1");
    assert!(carries_key(&event("@ops-bot:x", content.clone()), me, "k1"));
    assert!(!carries_key(&event("@ops-bot:x", content.clone()), me, "k2"));
    assert!(!carries_key(&event("@bob:x", content), me, "k1"));
}
