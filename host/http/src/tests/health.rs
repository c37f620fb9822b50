//! Tests of the health checks, the metrics and the shutdown.

use std::collections::BTreeSet;

use wardroom::metrics::TABLE;

use super::*;

#[tokio::test]
async fn the_host_is_ready_while_every_account_is_connected() {
    let server = TestServer::new(&[], None).await;
    let ready = async || {
        let response = server.request("GET", "/readyz", &[], "").await;
        (response.status, serde_json::from_str::<serde_json::Value>(&response.body).unwrap())
    };
    let (status, body) = ready().await;
    assert_eq!((status, &body["ready"]), (503, &false.into()), "{body}");
    assert!(body["accounts"][0]["since"].is_string(), "{body}");
    server.chat.link.up();
    let (status, body) = ready().await;
    assert_eq!((status, &body["ready"]), (200, &true.into()), "{body}");
    assert_eq!((&body["accounts"][0]["bot"], &body["accounts"][0]["network"]), (&"marvin".into(), &"memory".into()));
    server.chat.link.down("the server closed it\u{202e}");
    let (status, body) = ready().await;
    assert_eq!((status, &body["accounts"][0]["up"]), (503, &false.into()), "{body}");
    // The reason may contain names of internal servers, so the response leaves it out.
    assert!(!body.to_string().contains("closed it"), "{body}");
    server.chat.link.up();
    assert_eq!(ready().await.0, 200);
    // An account that may not send to a room is up, but not ready. The response does not name the room.
    let permissions = server.chat.send_permissions().unwrap();
    permissions.block("ops", "read-only");
    let (status, body) = ready().await;
    assert_eq!((status, &body["accounts"][0]["up"]), (503, &true.into()), "{body}");
    assert_eq!(body["accounts"][0]["blocked_rooms"], 1, "{body}");
    assert!(!body.to_string().contains("read-only"), "{body}");
    permissions.allow("ops");
    assert_eq!(ready().await.0, 200);
    // Liveness does not depend on connections.
    assert_eq!(server.request("GET", "/healthz", &[], "").await.status, 200);
}

#[tokio::test]
async fn metrics_are_those_of_the_table_and_hold_no_text_from_outside() {
    let recorder = recorder().unwrap();
    let _here = ::metrics::set_default_local_recorder(&recorder);
    let server = TestServer::new(&[hook("build", TOKEN)], Some(Metrics::of(&recorder))).await;
    server.chat.link.up();
    server.say("1", "whoami").await;
    server.say("2", "xyzzy-word").await;
    server.say("3", "help xyzzy-topic").await;
    server.deliver_with_token("build", "xyzzy-name", r#"{"topic": "xyzzy-hook"}"#).await;
    server.deliver("xyzzy-guess", &[], "xyzzy").await;
    server.until_idle().await;
    server.chat.link.down("xyzzy-reason");
    server.chat.link.up();
    let text = server.request("GET", "/metrics", &[], "").await;
    assert_eq!((text.status, text.head.contains("content-type: text/plain")), (200, true), "{}", text.head);
    let text = text.body;
    for word in ["xyzzy", "zaphod", "\"ops\"", SECRET] {
        assert!(!text.contains(word), "{word}\n{text}");
    }
    let names: BTreeSet<String> = TABLE
        .iter()
        .flat_map(|metric| match metric.buckets() {
            Some(_) => ["_bucket", "_sum", "_count"].map(|end| format!("{}{end}", metric.name)).to_vec(),
            None => vec![metric.name.to_owned()],
        })
        .collect();
    let labels: BTreeSet<&str> = TABLE.iter().flat_map(|metric| metric.label_names()).chain(["le"]).collect();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        assert!(names.contains(name), "{line}");
        let inner = line.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or("", |(inner, _)| inner);
        for label in inner.split("\",").filter(|label| !label.is_empty()) {
            assert!(labels.contains(label.split('=').next().unwrap()), "{line}");
        }
    }
    for line in [
        "wardroom_commands_total{outcome=\"answered\"} 3",
        "wardroom_commands_total{outcome=\"malformed\"} 1",
        "wardroom_first_answer_seconds_count{network=\"memory\"} 3",
        "wardroom_hooks_total{hook=\"build\",answer=\"taken\"} 1",
        "wardroom_hooks_total{hook=\"\",answer=\"unknown\"} 1",
        "wardroom_link_up{bot=\"marvin\",network=\"memory\"} 1",
        "wardroom_reconnects_total{bot=\"marvin\",network=\"memory\"} 1",
        "wardroom_jobs{phase=\"held\"} 0",
        "wardroom_overdue_wake_seconds 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    let requests = "wardroom_outbound_requests_total{target=\"memory\",method=\"say\",status=\"ok\",success=\"true\"} ";
    assert!(text.contains(requests), "{text}");
}

#[tokio::test]
async fn shutdown_finishes_requests_in_progress_and_accepts_no_new_ones() {
    let mut server = TestServer::new(&[hook("build", TOKEN)], None).await;
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    let head =
        format!("POST /hooks/build HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {SECRET}\r\nidempotency-key: 1\r\n");
    let body = r#"{"topic": "whoami"}"#;
    slow.write_all(format!("{head}content-length: {}\r\n\r\n{}", body.len(), &body[..5]).as_bytes()).await.unwrap();
    // The server is reading the body.
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.stop.cancel();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(TcpStream::connect(server.address).await.is_err(), "no new connection is accepted");
    slow.write_all(&body.as_bytes()[5..]).await.unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.unwrap();
    // The delivery is stored, and handled at the next start.
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    for task in server.tasks.drain(..) {
        tokio::time::timeout(Duration::from_secs(10), task).await.unwrap().unwrap();
    }
    use wardroom::store::Store as _;
    assert_eq!(server.store.unhandled().await.unwrap().len(), 1);
}
