//! Checks of lists of writes: each list is atomic, and lists that were passed to `note` keep their order.

use wardroom::{
    model::Outcome,
    store::{EntryKind, JobPhase, JobRow, ReleaseQuery, Store, Write},
};

use crate::{
    helpers::{commit, fails, open_jobs, verified},
    rows::{
        card, close, cursor, entry, job, key, line, lock, message, opening, pending, release, sent, set, status, take,
        words,
    },
};

pub(crate) async fn a_list_with_an_invalid_write_changes_nothing(store: &dyn Store) {
    commit(store, vec![Write::Receive(message(1)), Write::Send(card("c", "queued", false))]).await;
    commit(store, opening("7f")).await;
    commit(store, vec![set("deploy", "old", b"1"), set("deploy", "gone", b"1")]).await;
    let writes = vec![
        Write::Receive(message(2)),
        Write::Handled(key(1)),
        Write::SetCursor(cursor(1, None)),
        Write::Send(words("m", "hello")),
        Write::Send(card("c", "running", false)),
        sent("c", 2, Some("$c")),
        Write::Open(job("0b")),
        close("7f"),
        Write::Append(entry("0b", 0, EntryKind::Call)),
        take("cms", "staging", "0b"),
        Write::JobStatus { job: "0b".into(), status: status(JobPhase::Time, Some(5)) },
        Write::StoreBlob { digest: "sha256:aa".into(), bytes: b"large".to_vec() },
        Write::AuditRecord(line(Some("deploy"), &[("log.info", 1, 0)])),
        Write::Release(release("0b-1", "cms", "staging", 1, Outcome::Succeeded)),
        set("deploy", "old", b"2"),
        set("deploy", "new", b"2"),
        Write::DeleteValue { plugin: "deploy".into(), key: "gone".into() },
        close("nobody"),
    ];
    assert_eq!(fails(store, writes.clone()).await, "job `nobody` is not open");
    assert_eq!(store.unhandled().await.expect("rows"), [message(1)]);
    assert_eq!(store.cursor("marvin", "matrix", "!ops").await.expect("a mark"), None);
    assert_eq!(store.outbox().await.expect("rows"), [pending(card("c", "queued", false), None, 1)]);
    assert_eq!(open_jobs(store).await, [job("7f")]);
    assert_eq!(store.entries("0b").await.expect("entries"), []);
    assert_eq!(store.locks().await.expect("places"), []);
    assert_eq!(store.next_wake().await.expect("a time"), None);
    assert_eq!(store.blob("sha256:aa").await.expect("bytes"), None);
    assert_eq!(store.links(0, 9).await.expect("links").len(), 2, "a message and the first job");
    assert_eq!(store.releases(&ReleaseQuery::default()).await.expect("releases"), []);
    let values = [("gone".to_owned(), b"1".to_vec()), ("old".to_owned(), b"1".to_vec())];
    assert_eq!(store.values("deploy", "", 9).await.expect("values"), values);
    assert_eq!(store.usage().await.expect("usage"), []);

    // The same list without the invalid write is committed.
    let new = commit(store, writes[..writes.len() - 1].to_vec()).await;
    assert_eq!(new, [key(2)]);
    assert_eq!(store.unhandled().await.expect("rows"), [message(2)]);
    assert_eq!(store.outbox().await.expect("rows"), [pending(words("m", "hello"), None, 1)]);
    let parked = JobRow { status: status(JobPhase::Time, Some(5)), ..job("0b") };
    assert_eq!(open_jobs(store).await, [parked]);
    assert_eq!(store.locks().await.expect("places"), [(lock("cms", "staging"), "0b".to_owned())]);
    assert_eq!(store.blob("sha256:aa").await.expect("bytes"), Some(b"large".to_vec()));
    assert_eq!(
        store.links(0, 9).await.expect("links").len(),
        7,
        "two openings, a closing, a line, two messages and a release"
    );
    verified(store).await;
}

pub(crate) async fn a_list_sees_its_own_writes(store: &dyn Store) {
    let writes = vec![
        Write::Receive(message(1)),
        Write::Handled(key(1)),
        Write::Open(job("7f")),
        Write::Append(entry("7f", 0, EntryKind::Invocation)),
        Write::Append(entry("7f", 1, EntryKind::Closed)),
        close("7f"),
        Write::Send(card("c", "queued", false)),
        Write::Send(card("c", "done", true)),
        set("deploy", "k", b"1"),
        Write::DeleteValue { plugin: "deploy".into(), key: "k".into() },
    ];
    assert_eq!(commit(store, writes).await, [key(1)]);
    assert_eq!(store.unhandled().await.expect("rows"), []);
    assert_eq!(open_jobs(store).await, []);
    assert_eq!(store.entries("7f").await.expect("entries").len(), 2);
    assert_eq!(store.outbox().await.expect("rows"), [pending(card("c", "done", true), None, 2)]);
    assert_eq!(store.value("deploy", "k").await.expect("a value"), None);
}

pub(crate) async fn a_note_comes_before_a_later_commit(store: &dyn Store) {
    store.note(vec![Write::Receive(message(1)), set("deploy", "k", b"noted")]);
    store.note(opening("7f"));
    let new = commit(store, vec![Write::Receive(message(1)), set("deploy", "k", b"committed"), close("7f")]).await;
    assert_eq!(new, [], "the note has received the message");
    assert_eq!(store.value("deploy", "k").await.expect("a value"), Some(b"committed".to_vec()));
    assert_eq!(open_jobs(store).await, []);
    store.note(vec![Write::Handled(key(1))]);
    commit(store, vec![]).await;
    assert_eq!(store.unhandled().await.expect("rows"), [], "an empty commit waits for earlier notes");
}

pub(crate) async fn an_invalid_note_fails_alone(store: &dyn Store) {
    store.note(vec![set("deploy", "before", b"1")]);
    store.note(vec![set("deploy", "bad", b"1"), close("nobody")]);
    store.note(vec![set("deploy", "after", b"1")]);
    commit(store, vec![set("deploy", "last", b"1")]).await;
    let values = store.values("deploy", "", 9).await.expect("values");
    let names: Vec<&str> = values.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(names, ["after", "before", "last"]);
}
