//! Storms, floods and those who dawdle.

use super::*;

#[tokio::test]
async fn a_storm_is_done_once_each_and_holds_nobody_up() {
    const MANY: usize = 1_000;
    let house = Arc::new(House::new(&[hook("build", TOKEN)], None).await);
    let mut storm = tokio::task::JoinSet::new();
    for number in 0..MANY {
        let house = house.clone();
        storm.spawn(async move {
            let body = format!(r#"{{"topic": "storm-{number}-"}}"#);
            // Each is sent again while the first is still on its way.
            let name = number.to_string();
            let (one, other) = tokio::join!(house.named("build", &name, &body), house.named("build", &name, &body));
            [one.status, other.status]
        });
    }
    // Somebody types meanwhile.
    house.say("typed", "whoami").await;
    let began = std::time::Instant::now();
    while !house.wired.chat.words().iter().any(|said| said.starts_with("You are zaphod")) {
        assert!(began.elapsed() < Duration::from_secs(30), "the room is blocked");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut statuses = Vec::new();
    while let Some(both) = storm.join_next().await {
        statuses.extend(both.unwrap());
    }
    let count = |status: u16| statuses.iter().filter(|found| **found == status).count();
    assert_eq!(
        (count(202), count(200)),
        (MANY, MANY),
        "{:?}",
        statuses.iter().filter(|s| ![200, 202].contains(*s)).collect::<Vec<_>>()
    );
    house.settled().await;
    for number in 0..MANY {
        assert_eq!(house.handled(&format!("storm-{number}-")), 1, "{number}");
    }
}

#[tokio::test]
async fn a_hook_takes_so_many_a_minute_and_says_when_it_takes_more() {
    let few = hook("build", TOKEN).replace("100000", "10");
    let house = House::new(&[few, hook("other", TOKEN)], None).await;
    let mut taken = 0;
    for number in 0..30 {
        let answered = house.named("build", &number.to_string(), r#"{"topic": "whoami"}"#).await;
        match answered.status {
            202 => taken += 1,
            429 => assert!(answered.head.contains("retry-after: "), "{answered:?}"),
            _ => panic!("{answered:?}"),
        }
    }
    assert!((10..13).contains(&taken), "{taken}");
    assert_eq!(house.named("other", "1", r#"{"topic": "whoami"}"#).await.status, 202, "it has a measure of its own");
}

#[tokio::test]
async fn who_guesses_is_turned_away_and_others_are_not() {
    let house = House::new(&[hook("build", TOKEN)], None).await;
    let mut statuses = Vec::new();
    for number in 0..40 {
        statuses.push(house.deliver("build", &[("authorization", "Bearer guess")], "{}").await.status);
        statuses.push(house.deliver(&format!("guess-{number}"), &[], "{}").await.status);
    }
    assert!(statuses[..50].iter().all(|status| [401, 404].contains(status)), "{statuses:?}");
    assert!(statuses[70..].contains(&429), "{statuses:?}");
    assert_eq!(house.named("build", "1", r#"{"topic": "whoami"}"#).await.status, 202);
}

#[tokio::test]
async fn a_large_body_is_not_read() {
    let house = House::new(&[hook("build", &format!("{TOKEN}\nmax_bytes = 100"))], None).await;
    let head =
        format!("POST /hooks/build HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {SECRET}\r\nidempotency-key: 1\r\n");
    // Nothing of it is sent, and it is refused all the same.
    let said = house.raw(&format!("{head}content-length: 101\r\n\r\n")).await;
    assert_eq!(said.status, 413, "{said:?}");
    let flood = format!("{:x}\r\n{}\r\n", 4096, "x".repeat(4096)).repeat(64);
    let chunked = house.raw(&format!("{head}transfer-encoding: chunked\r\n\r\n{flood}")).await;
    assert!([413, 0].contains(&chunked.status), "{chunked:?}");
    let body = format!(r#"{{"topic": "whoami"{}}}"#, " ".repeat(100 - 19));
    assert_eq!((body.len(), house.named("build", "2", &body).await.status), (100, 202));
    // A head has an end too.
    let endless = house.raw(&format!("{head}x-long: {}\r\n\r\n", "x".repeat(100_000))).await;
    assert!([431, 0].contains(&endless.status), "{endless:?}");
    house.settled().await;
    assert_eq!(house.handled("help"), 1);
}

#[tokio::test]
async fn who_dawdles_is_cut_off() {
    let house = House::new(&[hook("build", TOKEN)], None).await;
    let head =
        format!("POST /hooks/build HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {SECRET}\r\nidempotency-key: 1\r\n");
    let began = std::time::Instant::now();
    let begun = format!("{head}content-length: 50\r\n\r\n{{");
    let (body, half, silent) =
        tokio::join!(house.raw(&begun), house.raw("POST /hooks/build HTTP/1.1\r\nhost:"), house.raw(""),);
    assert_eq!((body.status, half.status, silent.status), (408, 0, 0), "{body:?} {half:?} {silent:?}");
    // A connection that said all it had to say does not stay either.
    let kept = house.raw("GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(kept.status, 200);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    // Many of them leave room for others.
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(TcpStream::connect(house.address).await.unwrap());
    }
    assert_eq!(house.ask("GET", "/healthz", &[], "").await.status, 200);
}
