//! Who is let in, what is taken, and what everybody else learns.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::*;

fn signature(parts: &[&str]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    parts.iter().for_each(|part| mac.update(part.as_bytes()));
    mac.finalize().into_bytes().to_vec()
}

#[tokio::test]
async fn with_the_token_it_is_taken_once_and_its_room_sees_it() {
    let house = House::new(&[hook("build", TOKEN)], None).await;
    let first = house.named("build", "1", r#"{"topic": "whoami"}"#).await;
    assert_eq!((first.status, first.body.as_str()), (202, r#"{"status":"taken"}"#));
    let again = house.named("build", "1", r#"{"topic": "jobs"}"#).await;
    assert_eq!((again.status, again.body.as_str()), (200, r#"{"status":"again"}"#));
    let said = house.settled().await;
    assert!(said[0].contains("(hook build): help whoami"), "{said:?}");
    assert!(said[1].starts_with("whoami"), "{said:?}");
    assert_eq!((said.len(), house.handled("help")), (2, 1));
    assert_eq!(house.named("build", "2", r#"{"topic": "jobs"}"#).await.status, 202);
    // The same name at the same moment: one of them is the first.
    let body = r#"{"topic": "plugins"}"#;
    let (one, other) = tokio::join!(house.named("build", "3", body), house.named("build", "3", body));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 202]);
    house.settled().await;
    assert_eq!(house.handled("help plugins"), 1);
}

#[tokio::test]
async fn a_delivery_is_taken_once_also_where_the_room_is_another_one_by_then() {
    let house = House::new(&[hook("build", TOKEN), hook("other", TOKEN)], None).await;
    let body = r#"{"topic": "whoami"}"#;
    assert_eq!(house.named("build", "1", body).await.status, 202);
    house.wired.moved.store(true, Ordering::SeqCst);
    assert_eq!(house.named("build", "1", body).await.status, 200);
    let said = house.settled().await;
    assert_eq!((said.len(), house.handled("help")), (2, 1), "it is not announced again: {said:?}");
    // A name is a hook's own.
    assert_eq!(house.named("other", "1", body).await.status, 202);
}

#[tokio::test]
async fn a_body_is_not_read_where_the_head_proves_nothing() {
    let standard = "secret = { file = \"secret\" }";
    let hub = "secret = { file = \"secret\" }\nsign = \"hub\"";
    let house = House::new(&[hook("standard", standard), hook("hub", hub)], None).await;
    let stale = (Timestamp::now().as_second() - 3600).to_string();
    let stale = format!("webhook-id: 1\r\nwebhook-timestamp: {stale}\r\nwebhook-signature: v1,AAAA\r\n");
    for (hook, headers) in
        [("standard", ""), ("standard", &stale), ("hub", ""), ("hub", "x-hub-signature-256: sha256=z\r\n")]
    {
        let began = std::time::Instant::now();
        // Nothing of the body is sent.
        let head = format!("POST /hooks/{hook} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}");
        let said = house.raw(&format!("{head}content-length: 100\r\n\r\n")).await;
        assert_eq!(said.status, 401, "{hook} {headers}: {said:?}");
        assert!(began.elapsed() < crate::hooks::BODY, "the body was waited for");
    }
}

#[tokio::test]
async fn whoever_does_not_prove_it_learns_nothing() {
    let bare = "token = { file = \"secret\" }\nheader = \"X-Gitlab-Token\"\ndelivery = \"X-Gitlab-Event-UUID\"";
    let standard = "secret = { file = \"secret\" }";
    let hub = "secret = { file = \"secret\" }\nsign = \"hub\"";
    let hooks = [hook("build", TOKEN), hook("bare", bare), hook("standard", standard), hook("hub", hub)];
    let house = House::new(&hooks, None).await;
    let body = r#"{"topic": "whoami"}"#;
    let bearer = format!("Bearer {SECRET}");
    let (forged, at) =
        (format!("sha256={}", hex::encode(signature(&["other"]))), Timestamp::now().as_second().to_string());
    let mut seen = Vec::new();
    for (hook, headers) in [
        ("build", vec![]),
        ("build", vec![("authorization", "Bearer wrong"), ("idempotency-key", "1")]),
        ("build", vec![("authorization", SECRET), ("idempotency-key", "1")]),
        ("build", vec![("authorization", "Bearer "), ("idempotency-key", "1")]),
        // Twice is nowhere.
        ("build", vec![("authorization", bearer.as_str()), ("authorization", "Bearer x"), ("idempotency-key", "1")]),
        ("bare", vec![("authorization", bearer.as_str()), ("idempotency-key", "1")]),
        ("hub", vec![]),
        ("hub", vec![("x-hub-signature-256", forged.as_str())]),
        ("hub", vec![("x-hub-signature-256", "sha256=zz")]),
        ("hub", vec![("x-hub-signature-256", "sha256=")]),
        ("standard", vec![]),
        ("standard", vec![("webhook-id", "1"), ("webhook-timestamp", at.as_str()), ("webhook-signature", "v1,AAAA")]),
        ("standard", vec![("webhook-id", "1"), ("webhook-timestamp", at.as_str()), ("webhook-signature", "")]),
    ] {
        let answered = house.deliver(hook, &headers, body).await;
        assert_eq!(answered.status, 401, "{hook} {headers:?}: {answered:?}");
        seen.push(answered.body);
    }
    seen.dedup();
    assert_eq!(seen, [r#"{"error":"not authorized"}"#]);
    assert_eq!(
        house.deliver("bare", &[("x-gitlab-token", SECRET), ("x-gitlab-event-uuid", "1")], body).await.status,
        202
    );
    assert_eq!(house.settled().await.len(), 2);
}

#[tokio::test]
async fn a_signed_body_is_taken_once_whatever_its_head_says() {
    let house = House::new(&[hook("hub", "secret = { file = \"secret\" }\nsign = \"hub\"")], None).await;
    let body = r#"{"topic": "whoami"}"#;
    let good = format!("sha256={}", hex::encode(signature(&[body])));
    let deliver = async |id: &str, body: &str| {
        house.deliver("hub", &[("x-hub-signature-256", &good), ("x-github-delivery", id)], body).await.status
    };
    assert_eq!(deliver("1", body).await, 202);
    // The header is not signed, so it makes no new delivery of an old one.
    assert_eq!(deliver("2", body).await, 200);
    assert_eq!(deliver("3", r#"{"topic": "jobs"}"#).await, 401);
    house.settled().await;
    assert_eq!(house.handled("help"), 1);
}

#[tokio::test]
async fn a_standard_webhook_is_fresh_signed_and_taken_once() {
    let how = "secret = { file = \"secret\" }\ntolerance = \"1m\"";
    let house = House::new(&[hook("standard", how)], None).await;
    let body = r#"{"topic": "whoami"}"#;
    let deliver = async |id: &str, off: i64, named: &str| {
        let at = (Timestamp::now().as_second() + off).to_string();
        let good = BASE64_STANDARD.encode(signature(&[id, ".", &at, ".", body]));
        // Of several any may fit: so a secret can be changed.
        let signatures = format!("v1,AAAA v1a,{good} v1,{good}");
        let headers = [("webhook-id", named), ("webhook-timestamp", at.as_str()), ("webhook-signature", &signatures)];
        house.deliver("standard", &headers, body).await.status
    };
    assert_eq!(deliver("msg_1", 0, "msg_1").await, 202);
    // Sent again it has a new time and the old name.
    assert_eq!(deliver("msg_1", 20, "msg_1").await, 200);
    assert_eq!(deliver("msg_1", 0, "msg_2").await, 401, "replayed under another name");
    assert_eq!(deliver("msg_3", -90, "msg_3").await, 401, "too old");
    assert_eq!(deliver("msg_4", 90, "msg_4").await, 401, "from the future");
    assert_eq!(deliver("msg_5", 50, "msg_5").await, 202);
    assert_eq!(deliver("a.1", 0, "a.1").await, 401, "a dot would move what is signed");
    house.settled().await;
    assert_eq!(house.handled("help"), 2);
}

#[tokio::test]
async fn a_secret_in_base64_is_its_bytes() {
    let house = House::new(&[], None).await;
    let text = format!("whsec_{}", BASE64_STANDARD.encode(SECRET));
    for (text, good) in [(text.as_str(), true), ("whsec_*", false), ("whsec_", false)] {
        std::fs::write(house.secret(), text).unwrap();
        let opened = House::with_secret(&house.secret()).await;
        assert_eq!(opened.is_ok(), good, "{text}: {opened:?}");
    }
    std::fs::remove_file(house.secret()).unwrap();
    let error = House::with_secret(&house.secret()).await.unwrap_err();
    assert!(error.starts_with("hook `standard` (") && error.contains("cannot be read"), "{error}");
}

impl House {
    /// Whether a signed hook opens with a secret, and takes what was signed with [`SECRET`].
    async fn with_secret(secret: &std::path::Path) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plugins.toml");
        let how = format!("secret = {{ file = {:?} }}", secret.display().to_string());
        std::fs::write(&file, format!("{CONFIG}{}", hook("standard", &how))).unwrap();
        let chat = MemoryChat::new(Abilities::PLAIN);
        let registry = Registry { chats: vec![Arc::new(ReadyChat(chat))], ..Registry::default() };
        let config = read(&file, &registry).map_err(|problems| format!("{problems:?}"))?;
        let engine = Engine::builder(config, Arc::new(MemoryStore::new())).build().await.unwrap();
        let doors = crate::auth::Doors::new(engine.hooks()).map_err(|error| format!("{error:#}"))?;
        let at = Timestamp::now().as_second().to_string();
        let good = format!("v1,{}", BASE64_STANDARD.encode(signature(&["id", ".", &at, ".", "{}"])));
        let mut headers = axum::http::HeaderMap::new();
        for (name, value) in [("webhook-id", "id"), ("webhook-timestamp", &at), ("webhook-signature", &good)] {
            headers.insert(name, value.parse().unwrap());
        }
        let named = doors.get("standard").unwrap().name(&headers, b"{}");
        named.map(drop).map_err(|shut| format!("{shut:?}"))
    }
}

#[tokio::test]
async fn a_secret_that_was_changed_counts_and_the_old_one_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::new(&[hook("build", TOKEN)], None).await;
    let doors = crate::auth::Doors::new(house.engine.hooks()).unwrap();
    let door = doors.get("build").unwrap();
    let let_in = |token: &str| {
        let mut headers = axum::http::HeaderMap::new();
        headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
        door.head(&headers).is_ok()
    };
    assert!(let_in(SECRET) && !let_in("new"));
    std::fs::write(house.secret(), "new\n").unwrap();
    assert!(let_in(SECRET) && !let_in("new"), "it is not read at each delivery");
    door.age();
    assert!(let_in("new") && !let_in(SECRET));
    // One that is being written at this moment leaves the last good one.
    std::fs::write(house.secret(), "").unwrap();
    door.age();
    assert!(let_in("new"));
    drop(folder);
}

#[tokio::test]
async fn what_is_wrong_with_a_delivery_is_told_to_who_may_deliver() {
    let when = format!("{TOKEN}\nwhen = {{ \"/status\" = \"good\" }}");
    let away = hook("away", TOKEN).replace("room = \"ops\"", "room = \"nowhere\"");
    let house = House::new(&[hook("build", TOKEN), hook("when", &when), away], None).await;
    let bearer = format!("Bearer {SECRET}");
    for (body, status, why) in [
        ("", 400, "the body is no JSON"),
        ("{", 400, "the body is no JSON"),
        ("topic=whoami", 400, "the body is no JSON"),
        (&"[".repeat(100_000), 400, "the body is no JSON"),
        ("[]", 400, "the body has no text or number at /topic"),
        (r#"{"topic": null}"#, 400, "the body has no text or number at /topic"),
        (r#"{"topic": ["whoami"]}"#, 400, "the body has no text or number at /topic"),
        (r#"{"topic": {"a": 1}}"#, 400, "the body has no text or number at /topic"),
        (r#"{"topic": "who\nami"}"#, 400, "what the body has at /topic is empty"),
        (r#"{"topic": ""}"#, 400, "what the body has at /topic is empty"),
    ] {
        let answered = house.named("build", "wrong", body).await;
        assert_eq!(answered.status, status, "{body:.40}: {answered:?}");
        assert!(answered.body.contains(why), "{body:.40}: {answered:?}");
    }
    let nameless = house.deliver("build", &[("authorization", &bearer)], r#"{"topic": "whoami"}"#).await;
    assert_eq!((nameless.status, nameless.body.contains("the header Idempotency-Key")), (400, true), "{nameless:?}");
    let form = [
        ("authorization", bearer.as_str()),
        ("idempotency-key", "1"),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    assert_eq!(house.deliver("build", &form, "a=b").await.status, 415);
    let kind = [
        ("authorization", bearer.as_str()),
        ("idempotency-key", "2"),
        ("content-type", "application/vnd.ci+json; charset=utf-8"),
    ];
    assert_eq!(house.deliver("build", &kind, r#"{"topic": "whoami"}"#).await.status, 202);
    let left = house.named("when", "1", r#"{"topic": "whoami", "status": "bad"}"#).await;
    assert_eq!((left.status, left.body.contains(r#""status":"left""#)), (200, true), "{left:?}");
    let away = house.named("away", "1", r#"{"topic": "whoami"}"#).await;
    assert_eq!((away.status, away.head.contains("retry-after: ")), (503, true), "{away:?}");
    assert_eq!(house.deliver("nobody", &[], "{}").await.status, 404);
    let get = house.ask("GET", "/hooks/build", &[], "").await;
    assert_eq!((get.status, get.head.contains("allow: post")), (405, true), "{get:?}");
    assert_eq!(house.ask("GET", "/", &[], "").await.status, 404);
    house.settled().await;
    assert_eq!(house.handled("help"), 1);
}
