//! Tests that forge rows which give or take authority: grants, freezes, accounts at identity providers, releases, messages and approvals. The
//! verification of the journal finds and names each forgery.

use wardroom::{
    journal::Head,
    model::{Outcome, Person},
    store::{Entry, EntryKind, Freeze, Grant, IdentityLink, Write},
};

use crate::{
    rows::{at, entry, message, opening, release},
    tamper::TamperTest,
};

/// The job that is open, and whose journal has an approval as its entry 2.
const JOB: &str = "2aaaa";

fn journal() -> Vec<Entry> {
    let first = opening(JOB).into_iter().filter_map(|write| match write {
        Write::Append(first) => Some(first),
        _ => None,
    });
    let kinds = [EntryKind::Intent, EntryKind::Event, EntryKind::Result];
    first.chain((1..).zip(kinds).map(|(number, kind)| entry(JOB, number, kind))).collect()
}

async fn scene() -> TamperTest {
    let bob = Person { id: "@bob:example.org".into(), name: "Bob".into() };
    let grant = Grant {
        id: "7f3a/3".into(),
        person: bob.clone(),
        role: "deployer".into(),
        app: "cms".into(),
        environment: Some("staging".into()),
        by: bob.clone(),
        bot: "marvin".into(),
        at: at(3),
        until: None,
    };
    let freeze = |environment: &str| Freeze {
        environment: environment.into(),
        until: None,
        reason: "the fair".into(),
        by: bob.clone(),
        at: at(3),
    };
    TamperTest::with(vec![
        // Links 10 and 11.
        vec![Write::Receive(message(1)), Write::Receive(message(2))],
        // Links 12 to 19.
        vec![
            Write::Grant(grant.clone()),
            Write::Grant(Grant { id: "7f3a/4".into(), ..grant }),
            Write::Revoke("7f3a/4".into()),
            Write::Freeze(freeze("staging")),
            Write::Freeze(freeze("production")),
            Write::Unfreeze("staging".into()),
            Write::Release(release("7f3a-1", "cms", "staging", 2, Outcome::Succeeded)),
            Write::Release(release("7f3a-2", "cms", "production", 2, Outcome::Succeeded)),
        ],
        // Links 20 and 21: the job and its approval.
        [opening(JOB), journal().into_iter().skip(1).map(Write::Append).collect()].concat(),
        // Link 22.
        vec![Write::LinkIdentity(IdentityLink {
            person: bob,
            provider: "corp".into(),
            issuer: "https://id.example.org".into(),
            subject: "s1".into(),
            groups: vec!["team-web".into()],
            at: at(3),
            until: at(9),
        })],
    ])
    .await
}

/// Returns SQL statements that replace the journal of [`JOB`] by `entries`, with all hashes as the host would write
/// them.
fn rewritten(entries: &[Entry]) -> String {
    let mut statements = format!("delete from entry where job = '{JOB}' and number > 0;");
    let mut hash = String::new();
    for entry in entries {
        hash = entry.hash(&hash);
        if entry.number > 0 {
            let Entry { number, kind, plugin, call, rule, at, .. } = entry;
            let kind = serde_json::to_value(kind).expect("a kind");
            statements += &format!(
                "insert into entry (job, number, kind, plugin, call, of, rule, attributes, body, at, hash)
                 values ('{JOB}', {number}, '{}', '{plugin}', '{call}', {}, '{rule}', '{}', '{}', '{at:.9}', '{hash}');",
                kind.as_str().expect("a word"),
                entry.of.map_or("null".to_owned(), |of| of.to_string()),
                serde_json::to_string(&entry.attributes).expect("attributes"),
                entry.body,
            );
        }
    }
    statements + &format!("update job set entries = {}, tip = '{hash}' where id = '{JOB}';", entries.len())
}

#[tokio::test]
async fn a_forged_grant_freeze_or_release_is_named() {
    let test = scene().await;
    assert_eq!(test.head.number, 22);
    assert_eq!(test.verify("select 1", Some(&test.head)).await, Ok(()));
    let columns = "person_id, person_name, role, app, environment, by_id, by_name, bot, at, until";
    let other = format!("insert into granted (id, {columns}) select '7f3a/9', {columns} from granted");
    for (forgery, fault) in [
        (other.as_str(), "the grant 7f3a/9 was added: the hash chain has no link for it"),
        ("update granted set id = '7f3a/4'", "the grant 7f3a/4 was added: the hash chain has no link for it"),
        ("update granted set person_id = '@eve:example.org'", "the grant 7f3a/3 was changed"),
        ("update granted set environment = null", "the grant 7f3a/3 was changed"),
        ("update granted set role = 'admin'", "the grant 7f3a/3 was changed"),
        ("update granted set until = '2099-01-01T00:00:00Z'", "the grant 7f3a/3 was changed"),
        ("delete from granted", "the grant 7f3a/3 is missing"),
        ("delete from freeze", "the freeze of production is missing"),
        ("update freeze set until = '2020-01-01T00:00:00Z'", "the freeze of production was changed"),
        (
            "update freeze set environment = 'staging'",
            "the freeze of staging was added: the hash chain has no link for it",
        ),
        ("update release set version = '6.6.6' where run = '7f3a-1'", "the release 7f3a-1 was changed"),
        ("update release set outcome = 'failed' where run = '7f3a-2'", "the release 7f3a-2 was changed"),
        (
            "update release set run = '7f3a-9' where run = '7f3a-2'",
            "the release 7f3a-9 was added: the hash chain has no link for it",
        ),
        ("delete from release where run = '7f3a-2'", "the release 7f3a-2 is missing"),
    ] {
        assert_eq!(test.fault(forgery).await, fault, "{forgery}");
    }
}

#[tokio::test]
async fn a_forged_account_is_named() {
    let test = scene().await;
    let account = |person: &str| {
        format!(
            r#"the account {{"issuer":"https://id.example.org","person":"{person}","provider":"corp","subject":"s1"}}"#
        )
    };
    let (bob, eve) = (account("@bob:example.org"), account("@eve:example.org"));
    for (forgery, fault) in [
        ("update identity_link set groups = '[\"team-sre\"]'", format!("{bob} was changed")),
        ("update identity_link set until = '2099-01-01T00:00:00Z'", format!("{bob} was changed")),
        (
            "update identity_link set person_id = '@eve:example.org'",
            format!("{eve} was added: the hash chain has no link for it"),
        ),
        ("delete from identity_link", format!("{bob} is missing")),
    ] {
        assert_eq!(test.fault(forgery).await, fault, "{forgery}");
    }
}

#[tokio::test]
async fn a_forged_message_is_named() {
    let test = scene().await;
    for (forgery, fault) in [
        (
            "update inbox set sender_id = '@alice:example.org' where event = '$event1'",
            "the message $event1 in !ops was changed",
        ),
        (
            "update inbox set text = 'deploy cms production 6.6.6' where event = '$event2'",
            "the message $event2 in !ops was changed",
        ),
        ("delete from inbox where event = '$event2'", "the message $event2 in !ops is missing"),
        (
            "insert into inbox (network, room, event, sender_id, sender_name, text, at)
             values ('matrix', '!ops', '$forged', '@alice:example.org', 'alice', 'approve', '2026-01-01T00:00:00Z')",
            "the message $forged in !ops was added: the hash chain has no link for it",
        ),
    ] {
        assert_eq!(test.fault(forgery).await, fault, "{forgery}");
    }
    // A handled message is no forgery.
    let handled = "update inbox set done = 1";
    assert_eq!(test.verify(handled, Some(&test.head)).await, Ok(()));
}

#[tokio::test]
async fn a_forged_approval_in_an_open_job_is_named() {
    let test = scene().await;
    assert_eq!(test.verify(&rewritten(&journal()), Some(&test.head)).await, Ok(()), "the same entries are no forgery");
    let added = [journal(), vec![entry(JOB, 4, EntryKind::Event)]].concat();
    assert_eq!(
        test.fault(&rewritten(&added)).await,
        format!("journal entry 4 of job {JOB} is an event that the hash chain does not contain")
    );
    let mut changed = journal();
    changed[2].body = serde_json::json!({ "approved": "@alice:example.org" });
    assert_eq!(
        test.fault(&rewritten(&changed)).await,
        format!("journal entry 2 of job {JOB} is an event that the hash chain does not contain")
    );
    let mut removed = journal();
    removed.remove(2);
    removed[2].number = 2;
    assert_eq!(test.fault(&rewritten(&removed)).await, format!("1 event of job {JOB} is missing from its journal"));
}

#[tokio::test]
async fn a_head_reveals_a_rewritten_journal_of_an_open_job() {
    let test = scene().await;
    let head: Head = test.head.to_string().parse().expect("a printed head");
    assert_eq!(head, test.head);
    assert_eq!(head.open.keys().collect::<Vec<_>>(), ["0b", JOB]);
    let mut changed = journal();
    changed[3].rule = "another rule".into();
    let statements = rewritten(&changed);
    assert_eq!(test.verify(&statements, None).await, Ok(()), "only the head reveals it");
    assert_eq!(
        test.fault_with(&statements, Some(&head)).await,
        format!("the journal of job {JOB} does not begin with the 4 entries of the given head")
    );
    // A journal that has grown since then is valid.
    let grown = [journal(), vec![entry(JOB, 4, EntryKind::Call)]].concat();
    assert_eq!(test.verify(&rewritten(&grown), Some(&head)).await, Ok(()));
    let link = format!("{}:{}", head.number, head.hash);
    let parsed: Head = format!(" {}\n", link.to_uppercase()).parse().expect("a head in upper case with spaces");
    assert_eq!(parsed, Head { open: Default::default(), ..head.clone() });
    for wrong in [
        "",
        "12",
        "12:",
        "12:0f",
        &format!("0:{}", head.hash),
        &format!("-1:{}", head.hash),
        &format!("1:{}0", head.hash),
        &format!("{head},x"),
    ] {
        assert!(wrong.parse::<Head>().is_err(), "{wrong}");
    }
}
