//! Checks of the removal of closed jobs and of other old data.

use wardroom::{
    Timestamp,
    model::RunKey,
    store::{EntryKind, JobQuery, JobRow, LinkKind, Store, Write},
};

use crate::{
    helpers::{commit, ids, verified},
    rows::{at, card, closing, closing_at, entry, job, key, line, message, opening, opening_of, sent, words},
};

pub(crate) async fn ended_jobs_and_old_rows_are_removed(store: &dyn Store) {
    let mut trigger = entry("a", 1, EntryKind::Intent);
    trigger.attributes.insert("pipeline".into(), vec!["cms/staging".into()]);
    let mut other = entry("a", 2, EntryKind::Intent);
    other.call = "chat.say".into();
    let mut large = entry("a", 3, EntryKind::Call);
    large.blob = Some(wardroom::store::digest(b"{}"));
    let keep = |bytes: &[u8]| Write::StoreBlob { digest: wardroom::store::digest(bytes), bytes: bytes.to_vec() };
    let blob = vec![keep(b"{}"), keep(b"orphan"), keep(b"loaded"), keep(b"kept")];
    let kept = JobRow { digest: wardroom::store::digest(b"kept"), ..job("c") };
    let writes = [
        blob,
        vec![Write::Receive(message(1)), Write::Handled(key(1)), Write::Receive(message(2))],
        vec![Write::Receive(message(20)), Write::Handled(key(20)), Write::Receive(message(3)), Write::Handled(key(3))],
        opening_of(JobRow { inbox: key(3), ..kept }),
        opening("a"),
        vec![Write::Append(trigger), Write::Append(other), Write::Append(large)],
        closing_at("a", 4, 5),
        opening_of(JobRow { inbox: key(4), ..job("b") }),
        closing_at("b", 1, 15),
        vec![Write::Send(card("a/card", "done", true)), sent("a/card", 1, Some("$a"))],
        vec![Write::Send(card("c/card", "working", true)), sent("c/card", 1, Some("$c"))],
        vec![Write::Send(words("!ops/$x", "never")), sent("!ops/$x", 1, None), Write::Send(words("later", "unsent"))],
    ];
    commit(store, writes.concat()).await;
    let refused = |second| wardroom::store::AuditRecord { refused: true, at: at(second), ..line(None, &[]) };
    commit(store, vec![Write::AuditRecord(refused(5)), Write::AuditRecord(refused(15))]).await;
    let mut group = [line(None, &[]), line(None, &[])];
    group[1].at = at(15);
    commit(store, group.map(Write::AuditRecord).to_vec()).await;
    let loaded = [wardroom::store::digest(b"loaded")];

    let removed = store.remove(at(10), &loaded).await.expect("removes");
    let run = (RunKey::new("a", 1), "cms/staging".to_owned());
    assert_eq!(removed.jobs, [("a".to_owned(), vec![run])]);
    // The card of the job, a handled message without a job, and one refusal; the other messages are recent.
    assert_eq!((removed.rows, removed.more), (2 + 1, false));
    assert_eq!(ids(store, JobQuery::default()).await.concat(), "bc");
    assert_eq!(store.entries("a").await.expect("entries"), []);
    assert_eq!(store.journal_head("a").await.expect("no tip"), None);
    assert_eq!(store.unhandled().await.expect("rows"), [message(2)]);
    let again = [1, 20, 3].map(|number| Write::Receive(message(number)));
    assert_eq!(
        commit(store, again.to_vec()).await,
        [key(1)],
        "message 20 is recent, and message 3 started an open job"
    );
    for (bytes, there) in [(&b"{}"[..], false), (b"orphan", false), (b"loaded", true), (b"kept", true)] {
        let found = store.blob(&wardroom::store::digest(bytes)).await.expect("bytes");
        assert_eq!(found.is_some(), there, "{}", String::from_utf8_lossy(bytes));
    }
    let links = store.links(0, 99).await.expect("links");
    let removals = links.iter().filter(|link| link.kind == LinkKind::Removal).map(|link| link.subject.clone());
    assert_eq!(removals.collect::<Vec<_>>(), [at(10).to_string()]);
    let whole = verified(store).await;
    assert_eq!((whole.jobs, whole.removed, whole.lines), (2, 1, 3), "lines of one link are removed together");

    let nothing = store.remove(at(10), &loaded).await.expect("removes");
    assert_eq!(nothing, wardroom::store::Removed { rows: 0, ..Default::default() });
    assert_eq!(verified(store).await.links, whole.links, "an empty removal adds no link");
    // The id of a removed job is not reused, because pipeline runs and releases still refer to the id.
    let again = store.commit(opening("a")).await;
    assert!(matches!(&again, Err(wardroom::store::StoreError::Failed(_))), "{again:?}");
    commit(store, opening("d")).await;
    commit(store, vec![Write::Send(card("d/card", "anew", false)), Write::Send(card("c/card", "anew", false))]).await;
    let keys = store.outbox().await.expect("rows").into_iter().map(|pending| (pending.row.key, pending.event));
    let c = ("c/card".to_owned(), Some("$c".to_owned()));
    assert_eq!(keys.collect::<Vec<_>>(), [c, ("later".to_owned(), None), ("d/card".to_owned(), None)]);
    assert_eq!(verified(store).await.removed, 1);

    // A job with an unsent card is kept.
    commit(store, [closing_at("d", 1, 16), vec![sent("c/card", 2, Some("$c"))]].concat()).await;
    let removed = store.remove(Timestamp::MAX, &[]).await.expect("removes");
    assert_eq!(removed.jobs, [("b".to_owned(), Vec::new())]);
    // An unsent message without a job is removed.
    let unsent = store.outbox().await.expect("rows").into_iter().map(|pending| pending.row.key);
    assert_eq!(unsent.collect::<Vec<_>>(), ["d/card"]);
    assert_eq!(store.blob(&loaded[0]).await.expect("bytes"), None);
    commit(store, vec![sent("d/card", 1, Some("$d"))]).await;
    let removed = store.remove(Timestamp::MAX, &[]).await.expect("removes");
    assert_eq!(removed.jobs, [("d".to_owned(), Vec::new())]);
    assert_eq!(ids(store, JobQuery::default()).await.concat(), "c");
    let whole = verified(store).await;
    assert_eq!((whole.jobs, whole.removed, whole.lines), (1, 3, 0));
}

pub(crate) async fn a_removal_after_a_given_head_is_of_old_data(store: &dyn Store) {
    commit(store, [opening("a"), vec![Write::Append(entry("a", 1, EntryKind::Call))], closing_at("a", 2, 5)].concat())
        .await;
    commit(store, [opening("b"), closing_at("b", 1, 5)].concat()).await;
    let head = verified(store).await.head;
    // The retention period is over for everything from 1970, and for nothing that is newer than a day.
    assert_eq!(store.remove(at(10), &[]).await.expect("removes").jobs.len(), 2);
    let found = wardroom::journal::verify(store, Some(&head)).await.expect("a readable store").expect("old data");
    assert_eq!((found.removed, found.removed_until), (2, Some(at(10))));
    commit(store, [opening("c"), closing_at("c", 1, 5)].concat()).await;
    let head = verified(store).await.head;
    assert_eq!(store.remove(Timestamp::now(), &[]).await.expect("removes").jobs.len(), 1);
    let fault = wardroom::journal::verify(store, Some(&head)).await.expect("a readable store").expect_err("new data");
    assert!(fault.message.contains("after the given head, records the removal of data"), "{fault}");
    verified(store).await;
}

pub(crate) async fn a_large_removal_is_split(store: &dyn Store) {
    let mut jobs = 0..1100;
    while let Some(first) = jobs.next() {
        let some = std::iter::once(first).chain(jobs.by_ref().take(99)).map(|number| format!("{number:04x}"));
        commit(store, some.flat_map(|id| [opening(&id), closing(&id, 1)].concat()).collect()).await;
    }
    let (mut gone, mut calls) = (Vec::new(), 0);
    loop {
        let removed = store.remove(at(99), &[]).await.expect("removes");
        assert!(removed.jobs.len() <= 500, "{} at once", removed.jobs.len());
        gone.extend(removed.jobs.into_iter().map(|(id, _)| id));
        calls += 1;
        assert_eq!(verified(store).await.removed, gone.len() as u64);
        if !removed.more {
            break;
        }
    }
    gone.sort();
    gone.dedup();
    assert_eq!((gone.len(), calls), (1100, 3));
    assert_eq!(store.jobs(&JobQuery::default()).await.expect("jobs"), []);
}
