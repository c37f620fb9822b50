//! The rules of [`Store`] for jobs, places, journals and what is removed, each as a check that any store must pass.

use wardroom::{
    Timestamp, journal,
    port::{
        RunKey, Store,
        store::{EntryKind, InboxKey, JobQuery, JobRow, LinkKind, Phase, Place, Write},
    },
};

use crate::{
    checks::{commit, fails, open_jobs, verified},
    rows::{
        at, card, closing, closing_at, entry, job, key, line, message, opening, opening_of, place, sent, set, stand,
        take, words,
    },
};

async fn ids(store: &dyn Store, query: JobQuery) -> Vec<String> {
    store.jobs(&query).await.expect("jobs").into_iter().map(|job| job.id).collect()
}

fn stands(job: &str, phase: Phase, wake: Option<i64>) -> Write {
    Write::Stand { job: job.to_owned(), stand: stand(phase, wake) }
}

async fn kinds(store: &dyn Store) -> Vec<(LinkKind, String)> {
    let links = store.links(0, 99).await.expect("links");
    links.into_iter().map(|link| (link.kind, link.subject)).collect()
}

pub(crate) async fn a_job_is_open_until_it_is_closed(store: &dyn Store) {
    let threaded = JobRow { thread: Some("$root".into()), parent: Some("7f".into()), app: None, ..job("0b") };
    let writes = [opening("7f"), opening_of(threaded.clone()), opening("33")].concat();
    commit(store, writes).await;
    assert_eq!(open_jobs(store).await, [job("33"), threaded.clone(), job("7f")]);
    commit(store, closing("7f", 1)).await;
    assert_eq!(open_jobs(store).await, [job("33"), threaded.clone()]);
    let over = store.job("7f").await.expect("a job").expect("it is kept");
    assert_eq!(over.end.as_ref().map(|end| end.summary.as_str()), Some("deployed"));
    assert_eq!(JobRow { end: None, ..over }, job("7f"));
    assert_eq!(store.job("0b").await.expect("a job"), Some(threaded));
    assert_eq!(store.job("nobody").await.expect("no job"), None);
}

pub(crate) async fn a_job_opens_once_and_closes_once(store: &dyn Store) {
    commit(store, opening("7f")).await;
    assert_eq!(fails(store, opening("7f")).await, "job `7f` was opened before");
    assert_eq!(fails(store, [opening("0b"), opening("0b")].concat()).await, "job `0b` was opened before");
    assert_eq!(fails(store, vec![Write::Open(job("0b"))]).await, "job `0b` was opened without its first entry");
    assert_eq!(fails(store, closing("0b", 0)[1..].to_vec()).await, "job `0b` is not open");
    let twice = [closing("7f", 1), closing("7f", 2)[1..].to_vec()].concat();
    assert_eq!(fails(store, twice).await, "job `7f` is not open");
    assert_eq!(open_jobs(store).await, [job("7f")]);
    commit(store, closing("7f", 1)).await;
    assert_eq!(fails(store, closing("7f", 1)[1..].to_vec()).await, "job `7f` is not open");
    assert_eq!(fails(store, opening("7f")).await, "job `7f` was opened before");
    assert_eq!(fails(store, vec![stands("7f", Phase::Held, None)]).await, "job `7f` is not open");
    assert_eq!(open_jobs(store).await, []);
    assert_eq!(verified(store).await.jobs, 1);
}

pub(crate) async fn entries_stand_in_the_order_of_their_numbers(store: &dyn Store) {
    let kinds = [EntryKind::Call, EntryKind::Intent, EntryKind::Result, EntryKind::Denied, EntryKind::End];
    let mut entries: Vec<_> = (1..).zip(kinds).map(|(number, kind)| entry("7f", number, kind)).collect();
    entries[2].of = Some(2);
    entries[3].beside = Some(journal::digest(b"{}"));
    let keep = Write::Keep { digest: journal::digest(b"{}"), bytes: b"{}".to_vec() };
    commit(store, [opening("7f"), opening("0b"), vec![keep]].concat()).await;
    let (noted, last) = entries.split_at(3);
    store.note(noted.iter().cloned().map(Write::Enter).collect());
    let found: Vec<_> = store.entries("7f").await.expect("entries").into_iter().map(|sealed| sealed.entry).collect();
    assert_eq!(found[1..], *noted, "what was noted before is in it");
    commit(store, last.iter().cloned().map(Write::Enter).collect()).await;
    let sealed = store.entries("7f").await.expect("entries");
    let found: Vec<_> = sealed.iter().map(|sealed| sealed.entry.clone()).collect();
    assert_eq!(found[1..], entries);
    let mut before = "";
    for sealed in &sealed {
        assert_eq!(sealed.hash, journal::entry_hash(before, &sealed.entry), "entry {}", sealed.entry.number);
        before = &sealed.hash;
    }
    assert_eq!(store.tip("7f").await.expect("a tip"), Some((6, before.to_owned())));
    assert_eq!(store.tip("nobody").await.expect("no tip"), None);
    assert_eq!(store.entries("nobody").await.expect("entries"), []);
    assert_eq!(verified(store).await.entries, 7);
}

pub(crate) async fn an_entry_is_the_next_one_of_an_open_job(store: &dyn Store) {
    let first = entry("7f", 0, EntryKind::Invocation);
    assert_eq!(fails(store, vec![Write::Enter(first.clone())]).await, "there is no job `7f`");
    commit(store, vec![Write::Open(job("7f")), Write::Enter(first.clone())]).await;
    let other = Write::Enter(entry("7f", 0, EntryKind::Call));
    assert_eq!(fails(store, vec![other]).await, "entry 0 of job `7f` was written before");
    let next = Write::Enter(entry("7f", 1, EntryKind::Call));
    assert_eq!(fails(store, vec![next.clone(), next.clone()]).await, "entry 1 of job `7f` was written before");
    let far = Write::Enter(entry("7f", 2, EntryKind::Call));
    assert_eq!(fails(store, vec![far.clone()]).await, "entry 2 of job `7f` is not the next one, 1 is");
    assert_eq!(store.entries("7f").await.expect("entries").len(), 1);
    // A bad note costs nothing but itself, and a later commit is judged without it.
    store.note(vec![next.clone(), Write::Stand { job: "nobody".into(), stand: stand(Phase::Held, None) }]);
    assert_eq!(fails(store, vec![far.clone()]).await, "entry 2 of job `7f` is not the next one, 1 is");
    commit(store, vec![next, far]).await;
    commit(store, closing("7f", 3)).await;
    let late = Write::Enter(entry("7f", 4, EntryKind::Event));
    assert_eq!(fails(store, vec![late.clone()]).await, "job `7f` is not open");
    commit(store, opening("0b")).await;
    let after = [closing("0b", 1), vec![Write::Enter(entry("0b", 2, EntryKind::Event))]].concat();
    assert_eq!(fails(store, after).await, "job `0b` is not open");
    assert_eq!(verified(store).await.entries, 5);
}

pub(crate) async fn a_place_has_one_job(store: &dyn Store) {
    commit(store, [opening("7f"), opening("0b")].concat()).await;
    commit(store, vec![take("cms", "staging", "7f"), take("shop", "production", "0b")]).await;
    commit(store, vec![take("cms", "staging", "7f")]).await;
    let held = "the place `cms/staging` is held by job `7f`";
    assert_eq!(fails(store, vec![set("deploy", "k", b"v"), take("cms", "staging", "0b")]).await, held);
    assert_eq!(store.value("deploy", "k").await.expect("a value"), None, "the whole list was refused");
    assert_eq!(fails(store, vec![take("cms", "production", "0b"), take("cms", "production", "7f")]).await, {
        "the place `cms/production` is held by job `0b`"
    });
    assert_eq!(fails(store, vec![take("cms", "production", "nobody")]).await, "job `nobody` is not open");
    let places = [(place("cms", "staging"), "7f".to_owned()), (place("shop", "production"), "0b".to_owned())];
    assert_eq!(store.places().await.expect("places"), places);
    // In one list, what a job lets go another can take.
    commit(store, [closing("7f", 1), vec![take("cms", "staging", "0b")]].concat()).await;
    let places = [place("cms", "staging"), place("shop", "production")].map(|place: Place| (place, "0b".to_owned()));
    assert_eq!(store.places().await.expect("places"), places);
    assert_eq!(fails(store, vec![take("cms", "qa", "7f")]).await, "job `7f` is not open");
    commit(store, closing("0b", 1)).await;
    assert_eq!(store.places().await.expect("places"), []);
}

pub(crate) async fn a_parked_job_is_due_when_its_time_has_come(store: &dyn Store) {
    assert_eq!(store.next_wake().await.expect("a time"), None);
    commit(store, ["a", "b", "c", "d"].map(opening).concat()).await;
    let parked = vec![
        stands("a", Phase::Time, Some(30)),
        stands("b", Phase::Run, Some(10)),
        stands("c", Phase::Later, Some(20)),
        stands("d", Phase::Asked, None),
    ];
    commit(store, parked).await;
    let due = async |second, limit| {
        let rows = store.due(at(second), limit).await.expect("jobs");
        rows.into_iter().map(|row| row.id).collect::<Vec<_>>().concat()
    };
    assert_eq!(store.next_wake().await.expect("a time"), Some(at(10)));
    let mut open = store.open_jobs().await.expect("counts");
    open.sort_by_key(|(phase, _)| phase.as_str());
    assert_eq!(open, [(Phase::Asked, 1), (Phase::Later, 1), (Phase::Run, 1), (Phase::Time, 1)]);
    assert_eq!(due(9, 9).await, "");
    assert_eq!(due(10, 9).await, "b");
    assert_eq!(due(99, 9).await, "bca");
    assert_eq!(due(99, 2).await, "bc");
    commit(store, vec![stands("b", Phase::Run, Some(40)), stands("c", Phase::Working, None)]).await;
    assert_eq!(due(99, 9).await, "ab");
    commit(store, closing("a", 1)).await;
    assert_eq!(due(99, 9).await, "b");
    assert_eq!(store.next_wake().await.expect("a time"), Some(at(40)));
    let mut open = store.open_jobs().await.expect("counts");
    open.sort_by_key(|(phase, _)| phase.as_str());
    assert_eq!(open, [(Phase::Asked, 1), (Phase::Run, 1), (Phase::Working, 1)]);
    let row = store.job("b").await.expect("a job").expect("it is there");
    assert_eq!(row.stand, stand(Phase::Run, Some(40)));
}

pub(crate) async fn jobs_are_found_by_what_they_are(store: &dyn Store) {
    let threaded = JobRow { thread: Some("$root".into()), ..job("c") };
    let elsewhere = JobRow { inbox: InboxKey { room: "!other".into(), ..key(1) }, ..threaded.clone() };
    let rows = [
        job("a"),
        JobRow { plugin: "reaper".into(), inbox: key(2), ..job("b") },
        threaded,
        JobRow { id: "d".into(), ..elsewhere },
    ];
    commit(store, rows.map(opening_of).concat()).await;
    commit(store, vec![stands("b", Phase::Time, Some(1)), stands("c", Phase::Line, None)]).await;
    commit(store, closing("a", 1)).await;
    let all = JobQuery::default();
    let root = |room: &str| Some(("matrix".to_owned(), room.to_owned(), "$root".to_owned()));
    for (query, found) in [
        (all.clone(), "dcba"),
        (JobQuery { limit: Some(3), ..all.clone() }, "dcb"),
        (JobQuery { open: Some(true), ..all.clone() }, "dcb"),
        (JobQuery { open: Some(true), limit: Some(2), ..all.clone() }, "dc"),
        (JobQuery { open: Some(false), ..all.clone() }, "a"),
        (JobQuery { phases: Some(vec![Phase::Line, Phase::Time]), ..all.clone() }, "cb"),
        (JobQuery { phases: Some(vec![Phase::Working]), ..all.clone() }, "da"),
        (JobQuery { phases: Some(vec![Phase::Working]), open: Some(true), ..all.clone() }, "d"),
        (JobQuery { phases: Some(vec![]), ..all.clone() }, ""),
        (JobQuery { plugin: Some("reaper".into()), ..all.clone() }, "b"),
        (JobQuery { thread: root("!ops"), ..all.clone() }, "c"),
        (JobQuery { thread: root("!other"), ..all.clone() }, "d"),
        (JobQuery { inbox: Some(key(1)), ..all.clone() }, "ca"),
        (JobQuery { inbox: Some(key(1)), open: Some(true), ..all.clone() }, "c"),
        (JobQuery { plugin: Some("%".into()), ..all.clone() }, ""),
    ] {
        assert_eq!(ids(store, query.clone()).await.concat(), found, "{query:?}");
    }
}

pub(crate) async fn what_stands_beside_is_kept_once(store: &dyn Store) {
    let keep = |bytes: &[u8]| Write::Keep { digest: "sha256:aa".into(), bytes: bytes.to_vec() };
    commit(store, vec![keep(b"first"), keep(b"second")]).await;
    commit(store, vec![keep(b"third")]).await;
    assert_eq!(store.beside("sha256:aa").await.expect("bytes"), Some(b"first".to_vec()));
    assert_eq!(store.beside("sha256:bb").await.expect("bytes"), None);
}

pub(crate) async fn everything_is_a_link_of_the_chain(store: &dyn Store) {
    let refused = |number| wardroom::port::store::Line { refused: true, inbox: key(number), ..line(None, &[]) };
    let lines = [line(Some("deploy"), &[("log.info", 1, 0)]), line(None, &[])];
    let writes = [
        vec![Write::Line(lines[0].clone()), Write::Line(refused(1))],
        opening("7f"),
        vec![Write::Line(lines[1].clone()), Write::Line(refused(2))],
        closing("7f", 1),
    ];
    commit(store, writes.concat()).await;
    let expected = [LinkKind::Refusal, LinkKind::Open, LinkKind::Refusal, LinkKind::Close, LinkKind::Lines];
    let links = store.links(0, 99).await.expect("links");
    assert_eq!(links.iter().map(|link| link.kind).collect::<Vec<_>>(), expected);
    let entries = store.entries("7f").await.expect("entries");
    assert_eq!((links[1].subject.as_str(), &links[1].digest), ("7f", &entries[0].hash));
    assert_eq!((links[3].subject.as_str(), &links[3].digest, links[3].at), ("7f", &entries[1].hash, at(9)));
    assert_eq!(store.lines(1).await.expect("lines"), [refused(1)]);
    assert_eq!(store.lines(3).await.expect("lines"), [refused(2)]);
    assert_eq!(store.lines(5).await.expect("lines"), lines, "those that were not refused share a link");
    assert_eq!(store.lines(2).await.expect("lines"), []);
    let mut before = "";
    for (number, link) in (1..).zip(&links) {
        assert_eq!((link.number, &link.hash), (number, &journal::link_hash(before, link)));
        before = &link.hash;
    }
    assert_eq!(store.links(2, 2).await.expect("links"), links[2..4]);
    assert_eq!(store.links(5, 9).await.expect("links"), []);
    let newest = closing_at("0b", 1, 50);
    commit(store, [opening("0b"), newest].concat()).await;
    assert_eq!(store.newest().await.expect("a time"), Some(at(50)));
    let verified = verified(store).await;
    assert_eq!((verified.links, verified.jobs, verified.entries, verified.lines, verified.removed), (7, 2, 4, 4, 0));
    let head = journal::Head { number: 5, hash: links[4].hash.clone() };
    journal::verify(store, Some(&head)).await.expect("readable").expect("it goes through this head");
    let other = journal::Head { number: 5, hash: links[3].hash.clone() };
    let fault = journal::verify(store, Some(&other)).await.expect("readable").expect_err("another head");
    assert_eq!(fault.message, "the chain does not go through the given head: link 5 is another one");
    let longer = journal::Head { number: 8, hash: links[4].hash.clone() };
    let fault = journal::verify(store, Some(&longer)).await.expect("readable").expect_err("a later head");
    assert!(fault.message.starts_with("the chain ends at link 7"), "{fault}");
}

pub(crate) async fn a_bad_list_leaves_no_trace_in_the_chain(store: &dyn Store) {
    commit(store, opening("7f")).await;
    let before = kinds(store).await;
    let bad = [
        vec![Write::Enter(entry("7f", 1, EntryKind::Call)), Write::Line(line(None, &[]))],
        opening("0b"),
        vec![take("cms", "staging", "7f"), take("cms", "staging", "0b")],
    ];
    fails(store, bad.concat()).await;
    assert_eq!(kinds(store).await, before);
    commit(store, vec![Write::Enter(entry("7f", 1, EntryKind::Intent))]).await;
    commit(store, [opening("0b"), vec![take("cms", "staging", "0b")]].concat()).await;
    fails(store, [closing("7f", 2), closing("nobody", 1)].concat()).await;
    commit(store, vec![Write::Enter(entry("7f", 2, EntryKind::Result))]).await;
    assert_eq!(store.entries("7f").await.expect("entries").len(), 3);
    assert_eq!(verified(store).await.links, 2);
}

/// What is over goes, what is not stays, and the chain says so.
pub(crate) async fn what_is_over_is_removed(store: &dyn Store) {
    let mut trigger = entry("a", 1, EntryKind::Intent);
    trigger.attributes.insert("pipeline".into(), vec!["cms/staging".into()]);
    let mut other = entry("a", 2, EntryKind::Intent);
    other.call = "chat.say".into();
    let mut large = entry("a", 3, EntryKind::Call);
    large.beside = Some(journal::digest(b"{}"));
    let keep = |bytes: &[u8]| Write::Keep { digest: journal::digest(bytes), bytes: bytes.to_vec() };
    let beside = vec![keep(b"{}"), keep(b"orphan"), keep(b"loaded"), keep(b"kept")];
    let kept = JobRow { digest: journal::digest(b"kept"), ..job("c") };
    let writes = [
        beside,
        vec![Write::Receive(message(1)), Write::Done(key(1)), Write::Receive(message(2))],
        vec![Write::Receive(message(20)), Write::Done(key(20)), Write::Receive(message(3)), Write::Done(key(3))],
        opening_of(JobRow { inbox: key(3), ..kept }),
        opening("a"),
        vec![Write::Enter(trigger), Write::Enter(other), Write::Enter(large)],
        closing_at("a", 4, 5),
        opening_of(JobRow { inbox: key(4), ..job("b") }),
        closing_at("b", 1, 15),
        vec![Write::Say(card("a/card", "done", true)), sent("a/card", 1, Some("$a"))],
        vec![Write::Say(card("c/card", "working", true)), sent("c/card", 1, Some("$c"))],
        vec![Write::Say(words("!ops/$x", "never")), sent("!ops/$x", 1, None), Write::Say(words("later", "unsent"))],
    ];
    commit(store, writes.concat()).await;
    let refused = |second| wardroom::port::store::Line { refused: true, at: at(second), ..line(None, &[]) };
    commit(store, vec![Write::Line(refused(5)), Write::Line(refused(15))]).await;
    let mut group = [line(None, &[]), line(None, &[])];
    group[1].at = at(15);
    commit(store, group.map(Write::Line).to_vec()).await;
    let loaded = [journal::digest(b"loaded")];

    let removed = store.remove(at(10), &loaded).await.expect("removes");
    let run = (RunKey::new("a", 1), "cms/staging".to_owned());
    assert_eq!(removed.jobs, [("a".to_owned(), vec![run])]);
    // Its card, the message that nothing came of, and one refusal; the other words were said just now.
    assert_eq!((removed.rows, removed.more), (2 + 1, false));
    assert_eq!(ids(store, JobQuery::default()).await.concat(), "bc");
    assert_eq!(store.entries("a").await.expect("entries"), []);
    assert_eq!(store.tip("a").await.expect("no tip"), None);
    assert_eq!(store.waiting().await.expect("rows"), [message(2)]);
    let again = [1, 20, 3].map(|number| Write::Receive(message(number)));
    assert_eq!(commit(store, again.to_vec()).await, [key(1)], "of 20 it is too early, and 3 caused a job that is open");
    for (bytes, there) in [(&b"{}"[..], false), (b"orphan", false), (b"loaded", true), (b"kept", true)] {
        let found = store.beside(&journal::digest(bytes)).await.expect("bytes");
        assert_eq!(found.is_some(), there, "{}", String::from_utf8_lossy(bytes));
    }
    let last = store.links(0, 99).await.expect("links").pop().expect("a link");
    assert_eq!((last.kind, last.subject), (LinkKind::Removal, at(10).to_string()));
    let whole = verified(store).await;
    assert_eq!((whole.jobs, whole.removed, whole.lines), (2, 1, 3), "a group goes as a whole");

    let nothing = store.remove(at(10), &loaded).await.expect("removes");
    assert_eq!(nothing, wardroom::port::store::Removed { rows: 0, ..Default::default() });
    assert_eq!(verified(store).await.links, whole.links, "nothing was removed, and no link says so");
    // Its id is given to no other: its runs and releases are still known by it.
    let again = store.commit(opening("a")).await;
    assert!(matches!(&again, Err(wardroom::port::StoreError::Failed(_))), "{again:?}");
    commit(store, opening("d")).await;
    commit(store, vec![Write::Say(card("d/card", "anew", false)), Write::Say(card("c/card", "anew", false))]).await;
    let keys = store.outbox().await.expect("rows").into_iter().map(|pending| (pending.row.key, pending.event));
    let c = ("c/card".to_owned(), Some("$c".to_owned()));
    assert_eq!(keys.collect::<Vec<_>>(), [c, ("later".to_owned(), None), ("d/card".to_owned(), None)]);
    assert_eq!(verified(store).await.removed, 1);

    // A card that is still to be sent holds its job back.
    commit(store, [closing_at("d", 1, 16), vec![sent("c/card", 2, Some("$c"))]].concat()).await;
    let removed = store.remove(Timestamp::MAX, &[]).await.expect("removes");
    assert_eq!(removed.jobs, [("b".to_owned(), Vec::new())]);
    assert_eq!(store.beside(&loaded[0]).await.expect("bytes"), None);
    commit(store, vec![sent("d/card", 1, Some("$d"))]).await;
    let removed = store.remove(Timestamp::MAX, &[]).await.expect("removes");
    assert_eq!(removed.jobs, [("d".to_owned(), Vec::new())]);
    assert_eq!(ids(store, JobQuery::default()).await.concat(), "c");
    let whole = verified(store).await;
    assert_eq!((whole.jobs, whole.removed, whole.lines), (1, 3, 0));
}

/// Not everything goes at once, and nothing is left.
pub(crate) async fn much_is_removed_in_parts(store: &dyn Store) {
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
