//! Tests of what real senders do: their signature headers, secrets, tests of the connection, forms and large bodies.

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{auth::signature_with, *};

const BODY: &str = r#"{"topic": "whoami"}"#;

fn hex_signature(body: &str) -> String {
    hub_signature(body).trim_start_matches("sha256=").to_owned()
}

#[tokio::test]
async fn the_signature_headers_of_code_hosts_are_verified() {
    let custom = format!("{HUB}\nheader = \"X-Grafana-Alerting-Signature\"");
    let server = TestServer::new(&[hook("hub", HUB), hook("custom", &custom)], None).await;
    let bodies: Vec<String> = (0..9).map(|number| format!(r#"{{"topic": "whoami", "n": {number}}}"#)).collect();
    let signed = |number: usize| (hub_signature(&bodies[number]), hex_signature(&bodies[number]));
    let sha1 = "sha1=0928dc6cc900cb659cd839f6e319fcf515fa5410";
    for (number, name, headers) in [
        (0, "hub", vec![("x-hub-signature-256", signed(0).0)]),
        // Bitbucket.
        (1, "hub", vec![("x-hub-signature", signed(1).0)]),
        // GitHub and Gitea send SHA-1, too.
        (2, "hub", vec![("x-hub-signature", sha1.to_owned()), ("x-hub-signature-256", signed(2).0)]),
        (3, "hub", vec![("x-gitea-signature", signed(3).1), ("x-hub-signature", sha1.to_owned())]),
        (4, "hub", vec![("x-forgejo-signature", signed(4).1)]),
        (5, "hub", vec![("x-gogs-signature", signed(5).1.to_uppercase())]),
        // HaloPSA.
        (6, "hub", vec![("x-hub-signature-256", format!("sha256= {}", signed(6).1))]),
        (7, "custom", vec![("x-grafana-alerting-signature", signed(7).1)]),
    ] {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let response = server.deliver(name, &headers, &bodies[number]).await;
        assert_eq!(response.status, 202, "{name} {headers:?}: {response:?}");
    }
    // A signature in another header than the one that counts is not looked for.
    let (good, digits) = signed(8);
    for (name, headers) in [
        ("hub", vec![("x-hub-signature", sha1)]),
        ("hub", vec![("x-hub-signature-256", sha1), ("x-hub-signature", good.as_str())]),
        ("hub", vec![("x-gitea-signature", ""), ("x-forgejo-signature", digits.as_str())]),
        ("hub", vec![("x-gitea-signature", digits.as_str()), ("x-gitea-signature", digits.as_str())]),
        ("hub", vec![("x-gitea-signature", &digits[..32])]),
        ("custom", vec![("x-hub-signature-256", good.as_str())]),
    ] {
        let response = server.deliver(name, &headers, &bodies[8]).await;
        assert_eq!(response.status, 401, "{name} {headers:?}: {response:?}");
    }
    server.until_idle().await;
    assert_eq!(server.handled("help"), 8);
}

#[tokio::test]
async fn a_test_of_the_connection_is_answered_200_and_starts_nothing() {
    let token = "token = { file = \"secret\" }\nheader = \"Authorization\"";
    let server = TestServer::new(&[hook("hub", HUB), hook("token", token)], None).await;
    let zen = r#"{"zen": "Design for failure.", "hook_id": 1, "hook": {}}"#;
    let signed = hub_signature(zen);
    let headers = [("x-hub-signature-256", signed.as_str()), ("x-github-event", "ping")];
    let form = format!("payload={}", zen.replace('"', "%22"));
    let signed_form = hub_signature(&form);
    let form_headers = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("x-hub-signature-256", signed_form.as_str()),
        ("x-github-event", "ping"),
    ];
    let bitbucket = [("x-event-key", "diagnostics:ping")];
    let empty = hub_signature("");
    let signed_bitbucket = [("x-event-key", "diagnostics:ping"), ("x-hub-signature", empty.as_str())];
    for (name, headers, body) in [
        ("hub", &headers[..], zen),
        ("hub", &form_headers[..], &form),
        ("hub", &signed_bitbucket[..], ""),
        // Bitbucket Data Center does not sign this message. The answer is the same for every name.
        ("hub", &bitbucket[..], r#"{"test": true}"#),
        ("nobody", &bitbucket[..], ""),
        ("token", &[("authorization", SECRET), ("x-event-key", "diagnostics:ping")][..], ""),
    ] {
        let response = server.deliver(name, headers, body).await;
        let expected = r#"{"status":"left","why":"the sender tests the connection; this starts no command"}"#;
        assert_eq!((response.status, response.body.as_str()), (200, expected), "{name} {headers:?}");
    }
    // A ping of another kind, or with a wrong signature, is not trusted.
    for headers in [
        vec![("x-github-event", "ping")],
        vec![("x-event-key", "diagnostics:ping"), ("x-hub-signature", hub_signature("other").as_str())],
        vec![("x-event-key", "diagnostics:ping"), ("authorization", "Bearer wrong")],
    ] {
        assert_eq!(server.deliver("hub", &headers, "").await.status, 401, "{headers:?}");
    }
    // A host without such a hook does not answer the unsigned message.
    let without = TestServer::new(&[hook("build", TOKEN)], None).await;
    assert_eq!(without.deliver("build", &bitbucket, "").await.status, 401);
    // The unsigned message counts towards the limit of unauthenticated requests.
    let mut statuses = Vec::new();
    for _ in 0..70 {
        statuses.push(server.deliver("hub", &bitbucket, "").await.status);
    }
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(server.handled("help"), 0);
}

#[tokio::test]
async fn the_json_of_a_form_is_accepted_with_the_signature_of_the_form_or_of_the_json() {
    let server = TestServer::new(&[hook("hub", HUB)], None).await;
    let form = |json: &str| format!("payload={}", json.replace('"', "%22").replace(' ', "+"));
    let deliver = async |body: &str, signature: &str| {
        let headers = [("content-type", "application/x-www-form-urlencoded"), ("x-hub-signature-256", signature)];
        server.deliver("hub", &headers, body).await.status
    };
    // GitHub signs the form, and Gitea the JSON in it.
    let (one, other) = (r#"{"topic": "whoami", "n": 1}"#, r#"{"topic": "whoami", "n": 2}"#);
    assert_eq!(deliver(&form(one), &hub_signature(&form(one))).await, 202);
    assert_eq!(deliver(&form(other), &hub_signature(other)).await, 202);
    // The same JSON with another form around it is the same delivery.
    assert_eq!(deliver(&format!("a=b&{}", form(other)), &hub_signature(other)).await, 200);
    assert_eq!(deliver(&form(one), &hub_signature(other)).await, 401);
    // Of two fields, neither is trusted.
    let two = format!("{}&payload=%7B%7D", form(other));
    assert_eq!(deliver(&two, &hub_signature(other)).await, 401);
    server.until_idle().await;
    assert_eq!(server.handled("help"), 2);
}

#[tokio::test]
async fn signed_json_that_is_sent_as_a_form_starts_no_command() {
    let server = TestServer::new(&[hook("hub", HUB), hook("standard", "secret = { file = \"secret\" }")], None).await;
    let body = r#"{"topic":"other","message":"x&payload=%7B%22topic%22%3A%22whoami%22%7D&y"}"#;
    let form = ("content-type", "application/x-www-form-urlencoded");
    for body in [body.to_owned(), format!("\u{feff}\n {body}"), format!("[{body}]")] {
        let signed = hub_signature(&body);
        let response = server.deliver("hub", &[form, ("x-hub-signature-256", &signed)], &body).await;
        assert_eq!(response.status, 400, "{body}: {response:?}");
        let at = Timestamp::now().as_second().to_string();
        let good = BASE64_STANDARD.encode(signature_with(SECRET.as_bytes(), &["id", ".", &at, ".", &body]));
        let good = format!("v1,{good}");
        let headers = [form, ("webhook-id", "id"), ("webhook-timestamp", &at), ("webhook-signature", &good)];
        let response = server.deliver("standard", &headers, &body).await;
        assert_eq!(response.status, 400, "{body}: {response:?}");
    }
    // Only the signatures of code hosts can cover the JSON in a form.
    let (json, at) = (r#"{"topic": "whoami"}"#, Timestamp::now().as_second().to_string());
    let good = BASE64_STANDARD.encode(signature_with(SECRET.as_bytes(), &["id", ".", &at, ".", json]));
    let good = format!("v1,{good}");
    let headers = [form, ("webhook-id", "id"), ("webhook-timestamp", &at), ("webhook-signature", &good)];
    let response = server.deliver("standard", &headers, "payload=%7B%22topic%22:+%22whoami%22%7D").await;
    assert_eq!(response.status, 401, "{response:?}");
    server.until_idle().await;
    assert_eq!(server.handled("help"), 0);
}

#[tokio::test]
async fn a_token_and_a_secret_can_be_rotated_with_both_in_use() {
    let with_previous = |how: &str| format!("{how}previous = {{ file = \"old\" }}\n");
    let hooks = [hook("build", TOKEN), hook("hub", HUB), hook("standard", "secret = { file = \"secret\" }")];
    let hooks: Vec<String> = hooks.iter().map(|text| with_previous(text)).collect();
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("old");
    std::fs::write(&old, "old secret\n").unwrap();
    let hooks: Vec<String> = hooks.iter().map(|text| text.replace("\"old\"", &format!("{old:?}"))).collect();
    let server = TestServer::new(&hooks, None).await;
    for (number, secret, status) in [(1, SECRET, 202), (2, "old secret", 202), (3, "other", 401)] {
        let body = format!(r#"{{"topic": "whoami", "n": {number}}}"#);
        let id = number.to_string();
        let bearer = format!("Bearer {secret}");
        let token = server.deliver("build", &[("authorization", &bearer), ("idempotency-key", &id)], &body).await;
        let hub = format!("sha256={}", hex::encode(signature_with(secret.as_bytes(), &[&body])));
        let hub = server.deliver("hub", &[("x-hub-signature-256", &hub)], &body).await;
        let at = Timestamp::now().as_second().to_string();
        let good = BASE64_STANDARD.encode(signature_with(secret.as_bytes(), &[&id, ".", &at, ".", &body]));
        let good = format!("v1,{good}");
        let standard =
            [("webhook-id", id.as_str()), ("webhook-timestamp", at.as_str()), ("webhook-signature", good.as_str())];
        let standard = server.deliver("standard", &standard, &body).await;
        assert_eq!([token.status, hub.status, standard.status], [status; 3], "{secret}");
    }
}

#[tokio::test]
async fn conditions_and_values_come_from_headers_and_patterns() {
    let how = format!(
        "{HUB}\nwhen = {{ \"header:X-GitHub-Event\" = [\"push\", \"create\"] }}\n[hook.capture]\n\
         topic = {{ pointer = \"/ref\", pattern = 'refs/tags/v(.+)' }}"
    );
    let text = hook("push", &how).replace("capture = { topic = \"/topic\" }\n", "");
    let from_header = hook("header", TOKEN).replace("\"/topic\"", "\"header:X-Topic\"");
    let server = TestServer::new(&[from_header, text], None).await;
    let deliver = async |event: &str, body: &str| {
        let signature = hub_signature(body);
        server.deliver("push", &[("x-hub-signature-256", &signature), ("x-github-event", event)], body).await
    };
    assert_eq!(deliver("push", r#"{"ref": "refs/tags/vwhoami"}"#).await.status, 202);
    for (event, reference, why) in [
        ("push", "refs/heads/main", "the value at `/ref` in the body does not match the pattern"),
        ("issues", "refs/tags/vwhoami", "the header `X-GitHub-Event` is not `push` or `create`"),
    ] {
        let response = deliver(event, &format!(r#"{{"ref": "{reference}", "n": 1}}"#)).await;
        assert_eq!(response.status, 200, "{response:?}");
        assert!(response.body.contains(why), "{response:?}");
    }
    let bearer = format!("Bearer {SECRET}");
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", "1"), ("x-topic", "jobs")];
    assert_eq!(server.deliver("header", &headers, "{}").await.status, 202);
    // A header that occurs twice has no value.
    let headers = [headers[0], ("idempotency-key", "2"), ("x-topic", "jobs"), ("x-topic", "whoami")];
    let twice = server.deliver("header", &headers, "{}").await;
    assert_eq!((twice.status, twice.body.contains("the header `X-Topic` is missing")), (400, true), "{twice:?}");
    let headers = [headers[0], ("idempotency-key", "3"), ("idempotency-key", "4"), ("x-topic", "whoami")];
    let no_id = server.deliver("header", &headers, "{}").await;
    assert_eq!((no_id.status, no_id.body.contains("`Idempotency-Key` must contain")), (400, true), "{no_id:?}");
    server.until_idle().await;
    assert_eq!((server.handled("help whoami"), server.handled("help jobs")), (1, 1));
}

#[tokio::test]
async fn a_compressed_body_and_probes_of_the_address_get_a_clear_answer() {
    let server = TestServer::new(&[hook("build", TOKEN)], None).await;
    let bearer = format!("Bearer {SECRET}");
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", "1"), ("content-encoding", "gzip")];
    let packed = server.deliver("build", &headers, BODY).await;
    assert_eq!((packed.status, packed.body.contains("must not be compressed")), (415, true), "{packed:?}");
    // Pages of senders probe an address with other methods. The answer is the same for every name.
    for method in ["GET", "HEAD", "OPTIONS", "PUT"] {
        for name in ["build", "nobody"] {
            let probe = server.request(method, &format!("/hooks/{name}"), &[], "").await;
            assert_eq!((probe.status, probe.head.contains("allow: post")), (405, true), "{method}: {probe:?}");
        }
    }
    // A slash at the end of the address, and a byte order mark in front of the JSON.
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", "2")];
    let slash = server.request("POST", "/hooks/build/", &headers, &format!("\u{feff}{BODY}")).await;
    assert_eq!(slash.status, 202, "{slash:?}");
}

#[tokio::test]
async fn a_body_of_25_mebibytes_is_accepted_where_the_limit_allows_it() {
    let large = format!("{HUB}\nmax_bytes = 26214400");
    let server = TestServer::new(&[hook("large", &large)], None).await;
    let body = |mebibytes: usize| {
        let head = r#"{"filler": ""#;
        let tail = r#"", "build": {"number": 1.10}, "topic": "whoami"}"#;
        format!("{head}{}{tail}", "x".repeat((mebibytes << 20) - head.len() - tail.len()))
    };
    let text = body(25);
    let response = server.deliver("large", &[("x-hub-signature-256", &hub_signature(&text))], &text).await;
    assert_eq!(response.status, 202, "{response:?}");
    let text = format!("{text} ");
    assert_eq!(server.deliver("large", &[("x-hub-signature-256", &hub_signature(&text))], &text).await.status, 401);
    server.until_idle().await;
    assert_eq!(server.handled("help whoami"), 1);
}
