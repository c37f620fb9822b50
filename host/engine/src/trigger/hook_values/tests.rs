//! Tests of the values that a hook reads from a delivery.

use regex::Regex;

use super::*;
use crate::{
    base::{At, JsonPointer, SecretRef},
    model::{Person, RoomName},
    trigger::{CommandTemplate, HookAuth},
};

fn body(pointer: &str) -> ValueSource {
    ValueSource::Body(JsonPointer::new(pointer).expect("a pointer"))
}

fn header(name: &str) -> ValueSource {
    ValueSource::Header(name.to_owned())
}

fn hook() -> Hook {
    let capture = Capture { source: body("/build/version"), pattern: None };
    Hook {
        name: "build".into(),
        at: At { file: "plugins.toml".into(), line: 1 },
        command: CommandTemplate::new("deploy cms staging {version}").unwrap(),
        machine: Person::named_by_id("machine:ci"),
        room: RoomName { network: None, name: "#ops".into() },
        bot: None,
        auth: HookAuth::Hub { secret: SecretRef::Env("S".into()), header: None },
        previous: None,
        key: DeliveryKey::Each,
        window: None,
        capture: BTreeMap::from([("version".to_owned(), capture)]),
        when: vec![(body("/status"), vec!["success".to_owned()])],
        most_bytes: 1,
        most_a_minute: 1,
    }
}

/// Returns the result of a delivery whose version and status are these JSON texts.
fn read(hook: &Hook, status: &str, version: &str) -> Result<Captured, HookRejection> {
    hook.read(&Delivery::new(&format!(r#"{{"status": {status}, "build": {{"version": {version}}}}}"#)))
}

fn version(hook: &Hook, version: &str) -> Result<String, HookRejection> {
    read(hook, r#""success""#, version).map(|captured| captured.values["version"].clone())
}

fn invalid(result: Result<impl std::fmt::Debug, HookRejection>) -> String {
    match result {
        Err(HookRejection::Invalid(why)) => why,
        other => panic!("{other:?}"),
    }
}

fn not_matched(result: Result<impl std::fmt::Debug, HookRejection>) -> String {
    match result {
        Err(HookRejection::NotMatched(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_value_is_the_text_that_the_sender_wrote() {
    let hook = hook();
    for number in ["0", "-7", "1.10", "1.0", "1e3", "1E5", "-0", "12345678901234567890", "123456789012345678901234.50"]
    {
        assert_eq!(version(&hook, number).as_deref(), Ok(number));
        assert_eq!(version(&hook, &format!("\"{number}\"")).as_deref(), Ok(number));
    }
    for version_ in [r#""""#, r#""a\u202eb""#, r#""a\nb""#, &format!("\"{}\"", "x".repeat(300))] {
        let why = invalid(version(&hook, version_));
        assert!(why.starts_with("the value at `/build/version` in the body is empty, has more than 256"), "{why}");
    }
    for (value, why) in [("null", "is null"), (r#"["x"]"#, "is an array"), (r#"{"a": 1}"#, "is an object")] {
        let needed = "the command needs a string or a number there";
        assert_eq!(
            invalid(version(&hook, value)),
            format!("the value at `/build/version` in the body {why}; {needed}")
        );
    }
    let why = invalid(hook.read(&Delivery::new(r#"{"status": "success"}"#)));
    assert!(why.starts_with("the value at `/build/version` in the body is missing"), "{why}");
    assert_eq!(invalid(hook.read(&Delivery::new("{"))), "the body is not JSON");
}

#[test]
fn a_boolean_is_marked_because_it_cannot_be_a_text() {
    let captured = read(&hook(), r#""success""#, "true").unwrap();
    assert_eq!(captured.values["version"], "true");
    assert_eq!(captured.booleans["version"], "the value at `/build/version` in the body");
    let text = read(&hook(), r#""success""#, r#""true""#).unwrap();
    assert!(text.booleans.is_empty());
}

#[test]
fn a_condition_compares_the_text_that_the_sender_wrote() {
    let mut hook = hook();
    let why = not_matched(read(&hook, r#""failed""#, "1"));
    assert_eq!(why, "the value at `/status` in the body is not `success`");
    hook.when = vec![(body("/status"), vec!["1.10".to_owned(), "true".to_owned()])];
    for (status, matches) in [("1.10", true), (r#""1.10""#, true), ("true", true), ("1.1", false), ("null", false)] {
        assert_eq!(read(&hook, status, "1").is_ok(), matches, "{status}");
    }
}

#[test]
fn a_pattern_matches_the_whole_value_and_its_group_is_the_value() {
    let mut hook = hook();
    let pattern = Some(Regex::new("^(?:refs/tags/v(.+))$").unwrap());
    hook.capture.get_mut("version").unwrap().pattern = pattern;
    assert_eq!(version(&hook, r#""refs/tags/v1.10""#).as_deref(), Ok("1.10"));
    for other in [r#""refs/heads/main""#, r#""x refs/tags/v1""#, r#""refs/tags/v""#, "17", "true"] {
        let why = not_matched(version(&hook, other));
        assert_eq!(why, "the value at `/build/version` in the body does not match the pattern");
    }
    for (other, why) in [("null", "is null"), (r#""a", "version": 1"#, "is ambiguous")] {
        let result = version(&hook, other);
        assert!(
            matches!(&result, Err(HookRejection::NotMatched(text) | HookRejection::Invalid(text)) if text.contains(why))
        );
        assert_eq!(matches!(result, Err(HookRejection::NotMatched(_))), other == "null", "{result:?}");
    }
    assert!(matches!(version(&hook, "[1]"), Err(HookRejection::Invalid(_))));
    // What the group matches is checked like every value.
    assert!(matches!(version(&hook, r#""refs/tags/va\u200bb""#), Err(HookRejection::Invalid(_))));
}

#[test]
fn values_and_conditions_come_from_headers_too() {
    let mut hook = hook();
    hook.capture.get_mut("version").unwrap().source = header("X-Release");
    hook.when = vec![(header("X-GitHub-Event"), vec!["release".to_owned()])];
    let delivery = |event: &str| Delivery::new("{}").with_header("x-github-event", event);
    let read = hook.read(&delivery("release").with_header("X-RELEASE", "1.10")).unwrap();
    assert_eq!(read.values["version"], "1.10");
    assert_eq!(not_matched(hook.read(&delivery("push"))), "the header `X-GitHub-Event` is not `release`");
    let why = invalid(hook.read(&delivery("release")));
    assert_eq!(why, "the header `X-Release` is missing; the command needs a string or a number there");
}

#[test]
fn a_test_of_the_connection_starts_nothing() {
    for (name, value) in [("X-GitHub-Event", "ping"), ("X-Event-Key", "diagnostics:ping")] {
        // The body of a test has other values, or is empty.
        for body in [r#"{"zen": "Keep it logically awesome.", "hook_id": 1}"#, ""] {
            let why = not_matched(hook().read(&Delivery::new(body).with_header(name, value)));
            assert_eq!(why, "the sender tests the connection; this starts no command");
        }
    }
}

#[test]
fn an_idempotency_key_is_made_of_the_named_values() {
    let mut hook = hook();
    let key = |hook: &Hook, a: &str, b: &str| {
        let text = format!(r#"{{"status": "success", "build": {{"version": 1}}, "a": {a}, "b": {b}}}"#);
        hook.read(&Delivery::new(&text).with_id("signed").with_header("X-Id", "7")).map(|read| read.key)
    };
    assert_eq!(key(&hook, "1", "1"), Ok(None));
    hook.key = DeliveryKey::Signed;
    assert_eq!(key(&hook, "1", "1"), Ok(Some("signed".into())));
    hook.key = DeliveryKey::Values(vec![header("X-Id")]);
    assert_eq!(key(&hook, "1", "1"), Ok(Some("7".into())));
    hook.key = DeliveryKey::Values(vec![body("/a"), body("/b")]);
    // The border between the values counts.
    assert_ne!(key(&hook, r#""12""#, r#""3""#), key(&hook, r#""1""#, r#""23""#));
    assert_ne!(key(&hook, "1.0", "1"), key(&hook, "1.00", "1"), "numbers count as they are written");
    let why = invalid(key(&hook, "1", "null"));
    assert_eq!(why, "the value at `/b` in the body must contain the delivery's id: 1 to 16384 characters");
    hook.key = DeliveryKey::Values(vec![header("X-Other")]);
    assert_eq!(
        invalid(key(&hook, "1", "1")),
        "the header `X-Other` must contain the delivery's id: 1 to 256 characters"
    );
}

#[test]
fn a_value_that_the_body_has_twice_is_refused() {
    for text in [
        r#"{"status": "success", "status": "failed", "build": {"version": 1}}"#,
        r#"{"status": "success", "build": {"version": 1, "version": 2}}"#,
        r#"{"status": "success", "build": {"version": 1}, "build": {"version": 1}}"#,
    ] {
        let why = invalid(hook().read(&Delivery::new(text)));
        assert!(why.contains("is ambiguous, because an object has the key"), "{why}");
    }
}
