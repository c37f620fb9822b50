//! Tests of the limits on the rate, size and time of requests.

use super::*;

#[tokio::test]
async fn a_burst_of_deliveries_runs_each_once_and_does_not_block_the_room() {
    const MANY: usize = 1_000;
    let server = Arc::new(TestServer::new(&[hook("build", TOKEN)], None).await);
    let mut burst = tokio::task::JoinSet::new();
    for number in 0..MANY {
        let server = server.clone();
        burst.spawn(async move {
            let body = format!(r#"{{"topic": "burst-{number}-"}}"#);
            // Each delivery is sent twice at the same time.
            let id = number.to_string();
            let (one, other) = tokio::join!(
                server.deliver_with_token("build", &id, &body),
                server.deliver_with_token("build", &id, &body)
            );
            [one.status, other.status]
        });
    }
    // A person types a command meanwhile.
    server.say("typed", "whoami").await;
    let began = std::time::Instant::now();
    while !server.chat.memory.words().iter().any(|message| message.starts_with("You are zaphod")) {
        assert!(began.elapsed() < Duration::from_secs(30), "the room is blocked");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut statuses = Vec::new();
    while let Some(both) = burst.join_next().await {
        statuses.extend(both.unwrap());
    }
    let count = |status: u16| statuses.iter().filter(|found| **found == status).count();
    assert_eq!(
        (count(202), count(200)),
        (MANY, MANY),
        "{:?}",
        statuses.iter().filter(|s| ![200, 202].contains(*s)).collect::<Vec<_>>()
    );
    server.until_idle().await;
    for number in 0..MANY {
        assert_eq!(server.handled(&format!("burst-{number}-")), 1, "{number}");
    }
}

#[tokio::test]
async fn a_hook_beyond_its_rate_gets_429_with_retry_after() {
    let few = hook("build", TOKEN).replace("100000", "10");
    let server = TestServer::new(&[few, hook("other", TOKEN)], None).await;
    let mut taken = 0;
    for number in 0..30 {
        let response = server.deliver_with_token("build", &number.to_string(), r#"{"topic": "whoami"}"#).await;
        match response.status {
            202 => taken += 1,
            429 => assert!(response.head.contains("retry-after: "), "{response:?}"),
            _ => panic!("{response:?}"),
        }
    }
    assert!((10..13).contains(&taken), "{taken}");
    assert_eq!(
        server.deliver_with_token("other", "1", r#"{"topic": "whoami"}"#).await.status,
        202,
        "each hook has its own limit"
    );
}

#[tokio::test]
async fn failed_authentication_is_rate_limited_apart_from_deliveries() {
    let server = TestServer::new(&[hook("build", TOKEN)], None).await;
    let mut statuses = Vec::new();
    for number in 0..40 {
        statuses.push(server.deliver("build", &[("authorization", "Bearer guess")], "{}").await.status);
        statuses.push(server.deliver(&format!("guess-{number}"), &[], "{}").await.status);
    }
    assert!(statuses[..50].iter().all(|status| *status == 401), "{statuses:?}");
    assert!(statuses[70..].contains(&429), "{statuses:?}");
    assert_eq!(server.deliver_with_token("build", "1", r#"{"topic": "whoami"}"#).await.status, 202);
}

#[tokio::test]
async fn a_body_or_head_beyond_its_limit_is_rejected() {
    let server = TestServer::new(&[hook("build", &format!("{TOKEN}\nmax_bytes = 100"))], None).await;
    let head =
        format!("POST /hooks/build HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {SECRET}\r\nidempotency-key: 1\r\n");
    // The content length alone is enough to reject it.
    let response = server.raw(&format!("{head}content-length: 101\r\n\r\n")).await;
    assert_eq!(response.status, 413, "{response:?}");
    let flood = format!("{:x}\r\n{}\r\n", 4096, "x".repeat(4096)).repeat(64);
    let chunked = server.raw(&format!("{head}transfer-encoding: chunked\r\n\r\n{flood}")).await;
    assert!([413, 0].contains(&chunked.status), "{chunked:?}");
    let body = format!(r#"{{"topic": "whoami"{}}}"#, " ".repeat(100 - 19));
    assert_eq!((body.len(), server.deliver_with_token("build", "2", &body).await.status), (100, 202));
    // The head of a request is limited too.
    let endless = server.raw(&format!("{head}x-long: {}\r\n\r\n", "x".repeat(100_000))).await;
    assert!([431, 0].contains(&endless.status), "{endless:?}");
    server.until_idle().await;
    assert_eq!(server.handled("help"), 1);
}

#[tokio::test]
async fn a_slow_or_idle_connection_is_closed() {
    let server = TestServer::new(&[hook("build", TOKEN)], None).await;
    let head =
        format!("POST /hooks/build HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {SECRET}\r\nidempotency-key: 1\r\n");
    let began = std::time::Instant::now();
    let begun = format!("{head}content-length: 50\r\n\r\n{{");
    let (body, half, silent) =
        tokio::join!(server.raw(&begun), server.raw("POST /hooks/build HTTP/1.1\r\nhost:"), server.raw(""),);
    assert_eq!((body.status, half.status, silent.status), (408, 0, 0), "{body:?} {half:?} {silent:?}");
    // A connection without a further request is closed too.
    let kept = server.raw("GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(kept.status, 200);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    // Idle connections beyond the limit do not block a new one for long: the oldest ones are closed.
    let began = std::time::Instant::now();
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(TcpStream::connect(server.address).await.unwrap());
    }
    assert_eq!(server.request("GET", "/healthz", &[], "").await.status, 200);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}: before the idle connections time out", began.elapsed());
}

#[tokio::test]
async fn slow_bodies_do_not_block_a_delivery() {
    let server = TestServer::new(&[hook("build", TOKEN), hook("hub", HUB)], None).await;
    let head = |hook: &str, header: &str| {
        format!("POST /hooks/{hook} HTTP/1.1\r\nhost: a\r\n{header}\r\ncontent-length: 50\r\n\r\n{{")
    };
    let trusted = head("build", &format!("authorization: Bearer {SECRET}\r\nidempotency-key: 1"));
    // The signature is well-formed and wrong, so the server must read the body.
    let wrong = head("hub", &format!("x-hub-signature-256: sha256={}", "00".repeat(32)));
    let mut slow = Vec::new();
    for head in std::iter::repeat_n(&trusted, 40).chain(std::iter::repeat_n(&wrong, 200)) {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    let body = r#"{"topic": "whoami"}"#;
    let signature = hub_signature(body);
    let signed = [("x-hub-signature-256", signature.as_str())];
    let (token, signed) =
        tokio::join!(server.deliver_with_token("build", "2", body), server.deliver("hub", &signed, body));
    assert_eq!((token.status, signed.status), (202, 202), "{token:?} {signed:?}");
}

#[tokio::test]
async fn failures_of_other_clients_do_not_affect_an_authenticated_delivery() {
    let limited = format!("{TOKEN}\nmax_bytes = 100");
    let server = TestServer::new(&[hook("build", &limited), hook("hub", HUB)], None).await;
    let mut refused = 0;
    for _ in 0..100 {
        refused += usize::from(server.deliver("hub", &[], "{}").await.status == 429);
    }
    assert!(refused > 0, "the limit of failures is reached");
    let body = r#"{"topic": "whoami"}"#;
    let signed = server.deliver("hub", &[("x-hub-signature-256", &hub_signature(body))], body).await;
    assert_eq!(signed.status, 202, "{signed:?}");
    assert_eq!(server.deliver_with_token("build", "1", body).await.status, 202);
    // An authenticated client also gets the reason of its own failure.
    assert_eq!(server.deliver_with_token("build", "2", &" ".repeat(101)).await.status, 413);
}

#[tokio::test]
async fn a_flood_that_renews_its_connections_does_not_block_others() {
    // Many more connections than the server serves at once: the rest waits in the backlog.
    const MANY: usize = 1_800;
    let unfinished_body = format!(
        "POST /hooks/hub HTTP/1.1\r\nhost: a\r\nx-hub-signature-256: sha256={}\r\ncontent-length: 50\r\n\r\n{{",
        "00".repeat(32)
    );
    for begun in ["GET /healthz HTTP/1.1\r\nhost:", &unfinished_body] {
        let server = TestServer::new(&[hook("hub", HUB)], None).await;
        let mut flood = tokio::task::JoinSet::new();
        for _ in 0..MANY {
            let (address, begun) = (server.address, begun.to_owned());
            flood.spawn(async move {
                loop {
                    let Ok(mut stream) = TcpStream::connect(address).await else { continue };
                    let _ = stream.write_all(begun.as_bytes()).await;
                    let _ = stream.read_to_end(&mut Vec::new()).await;
                }
            });
        }
        // The flood has more connections than the server accepts.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let began = std::time::Instant::now();
        for _ in 0..2 {
            let health = server.request("GET", "/healthz", &[], "").await;
            assert_eq!(health.status, 200, "{begun:.40}: {health:?}");
        }
        // With a wait for the timeout of the head or the body of each connection, this would take much longer.
        assert!(began.elapsed() < Duration::from_secs(20), "{begun:.40}: {:?}", began.elapsed());
        flood.shutdown().await;
    }
}
