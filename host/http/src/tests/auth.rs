//! Tests of the authentication and deduplication of webhook deliveries.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::*;

pub(super) fn signature(parts: &[&str]) -> Vec<u8> {
    signature_with(SECRET.as_bytes(), parts)
}

pub(super) fn signature_with(key: &[u8], parts: &[&str]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    parts.iter().for_each(|part| mac.update(part.as_bytes()));
    mac.finalize().into_bytes().to_vec()
}

#[tokio::test]
async fn a_delivery_with_the_token_runs_once_and_is_announced_in_its_room() {
    let server = TestServer::new(&[hook("build", TOKEN)], None).await;
    let first = server.deliver_with_token("build", "1", r#"{"topic": "whoami"}"#).await;
    assert_eq!((first.status, first.body.as_str()), (202, r#"{"status":"taken"}"#));
    let again = server.deliver_with_token("build", "1", r#"{"topic": "jobs"}"#).await;
    assert_eq!((again.status, again.body.starts_with(r#"{"status":"again","why":"#)), (200, true), "{again:?}");
    let messages = server.until_idle().await;
    assert!(messages[0].contains("(hook build): help whoami"), "{messages:?}");
    assert!(messages[1].starts_with("whoami"), "{messages:?}");
    assert_eq!((messages.len(), server.handled("help")), (2, 1));
    assert_eq!(server.deliver_with_token("build", "2", r#"{"topic": "jobs"}"#).await.status, 202);
    // The same id twice at the same moment: one is accepted.
    let body = r#"{"topic": "plugins"}"#;
    let (one, other) =
        tokio::join!(server.deliver_with_token("build", "3", body), server.deliver_with_token("build", "3", body));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 202]);
    server.until_idle().await;
    assert_eq!(server.handled("help plugins"), 1);
}

#[tokio::test]
async fn a_duplicate_is_recognized_after_the_room_has_a_new_id() {
    let server = TestServer::new(&[hook("build", TOKEN), hook("other", TOKEN)], None).await;
    let body = r#"{"topic": "whoami"}"#;
    assert_eq!(server.deliver_with_token("build", "1", body).await.status, 202);
    server.chat.moved.store(true, Ordering::SeqCst);
    assert_eq!(server.deliver_with_token("build", "1", body).await.status, 200);
    let messages = server.until_idle().await;
    assert_eq!((messages.len(), server.handled("help")), (2, 1), "the duplicate is not announced: {messages:?}");
    // Ids are scoped to one hook.
    assert_eq!(server.deliver_with_token("other", "1", body).await.status, 202);
}

#[tokio::test]
async fn a_body_is_not_read_before_the_headers_are_authenticated() {
    let standard = "secret = { file = \"secret\" }";
    let server = TestServer::new(&[hook("standard", standard), hook("hub", HUB)], None).await;
    let stale = (Timestamp::now().as_second() - 3600).to_string();
    let stale = format!("webhook-id: 1\r\nwebhook-timestamp: {stale}\r\nwebhook-signature: v1,AAAA\r\n");
    for (hook, headers) in
        [("standard", ""), ("standard", &stale), ("hub", ""), ("hub", "x-hub-signature-256: sha256=z\r\n")]
    {
        let began = std::time::Instant::now();
        // The body is never sent.
        let head = format!("POST /hooks/{hook} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}");
        let response = server.raw(&format!("{head}content-length: 100\r\n\r\n")).await;
        assert_eq!(response.status, 401, "{hook} {headers}: {response:?}");
        assert!(began.elapsed() < crate::hooks::BODY_TIMEOUT, "the server waited for the body");
    }
}

#[tokio::test]
async fn every_failed_authentication_gets_the_same_response() {
    let bare = "token = { file = \"secret\" }\nheader = \"X-Gitlab-Token\"\ndelivery = \"X-Gitlab-Event-UUID\"";
    let standard = "secret = { file = \"secret\" }";
    let hooks = [hook("build", TOKEN), hook("bare", bare), hook("standard", standard), hook("hub", HUB)];
    let server = TestServer::new(&hooks, None).await;
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
        // A header that occurs twice is ignored.
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
        let response = server.deliver(hook, &headers, body).await;
        assert_eq!(response.status, 401, "{hook} {headers:?}: {response:?}");
        seen.push(response.body);
    }
    seen.dedup();
    assert_eq!(seen, [r#"{"error":"not authorized"}"#]);
    assert_eq!(
        server.deliver("bare", &[("x-gitlab-token", SECRET), ("x-gitlab-event-uuid", "1")], body).await.status,
        202
    );
    assert_eq!(server.until_idle().await.len(), 2);
}

#[tokio::test]
async fn the_response_to_an_unauthenticated_client_does_not_reveal_whether_a_hook_exists() {
    let server = TestServer::new(&[hook("build", TOKEN), hook("hub", HUB)], None).await;
    let forged = format!("x-hub-signature-256: {}\r\n", hub_signature("other"));
    let too_long = "content-length: 1000000\r\n\r\n".to_owned();
    let chunk = format!("{:x}\r\n{}\r\n", 4096, "x".repeat(4096));
    let chunked = format!("transfer-encoding: chunked\r\n\r\n{}", chunk.repeat(65));
    let broken = "transfer-encoding: chunked\r\n\r\nzz\r\n".to_owned();
    let unfinished = "content-length: 10\r\n\r\n{".to_owned();
    let whole = "content-length: 2\r\n\r\n{}".to_owned();
    let mut seen = Vec::new();
    for body in [whole, too_long, chunked, broken, unfinished] {
        for (hook, headers) in [
            ("nobody", ""),
            ("nobody", &forged),
            ("build", ""),
            ("build", "authorization: Bearer wrong\r\n"),
            ("hub", ""),
            ("hub", &forged),
        ] {
            let head = format!("POST /hooks/{hook} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}");
            let response = server.raw(&format!("{head}{body}")).await;
            // The server may reset the connection before this side has sent the whole body.
            if response.status == 0 {
                continue;
            }
            let head: Vec<_> = response.head.lines().filter(|line| !line.starts_with("date: ")).collect();
            seen.push((format!("{hook} {headers} {body:.60}"), head.join("\n"), response.body));
        }
    }
    assert!(seen.len() > 20, "{seen:#?}");
    let (_, head, body) = &seen[0];
    assert!(head.starts_with("http/1.1 401 ") && body == r#"{"error":"not authorized"}"#, "{head} {body}");
    for (request, other_head, other_body) in &seen {
        assert_eq!((other_head, other_body), (head, body), "{request}");
    }
    // The response to a client with the token names the problem.
    let bearer = format!("authorization: Bearer {SECRET}\r\nidempotency-key: 1\r\n");
    let head = format!("POST /hooks/build HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{bearer}");
    assert_eq!(server.raw(&format!("{head}content-length: 1000000\r\n\r\n")).await.status, 413);
}

#[tokio::test]
async fn the_handling_of_a_body_does_not_reveal_whether_a_hook_exists() {
    let standard = "secret = { file = \"secret\" }\ntolerance = \"1m\"";
    let small = format!("{HUB}\nmax_bytes = 100");
    let hooks = [hook("build", TOKEN), hook("hub", HUB), hook("small", &small), hook("standard", standard)];
    let server = TestServer::new(&hooks, None).await;
    let hub = format!("x-hub-signature-256: {}\r\n", hub_signature("other"));
    let at = Timestamp::now().as_second().to_string();
    let standard = format!("webhook-id: 1\r\nwebhook-timestamp: {at}\r\nwebhook-signature: v1,AAAA\r\n");
    let limit = crate::hooks::BODY_TIMEOUT;
    for (headers, body, is_read) in [
        (hub.as_str(), "expect: 100-continue\r\ncontent-length: 10\r\n\r\n", true),
        // The body is larger than the limit of one hook.
        (&hub, "expect: 100-continue\r\ncontent-length: 1000\r\n\r\n", true),
        (&standard, "expect: 100-continue\r\ncontent-length: 10\r\n\r\n", true),
        (&hub, "content-length: 10\r\n\r\n{", true),
        ("", "expect: 100-continue\r\ncontent-length: 10\r\n\r\n", false),
        ("authorization: Bearer wrong\r\n", "content-length: 10\r\n\r\n{", false),
        (&hub, "expect: 100-continue\r\ncontent-length: 10000000\r\n\r\n", false),
    ] {
        let mut seen = Vec::new();
        for hook in ["nobody", "build", "hub", "small", "standard"] {
            let began = std::time::Instant::now();
            let head = format!("POST /hooks/{hook} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}");
            let response = server.raw(&format!("{head}{body}")).await;
            let lines: Vec<String> = response.head.lines().chain(response.body.lines()).map(str::to_owned).collect();
            let lines = lines.into_iter().filter(|line| !line.to_ascii_lowercase().starts_with("date: "));
            assert!(
                !is_read || began.elapsed() >= limit,
                "{hook} {headers}{body}: the server did not wait for the body"
            );
            seen.push(lines.collect::<Vec<_>>());
        }
        let case = format!("{headers}{body}");
        assert!(seen.iter().all(|one| *one == seen[0]), "{case}: {seen:#?}");
        let continues = seen[0][0].starts_with("http/1.1 100 ");
        assert_eq!(continues, is_read && body.starts_with("expect"), "{case}: {seen:#?}");
    }
    // A body above a hook's own limit does not pass, also with a valid signature.
    let body = format!(r#"{{"topic": "whoami"{}}}"#, " ".repeat(100));
    let signature = hub_signature(&body);
    assert_eq!(server.deliver("small", &[("x-hub-signature-256", &signature)], &body).await.status, 401);
    assert_eq!(server.deliver("hub", &[("x-hub-signature-256", &signature)], &body).await.status, 202);
    // A token is not replaced by a signature.
    assert_eq!(server.deliver("build", &[("x-hub-signature-256", &signature)], &body).await.status, 401);
}

#[tokio::test]
async fn a_signed_body_is_deduplicated_by_its_content() {
    let server = TestServer::new(&[hook("hub", HUB)], None).await;
    let body = r#"{"topic": "whoami"}"#;
    let good = hub_signature(body);
    let deliver = async |id: &str, body: &str| {
        server.deliver("hub", &[("x-hub-signature-256", &good), ("x-github-delivery", id)], body).await.status
    };
    assert_eq!(deliver("1", body).await, 202);
    // The signature does not cover the id header, so a new id does not make a new delivery.
    assert_eq!(deliver("2", body).await, 200);
    assert_eq!(deliver("3", r#"{"topic": "jobs"}"#).await, 401);
    server.until_idle().await;
    assert_eq!(server.handled("help"), 1);
}

#[tokio::test]
async fn a_standard_webhook_is_checked_for_age_signature_and_id() {
    let how = "secret = { file = \"secret\" }\ntolerance = \"1m\"";
    let server = TestServer::new(&[hook("standard", how)], None).await;
    let body = r#"{"topic": "whoami"}"#;
    let deliver = async |id: &str, off: i64, named: &str| {
        let at = (Timestamp::now().as_second() + off).to_string();
        let good = BASE64_STANDARD.encode(signature(&[id, ".", &at, ".", body]));
        // One valid signature among several is enough, so that a sender can rotate its secret.
        let signatures = format!("v1,AAAA v1a,{good} v1,{good}");
        let headers = [("webhook-id", named), ("webhook-timestamp", at.as_str()), ("webhook-signature", &signatures)];
        server.deliver("standard", &headers, body).await.status
    };
    assert_eq!(deliver("msg_1", 0, "msg_1").await, 202);
    // A retry has a new timestamp and the same id.
    assert_eq!(deliver("msg_1", 20, "msg_1").await, 200);
    assert_eq!(deliver("msg_1", 0, "msg_2").await, 401, "replayed with another id");
    assert_eq!(deliver("msg_3", -90, "msg_3").await, 401, "too old");
    assert_eq!(deliver("msg_4", 90, "msg_4").await, 401, "from the future");
    assert_eq!(deliver("msg_5", 50, "msg_5").await, 202);
    assert_eq!(deliver("a.1", 0, "a.1").await, 401, "a dot makes the signed text ambiguous");
    server.until_idle().await;
    assert_eq!(server.handled("help"), 2);
}

#[tokio::test]
async fn a_whsec_secret_is_decoded_from_base64() {
    let server = TestServer::new(&[], None).await;
    let text = format!("whsec_{}", BASE64_STANDARD.encode(SECRET));
    for (text, good) in [(text.as_str(), true), ("whsec_*", false), ("whsec_", false)] {
        std::fs::write(server.secret(), text).unwrap();
        let opened = TestServer::with_secret(&server.secret()).await;
        assert_eq!(opened.is_ok(), good, "{text}: {opened:?}");
    }
    std::fs::remove_file(server.secret()).unwrap();
    let error = TestServer::with_secret(&server.secret()).await.unwrap_err();
    assert!(error.starts_with("hook `standard` (") && error.contains("cannot be read"), "{error}");
}

impl TestServer {
    /// Creates a hook whose secret is in the file `secret`, and sends it a delivery that is signed with [`SECRET`].
    /// Returns an error if the hook cannot be created or rejects the delivery.
    async fn with_secret(secret: &std::path::Path) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plugins.toml");
        let how = format!("secret = {{ file = {:?} }}", secret.display().to_string());
        std::fs::write(&file, format!("{CONFIG}{}", hook("standard", &how))).unwrap();
        let chat = MemoryChat::new(ChatFeatures::PLAIN);
        let builder = Engine::builder().chat(chat);
        let config = builder.read(&file).map_err(|error| error.to_string())?;
        let engine = builder.build(config, Arc::new(MemoryStore::new())).await.unwrap();
        let endpoints = crate::endpoint::endpoints(engine.hooks()).map_err(|error| format!("{error:#}"))?;
        let at = Timestamp::now().as_second().to_string();
        let good = format!("v1,{}", BASE64_STANDARD.encode(signature(&["id", ".", &at, ".", "{}"])));
        let mut headers = axum::http::HeaderMap::new();
        for (name, value) in [("webhook-id", "id"), ("webhook-timestamp", &at), ("webhook-signature", &good)] {
            headers.insert(name, value.parse().unwrap());
        }
        let id = endpoints["standard"].auth.signed_id(&headers, b"{}");
        id.map(drop).map_err(|error| format!("{error:?}"))
    }
}

#[tokio::test]
async fn a_rotated_secret_replaces_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::new(&[hook("build", TOKEN)], None).await;
    let endpoints = crate::endpoint::endpoints(server.engine.hooks()).unwrap();
    let endpoint = &endpoints["build"];
    let accepts = |token: &str| {
        let mut headers = axum::http::HeaderMap::new();
        headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
        endpoint.auth.check_headers(&headers).is_ok()
    };
    assert!(accepts(SECRET) && !accepts("new"));
    std::fs::write(server.secret(), "new\n").unwrap();
    assert!(accepts(SECRET) && !accepts("new"), "the secret is cached");
    endpoint.auth.expire_cache();
    assert!(accepts("new") && !accepts(SECRET));
    // A rotation may still be writing an empty file: the last valid secret stays in use.
    std::fs::write(server.secret(), "").unwrap();
    endpoint.auth.expire_cache();
    assert!(accepts("new"));
    drop(folder);
}

#[tokio::test]
async fn the_response_to_an_authenticated_client_names_the_problem() {
    let when = format!("{TOKEN}\nwhen = {{ \"/status\" = \"good\" }}");
    let away = hook("away", TOKEN).replace("room = \"ops\"", "room = \"nowhere\"");
    let server = TestServer::new(&[hook("build", TOKEN), hook("when", &when), away], None).await;
    let bearer = format!("Bearer {SECRET}");
    for (body, status, why) in [
        ("", 400, "the body is not JSON"),
        ("{", 400, "the body is not JSON"),
        ("topic=whoami", 400, "the body is not JSON"),
        (&"[".repeat(100_000), 400, "the body is not JSON"),
        ("[]", 400, "the value at `/topic` in the body is missing"),
        (r#"{"topic": null}"#, 400, "the value at `/topic` in the body is null"),
        (r#"{"topic": ["whoami"]}"#, 400, "the value at `/topic` in the body is an array"),
        (r#"{"topic": {"a": 1}}"#, 400, "the value at `/topic` in the body is an object"),
        (r#"{"topic": true}"#, 400, "the value at `/topic` in the body is a boolean"),
        (r#"{"topic": "whoami", "topic": "jobs"}"#, 400, "an object has the key `topic` twice"),
        (r#"{"topic": "who\nami"}"#, 400, "the value at `/topic` in the body is empty"),
        (r#"{"topic": ""}"#, 400, "the value at `/topic` in the body is empty"),
    ] {
        let response = server.deliver_with_token("build", "wrong", body).await;
        assert_eq!(response.status, status, "{body:.40}: {response:?}");
        assert!(response.body.contains(why), "{body:.40}: {response:?}");
    }
    let nameless = server.deliver("build", &[("authorization", &bearer)], r#"{"topic": "whoami"}"#).await;
    assert_eq!(
        (nameless.status, nameless.body.contains("the header `Idempotency-Key` must contain the delivery's id")),
        (400, true),
        "{nameless:?}"
    );
    let form = [
        ("authorization", bearer.as_str()),
        ("idempotency-key", "1"),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    assert_eq!(server.deliver("build", &form, "a=b").await.status, 400);
    let kind = [("authorization", bearer.as_str()), ("idempotency-key", "1"), ("content-type", "text/plain")];
    assert_eq!(server.deliver("build", &kind, "{}").await.status, 415);
    let kind = [
        ("authorization", bearer.as_str()),
        ("idempotency-key", "2"),
        ("content-type", "application/vnd.ci+json; charset=utf-8"),
    ];
    assert_eq!(server.deliver("build", &kind, r#"{"topic": "whoami"}"#).await.status, 202);
    let left = server.deliver_with_token("when", "1", r#"{"topic": "whoami", "status": "bad"}"#).await;
    assert_eq!((left.status, left.body.contains(r#""status":"left""#)), (200, true), "{left:?}");
    let away = server.deliver_with_token("away", "1", r#"{"topic": "whoami"}"#).await;
    assert_eq!((away.status, away.head.contains("retry-after: ")), (503, true), "{away:?}");
    assert_eq!(server.deliver("nobody", &[], "{}").await.status, 401);
    let get = server.request("GET", "/hooks/build", &[], "").await;
    assert_eq!((get.status, get.head.contains("allow: post")), (405, true), "{get:?}");
    assert_eq!(server.request("GET", "/", &[], "").await.status, 404);
    server.until_idle().await;
    assert_eq!(server.handled("help"), 1);
}
