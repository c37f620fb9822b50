//! Checks of journal entries, blobs and the hash chain.

use wardroom::{
    journal,
    store::{EntryKind, JobPhase, LinkKind, Store, Write},
};

use crate::{
    helpers::{commit, fails, verified},
    rows::{at, closing, closing_at, entry, job, key, line, opening, status, take},
};

async fn kinds(store: &dyn Store) -> Vec<(LinkKind, String)> {
    let links = store.links(0, 99).await.expect("links");
    links.into_iter().map(|link| (link.kind, link.subject)).collect()
}

pub(crate) async fn entries_are_sorted_and_chained(store: &dyn Store) {
    let kinds = [EntryKind::Call, EntryKind::Intent, EntryKind::Result, EntryKind::Denied, EntryKind::End];
    let mut entries: Vec<_> = (1..).zip(kinds).map(|(number, kind)| entry("7f", number, kind)).collect();
    entries[2].of = Some(2);
    entries[3].blob = Some(wardroom::store::digest(b"{}"));
    let keep = Write::StoreBlob { digest: wardroom::store::digest(b"{}"), bytes: b"{}".to_vec() };
    commit(store, [opening("7f"), opening("0b"), vec![keep]].concat()).await;
    let (noted, last) = entries.split_at(3);
    store.note(noted.iter().cloned().map(Write::Append).collect());
    let found: Vec<_> = store.entries("7f").await.expect("entries").into_iter().map(|sealed| sealed.entry).collect();
    assert_eq!(found[1..], *noted, "earlier notes are included");
    commit(store, last.iter().cloned().map(Write::Append).collect()).await;
    let sealed = store.entries("7f").await.expect("entries");
    let found: Vec<_> = sealed.iter().map(|sealed| sealed.entry.clone()).collect();
    assert_eq!(found[1..], entries);
    let mut before = "";
    for sealed in &sealed {
        assert_eq!(sealed.hash, sealed.entry.hash(before), "journal entry {}", sealed.entry.number);
        before = &sealed.hash;
    }
    assert_eq!(store.journal_head("7f").await.expect("a tip"), Some((6, before.to_owned())));
    assert_eq!(store.journal_head("nobody").await.expect("no tip"), None);
    assert_eq!(store.entries("nobody").await.expect("entries"), []);
    assert_eq!(verified(store).await.entries, 7);
}

pub(crate) async fn an_entry_must_be_the_next_one_of_an_open_job(store: &dyn Store) {
    let first = entry("7f", 0, EntryKind::Invocation);
    assert_eq!(fails(store, vec![Write::Append(first.clone())]).await, "there is no job `7f`");
    commit(store, vec![Write::Open(job("7f")), Write::Append(first.clone())]).await;
    let other = Write::Append(entry("7f", 0, EntryKind::Call));
    assert_eq!(fails(store, vec![other]).await, "journal entry 0 of job `7f` already exists");
    let next = Write::Append(entry("7f", 1, EntryKind::Call));
    assert_eq!(fails(store, vec![next.clone(), next.clone()]).await, "journal entry 1 of job `7f` already exists");
    let far = Write::Append(entry("7f", 2, EntryKind::Call));
    assert_eq!(
        fails(store, vec![far.clone()]).await,
        "journal entry 2 of job `7f` is out of order: the next number is 1"
    );
    assert_eq!(store.entries("7f").await.expect("entries").len(), 1);
    // If a list from `note` is invalid, only this list fails, and a later commit is checked without it.
    store.note(vec![next.clone(), Write::JobStatus { job: "nobody".into(), status: status(JobPhase::Held, None) }]);
    assert_eq!(
        fails(store, vec![far.clone()]).await,
        "journal entry 2 of job `7f` is out of order: the next number is 1"
    );
    commit(store, vec![next, far]).await;
    commit(store, closing("7f", 3)).await;
    let late = Write::Append(entry("7f", 4, EntryKind::Event));
    assert_eq!(fails(store, vec![late.clone()]).await, "job `7f` is not open");
    commit(store, opening("0b")).await;
    let after = [closing("0b", 1), vec![Write::Append(entry("0b", 2, EntryKind::Event))]].concat();
    assert_eq!(fails(store, after).await, "job `0b` is not open");
    assert_eq!(verified(store).await.entries, 5);
}

pub(crate) async fn a_blob_is_stored_once(store: &dyn Store) {
    let keep = |bytes: &[u8]| Write::StoreBlob { digest: "sha256:aa".into(), bytes: bytes.to_vec() };
    commit(store, vec![keep(b"first"), keep(b"second")]).await;
    commit(store, vec![keep(b"third")]).await;
    assert_eq!(store.blob("sha256:aa").await.expect("bytes"), Some(b"first".to_vec()));
    assert_eq!(store.blob("sha256:bb").await.expect("bytes"), None);
}

pub(crate) async fn every_job_line_and_refusal_has_a_link(store: &dyn Store) {
    let refused = |number| wardroom::store::AuditRecord { refused: true, inbox: key(number), ..line(None, &[]) };
    let lines = [line(Some("deploy"), &[("log.info", 1, 0)]), line(None, &[])];
    let writes = [
        vec![Write::AuditRecord(lines[0].clone()), Write::AuditRecord(refused(1))],
        opening("7f"),
        vec![Write::AuditRecord(lines[1].clone()), Write::AuditRecord(refused(2))],
        closing("7f", 1),
    ];
    commit(store, writes.concat()).await;
    let expected = [LinkKind::Refusal, LinkKind::Open, LinkKind::Refusal, LinkKind::Close, LinkKind::Lines];
    let links = store.links(0, 99).await.expect("links");
    assert_eq!(links.iter().map(|link| link.kind).collect::<Vec<_>>(), expected);
    let entries = store.entries("7f").await.expect("entries");
    let row = store.job("7f").await.expect("a job").expect("it exists");
    let opened = row.opening_digest(&entries[0].hash);
    let closed = row.end.as_ref().expect("it ended").closing_digest(&entries[1].hash);
    assert_eq!((links[1].subject.as_str(), &links[1].digest), ("7f", &opened));
    assert_eq!((links[3].subject.as_str(), &links[3].digest, links[3].at), ("7f", &closed, at(9)));
    assert_eq!(store.audit_records(1).await.expect("lines"), [refused(1)]);
    assert_eq!(store.audit_records(3).await.expect("lines"), [refused(2)]);
    assert_eq!(store.audit_records(5).await.expect("lines"), lines, "queries share a link");
    assert_eq!(store.audit_records(2).await.expect("lines"), []);
    let mut before = "";
    for (number, link) in (1..).zip(&links) {
        assert_eq!((link.number, &link.hash), (number, &link.hash_after(before)));
        before = &link.hash;
    }
    assert_eq!(store.links(2, 2).await.expect("links"), links[2..4]);
    assert_eq!(store.links(5, 9).await.expect("links"), []);
    let newest = closing_at("0b", 1, 50);
    commit(store, [opening("0b"), newest].concat()).await;
    assert_eq!(store.newest_time().await.expect("a time"), Some(at(50)));
    let verified = verified(store).await;
    assert_eq!((verified.links, verified.jobs, verified.entries, verified.lines, verified.removed), (7, 2, 4, 4, 0));
    let head = journal::Head { number: 5, hash: links[4].hash.clone(), ..Default::default() };
    journal::verify(store, Some(&head)).await.expect("a readable store").expect("the chain contains this head");
    let other = journal::Head { number: 5, hash: links[3].hash.clone(), ..Default::default() };
    let fault = journal::verify(store, Some(&other)).await.expect("a readable store").expect_err("another head");
    assert_eq!(fault.message, "the hash chain does not contain the given head: link 5 has another hash");
    let longer = journal::Head { number: 8, hash: links[4].hash.clone(), ..Default::default() };
    let fault = journal::verify(store, Some(&longer)).await.expect("a readable store").expect_err("a later head");
    assert!(fault.message.starts_with("the hash chain ends at link 7"), "{fault}");
}

pub(crate) async fn an_invalid_list_adds_nothing_to_the_chain(store: &dyn Store) {
    commit(store, opening("7f")).await;
    let before = kinds(store).await;
    let bad = [
        vec![Write::Append(entry("7f", 1, EntryKind::Call)), Write::AuditRecord(line(None, &[]))],
        opening("0b"),
        vec![take("cms", "staging", "7f"), take("cms", "staging", "0b")],
    ];
    fails(store, bad.concat()).await;
    assert_eq!(kinds(store).await, before);
    commit(store, vec![Write::Append(entry("7f", 1, EntryKind::Intent))]).await;
    commit(store, [opening("0b"), vec![take("cms", "staging", "0b")]].concat()).await;
    fails(store, [closing("7f", 2), closing("nobody", 1)].concat()).await;
    commit(store, vec![Write::Append(entry("7f", 2, EntryKind::Result))]).await;
    assert_eq!(store.entries("7f").await.expect("entries").len(), 3);
    assert_eq!(verified(store).await.links, 2);
}
