//! What of a room reaches the engine, and what the engine's words look like in an event.

use matrix_sdk::ruma::{event_id, user_id};

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

fn read_as(raw: &RawEvent, direct: bool) -> Option<Incoming> {
    let reader = Reader { me: user_id!("@ops-bot:x"), bot: "marvin", called: Some("Marvin the Bot"), direct };
    reader.message(&Event::from(raw.clone()))
}

fn words(body: &str) -> Option<String> {
    read_as(&event("@bob:x", json!({ "msgtype": "m.text", "body": body })), false).map(|message| message.text)
}

#[test]
fn a_persons_words_come_through_with_their_full_id() {
    let message =
        read_as(&event("@bob:x", json!({ "msgtype": "m.text", "body": "!deploy cms" })), true).expect("a message");
    assert_eq!(message.text, "!deploy cms");
    assert_eq!(message.sender.id, "@bob:x");
    assert_eq!(message.at.as_millisecond(), 1_700_000_000_000);
    assert!(message.direct && message.thread.is_none());
}

#[test]
fn what_is_not_a_persons_new_words_does_not() {
    let command = json!({ "msgtype": "m.text", "body": "!deploy cms" });
    let own = event("@ops-bot:x", command.clone());
    let emote = event("@bob:x", json!({ "msgtype": "m.emote", "body": "!deploy cms" }));
    let edit = event(
        "@bob:x",
        json!({ "msgtype": "m.text", "body": "* !deploy cms", "m.new_content": command,
                "m.relates_to": { "rel_type": "m.replace", "event_id": "$a:x" } }),
    );
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
    for (what, raw) in
        [("own", own), ("emote", emote), ("edit", edit), ("redacted", redacted), ("code", code), ("broken", broken)]
    {
        assert_eq!(read_as(&raw, true), None, "{what}");
    }
}

#[test]
fn a_notice_is_a_machines() {
    let of = |kind: &str| read_as(&event("@bob:x", json!({ "msgtype": kind, "body": "!deploy cms" })), false);
    assert!(of("m.notice").is_some_and(|message| message.machine && message.text == "!deploy cms"));
    assert!(of("m.text").is_some_and(|message| !message.machine));
}

#[test]
fn quoted_text_and_code_are_left_out() {
    assert_eq!(words("> <@alice:x> !deploy cms\n\n!where cms").as_deref(), Some("!where cms"));
    assert_eq!(words("```\n!deploy cms\n```"), None);
    assert_eq!(words("```!deploy cms```\n!where").as_deref(), Some("!where"));
    assert_eq!(words("!where\n```\n!deploy cms\n```").as_deref(), Some("!where"));
    assert_eq!(words("> only a quotation"), None);
}

#[test]
fn a_picked_name_is_an_address_only_with_a_mention() {
    let content = |body: &str, mentioned: bool| {
        let people: &[&str] = if mentioned { &["@ops-bot:x"] } else { &[] };
        event("@bob:x", json!({ "msgtype": "m.text", "body": body, "m.mentions": { "user_ids": people } }))
    };
    let text = |body: &str, mentioned| read_as(&content(body, mentioned), false).map(|message| message.text);
    assert_eq!(text("Marvin the Bot: deploy cms", true).as_deref(), Some("@marvin deploy cms"));
    assert_eq!(text("@Marvin the bot deploy cms", true).as_deref(), Some("@marvin deploy cms"));
    assert_eq!(text("Marvin the Bot: deploy cms", false).as_deref(), Some("Marvin the Bot: deploy cms"));
    assert_eq!(text("@ops-bot:x, deploy cms", false).as_deref(), Some("@marvin deploy cms"));
    assert_eq!(text("@ops-bot:xy deploy cms", false).as_deref(), Some("@ops-bot:xy deploy cms"));
    assert_eq!(text("could Marvin the Bot help", true).as_deref(), Some("could Marvin the Bot help"));
}

#[test]
fn a_threads_root_is_kept() {
    let raw = event(
        "@bob:x",
        json!({ "msgtype": "m.text", "body": "!where",
                "m.relates_to": { "rel_type": "m.thread", "event_id": "$root:x", "is_falling_back": true,
                                  "m.in_reply_to": { "event_id": "$last:x" } } }),
    );
    assert_eq!(read_as(&raw, false).expect("a message").thread.as_deref(), Some("$root:x"));
}

#[test]
fn only_our_coming_in_is_an_arrival() {
    let member = |who: &str, now: &str, before: Value| {
        raw(
            json!({ "type": "m.room.member", "event_id": "$m:x", "sender": who, "state_key": who, "origin_server_ts": 1,
                    "content": { "membership": now }, "unsigned": { "prev_content": before } }),
        )
    };
    let me = user_id!("@ops-bot:x");
    let is_own_arrival = |raw: &RawEvent, me: &UserId| is_own_arrival(&Event::from(raw.clone()), me);
    assert!(is_own_arrival(&member("@ops-bot:x", "join", json!({ "membership": "invite" })), me));
    assert!(is_own_arrival(&member("@ops-bot:x", "join", Value::Null), me));
    assert!(!is_own_arrival(&member("@ops-bot:x", "join", json!({ "membership": "join" })), me));
    assert!(!is_own_arrival(&member("@ops-bot:x", "leave", Value::Null), me));
    assert!(!is_own_arrival(&member("@bob:x", "join", Value::Null), me));
}

#[test]
fn words_go_out_plain_and_formatted_and_ping_nobody() {
    let mut text = Text::lines("<b>@room</b> & \"more\"\n  second");
    text.push_code("exit 3 <here>");
    text.push_lines("after");
    let content = say(&text, Some(event_id!("$root:x")), "7f3a/end");
    assert_eq!(content["msgtype"], "m.notice");
    assert_eq!(content["body"], "<b>@room</b> & \"more\"\n  second\n    exit 3 <here>\nafter");
    assert_eq!(
        content["formatted_body"],
        "&lt;b&gt;@room&lt;/b&gt; &amp; &quot;more&quot;<br>&nbsp;&nbsp;second<pre><code>exit 3 &lt;here&gt;</code></pre>after"
    );
    assert_eq!(content["m.mentions"], json!({}));
    assert_eq!(content[KEY_FIELD], "7f3a/end");
    assert_eq!(
        content["m.relates_to"],
        json!({ "rel_type": "m.thread", "event_id": "$root:x", "is_falling_back": true, "m.in_reply_to": { "event_id": "$root:x" } })
    );
}

#[test]
fn an_edit_names_what_it_replaces() {
    let content = edit(event_id!("$card:x"), &Text::lines("job 7f3a: done"), "7f3a/card#2");
    assert_eq!(content["m.relates_to"], json!({ "rel_type": "m.replace", "event_id": "$card:x" }));
    assert_eq!(content["m.new_content"]["body"], "job 7f3a: done");
    assert_eq!(content["m.new_content"]["msgtype"], "m.notice");
    assert_eq!(content["body"], "* job 7f3a: done");
    assert_eq!(content[KEY_FIELD], "7f3a/card#2");
}

#[test]
fn the_largest_text_fits_into_one_event() {
    let mut text = Text::lines("\"<&>'".repeat(20_000));
    text.push_code("\u{1f680}".repeat(20_000));
    for content in [say(&text, None, "k"), edit(event_id!("$card:x"), &text, "k")] {
        let size = content.to_string().len();
        assert!(size < 48_000, "{size}");
        assert!(content["body"].as_str().is_some_and(|body| body.contains("more bytes")));
    }
    assert_eq!(say(&Text::lines("short"), None, "k")["body"], "short");
}

#[test]
fn what_does_not_fit_goes_into_a_file() {
    assert!(fits(&Text::lines("short")));
    assert!(fits(&Text::lines("x".repeat(19_000))));
    assert!(!fits(&Text::lines("x".repeat(70_000))));
    // Few letters, and many bytes in an event.
    assert!(!fits(&Text::lines("<&>'\"".repeat(3_500))));
    let content = file(json!({ "url": "mxc://x/y" }), 70_000, Some(event_id!("$root:x")), "k#file");
    assert_eq!((&content["url"], &content["info"]["size"]), (&json!("mxc://x/y"), &json!(70_000)));
    assert_eq!(content["m.relates_to"]["event_id"], "$root:x");
    assert!(carries_key(&event("@ops-bot:x", content), user_id!("@ops-bot:x"), "k#file"));
}

#[test]
fn our_own_message_is_found_by_its_key() {
    let me = user_id!("@ops-bot:x");
    let content = say(&Text::lines("hello"), None, "k1");
    assert!(carries_key(&event("@ops-bot:x", content.clone()), me, "k1"));
    assert!(!carries_key(&event("@ops-bot:x", content.clone()), me, "k2"));
    assert!(!carries_key(&event("@bob:x", content), me, "k1"));
}
