//! The rules of [`Store`], each as a check that any store must pass.

use wardroom::{
    journal::{self, Verified},
    message::Person,
    port::{
        Outcome, Store, StoreError,
        store::{
            CallCount, EntryKind, Freeze, Grant, InboxKey, InboxRow, JobQuery, JobRow, Mark, OutboxRow, Phase,
            ReleaseQuery, Usage, Write,
        },
    },
};

use crate::rows::{
    at, card, close, entry, job, key, line, mark, message, opening, pending, person, place, reaction, release, sent,
    set, stand, take, words,
};

/// What is open, the newest first.
pub(crate) async fn open_jobs(store: &dyn Store) -> Vec<JobRow> {
    store.jobs(&JobQuery { open: Some(true), ..JobQuery::default() }).await.expect("jobs")
}

/// The chain holds.
pub(crate) async fn verified(store: &dyn Store) -> Verified {
    journal::verify(store, None).await.expect("it can be read").expect("nothing was changed")
}

pub(crate) async fn commit(store: &dyn Store, writes: Vec<Write>) -> Vec<InboxKey> {
    store.commit(writes).await.expect("a commit")
}

pub(crate) async fn fails(store: &dyn Store, writes: Vec<Write>) -> String {
    match store.commit(writes).await {
        Err(StoreError::Failed(reason)) => reason,
        other => panic!("should have failed: {other:?}"),
    }
}

pub(crate) async fn a_message_is_received_once(store: &dyn Store) {
    let other_room = InboxKey { room: "!other".into(), ..key(1) };
    let mut other = message(1);
    other.key = other_room.clone();
    let new =
        commit(store, vec![Write::Receive(message(2)), Write::Receive(message(1)), Write::Receive(message(2))]).await;
    assert_eq!(new, [key(2), key(1)]);
    let mut changed = message(1);
    changed.text = "rollback cms".into();
    let new = commit(store, vec![Write::Receive(changed), Write::Receive(other.clone())]).await;
    assert_eq!(new, [other_room]);
    assert_eq!(store.waiting().await.expect("rows"), [message(2), message(1), other]);
}

pub(crate) async fn what_has_a_name_comes_once_whatever_its_key(store: &dyn Store) {
    let once = |name: &str, number: u32| Write::Once {
        name: name.into(),
        came: at(3),
        // Its own time tells nothing.
        row: InboxRow { at: at(-1_000_000_000), ..message(number) },
        words: vec![words(&format!("of {number}"), "announced")],
    };
    assert_eq!(commit(store, vec![once("a", 1), once("a", 2), once("b", 3)]).await, [key(1), key(3)]);
    assert_eq!(commit(store, vec![once("a", 4)]).await, []);
    let waiting: Vec<InboxKey> = store.waiting().await.expect("rows").into_iter().map(|row| row.key).collect();
    assert_eq!(waiting, [key(1), key(3)]);
    let said: Vec<String> = store.outbox().await.expect("rows").into_iter().map(|row| row.row.key).collect();
    assert_eq!(said, ["of 1", "of 3"], "what did not come is not announced");
    // It is known for much longer than the message.
    commit(
        store,
        vec![Write::Done(key(1)), Write::Done(key(3)), sent("of 1", 1, Some("$1")), sent("of 3", 1, Some("$3"))],
    )
    .await;
    let later = |days: u64| at(3).checked_add(std::time::Duration::from_secs(24 * 60 * 60 * days)).expect("a time");
    store.remove(later(360), &[]).await.expect("a removal");
    assert_eq!(commit(store, vec![Write::Receive(message(1))]).await, [key(1)], "the message is gone");
    assert_eq!(commit(store, vec![once("a", 5)]).await, []);
    store.remove(later(370), &[]).await.expect("a removal");
    assert_eq!(commit(store, vec![once("a", 5)]).await, [key(5)]);
}

pub(crate) async fn a_message_waits_until_it_is_done(store: &dyn Store) {
    commit(store, (1..=3).map(|number| Write::Receive(message(number))).collect()).await;
    commit(store, vec![Write::Done(key(2)), Write::Done(key(2)), Write::Done(key(99))]).await;
    assert_eq!(store.waiting().await.expect("rows"), [message(1), message(3)]);
    let new = commit(store, vec![Write::Receive(message(2))]).await;
    assert_eq!(new, [], "what is done is known for ever");
    assert_eq!(store.waiting().await.expect("rows"), [message(1), message(3)]);
}

pub(crate) async fn a_mark_moves_forward_only(store: &dyn Store) {
    assert_eq!(store.mark("marvin", "matrix", "!ops").await.expect("a mark"), None);
    commit(store, vec![Write::Mark(mark(5, None))]).await;
    assert_eq!(store.mark("marvin", "matrix", "!ops").await.expect("a mark"), Some(mark(5, None)));
    commit(store, vec![Write::Mark(mark(5, Some("$a")))]).await;
    commit(store, vec![Write::Mark(mark(8, Some("$b")))]).await;
    commit(store, vec![Write::Mark(mark(7, Some("$late")))]).await;
    let elsewhere = Mark { room: "!other".into(), ..mark(1, None) };
    commit(store, vec![Write::Mark(elsewhere.clone())]).await;
    assert_eq!(store.mark("marvin", "matrix", "!ops").await.expect("a mark"), Some(mark(8, Some("$b"))));
    assert_eq!(store.mark("marvin", "matrix", "!other").await.expect("a mark"), Some(elsewhere));
    assert_eq!(store.mark("marvin", "mattermost", "!ops").await.expect("a mark"), None);
}

pub(crate) async fn a_message_is_said_once(store: &dyn Store) {
    commit(store, vec![Write::Say(words("b", "first")), Write::Say(words("a", "second"))]).await;
    commit(store, vec![Write::Say(words("b", "again")), Write::Say(card("b", "as a card", true))]).await;
    let rows = [pending(words("b", "first"), None, 1), pending(words("a", "second"), None, 1)];
    assert_eq!(store.outbox().await.expect("rows"), rows);
    commit(store, vec![sent("b", 1, Some("$b")), sent("nobody", 1, Some("$x"))]).await;
    commit(store, vec![Write::Say(words("b", "once more"))]).await;
    assert_eq!(store.outbox().await.expect("rows"), rows[1..]);
}

pub(crate) async fn a_reaction_is_said_once(store: &dyn Store) {
    commit(store, vec![Write::Say(reaction("r", "👀")), Write::Say(reaction("r", "✅"))]).await;
    assert_eq!(store.outbox().await.expect("rows"), [pending(reaction("r", "👀"), None, 1)]);
    commit(store, vec![sent("r", 1, Some("$r"))]).await;
    commit(store, vec![Write::Say(reaction("r", "✅"))]).await;
    assert_eq!(store.outbox().await.expect("rows"), []);
}

pub(crate) async fn a_card_keeps_its_newest_text(store: &dyn Store) {
    commit(store, vec![Write::Say(card("c", "queued", false)), Write::Say(words("m", "hello"))]).await;
    commit(store, vec![Write::Say(card("c", "running", false)), Write::Say(card("c", "done", true))]).await;
    let rows = [pending(card("c", "done", true), None, 3), pending(words("m", "hello"), None, 1)];
    assert_eq!(store.outbox().await.expect("rows"), rows, "a card keeps its place in the queue");
    commit(store, vec![Write::Say(words("c", "a message"))]).await;
    assert_eq!(store.outbox().await.expect("rows"), rows);
}

pub(crate) async fn a_card_keeps_its_first_event_and_its_place(store: &dyn Store) {
    commit(store, vec![Write::Say(card("c", "queued", false)), sent("c", 1, Some("$first"))]).await;
    assert_eq!(store.outbox().await.expect("rows"), []);
    let moved = OutboxRow { room: "!other".into(), thread: None, ..card("c", "running", false) };
    commit(store, vec![Write::Say(moved)]).await;
    assert_eq!(store.outbox().await.expect("rows"), [pending(card("c", "running", false), Some("$first"), 2)]);
    commit(store, vec![sent("c", 2, Some("$edit"))]).await;
    commit(store, vec![Write::Say(card("c", "done", true))]).await;
    assert_eq!(store.outbox().await.expect("rows"), [pending(card("c", "done", true), Some("$first"), 3)]);
}

pub(crate) async fn a_sent_text_that_is_not_the_newest_leaves_the_card_unsent(store: &dyn Store) {
    commit(store, vec![Write::Say(card("c", "queued", false)), Write::Say(card("c", "running", false))]).await;
    commit(store, vec![sent("c", 1, Some("$first"))]).await;
    let row = pending(card("c", "running", false), Some("$first"), 2);
    assert_eq!(store.outbox().await.expect("rows"), [row]);
    commit(store, vec![sent("c", 2, Some("$edit"))]).await;
    // An answer that comes late takes nothing back, and one for a text that does not exist yet gives nothing away.
    commit(store, vec![sent("c", 1, Some("$first")), sent("c", 77, Some("$wrong"))]).await;
    assert_eq!(store.outbox().await.expect("rows"), []);
    commit(store, vec![Write::Say(card("c", "done", true))]).await;
    assert_eq!(store.outbox().await.expect("rows"), [pending(card("c", "done", true), Some("$first"), 3)]);
}

pub(crate) async fn what_cannot_be_sent_is_given_up_for_good(store: &dyn Store) {
    commit(store, vec![Write::Say(card("c", "queued", false)), Write::Say(words("m", "hello"))]).await;
    commit(store, vec![sent("c", 1, None), sent("m", 1, None)]).await;
    assert_eq!(store.outbox().await.expect("rows"), []);
    commit(store, vec![Write::Say(card("c", "done", true)), sent("c", 1, Some("$late"))]).await;
    assert_eq!(store.outbox().await.expect("rows"), []);
}

pub(crate) async fn a_list_with_one_bad_write_changes_nothing(store: &dyn Store) {
    commit(store, vec![Write::Receive(message(1)), Write::Say(card("c", "queued", false))]).await;
    commit(store, opening("7f")).await;
    commit(store, vec![set("deploy", "old", b"1"), set("deploy", "gone", b"1")]).await;
    let writes = vec![
        Write::Receive(message(2)),
        Write::Done(key(1)),
        Write::Mark(mark(1, None)),
        Write::Say(words("m", "hello")),
        Write::Say(card("c", "running", false)),
        sent("c", 2, Some("$c")),
        Write::Open(job("0b")),
        close("7f"),
        Write::Enter(entry("0b", 0, EntryKind::Call)),
        take("cms", "staging", "0b"),
        Write::Stand { job: "0b".into(), stand: stand(Phase::Time, Some(5)) },
        Write::Keep { digest: "sha256:aa".into(), bytes: b"large".to_vec() },
        Write::Line(line(Some("deploy"), &[("log.info", 1, 0)])),
        Write::Release(release("0b-1", "cms", "staging", 1, Outcome::Succeeded)),
        set("deploy", "old", b"2"),
        set("deploy", "new", b"2"),
        Write::Delete { plugin: "deploy".into(), key: "gone".into() },
        close("nobody"),
    ];
    assert_eq!(fails(store, writes.clone()).await, "job `nobody` is not open");
    assert_eq!(store.waiting().await.expect("rows"), [message(1)]);
    assert_eq!(store.mark("marvin", "matrix", "!ops").await.expect("a mark"), None);
    assert_eq!(store.outbox().await.expect("rows"), [pending(card("c", "queued", false), None, 1)]);
    assert_eq!(open_jobs(store).await, [job("7f")]);
    assert_eq!(store.entries("0b").await.expect("entries"), []);
    assert_eq!(store.places().await.expect("places"), []);
    assert_eq!(store.next_wake().await.expect("a time"), None);
    assert_eq!(store.beside("sha256:aa").await.expect("bytes"), None);
    assert_eq!(store.links(0, 9).await.expect("links").len(), 1, "of the first job");
    assert_eq!(store.releases(&ReleaseQuery::default()).await.expect("releases"), []);
    let values = [("gone".to_owned(), b"1".to_vec()), ("old".to_owned(), b"1".to_vec())];
    assert_eq!(store.values("deploy", "", 9).await.expect("values"), values);
    assert_eq!(store.usage().await.expect("usage"), []);

    // The same list without the bad one is good.
    let new = commit(store, writes[..writes.len() - 1].to_vec()).await;
    assert_eq!(new, [key(2)]);
    assert_eq!(store.waiting().await.expect("rows"), [message(2)]);
    assert_eq!(store.outbox().await.expect("rows"), [pending(words("m", "hello"), None, 1)]);
    let parked = JobRow { stand: stand(Phase::Time, Some(5)), ..job("0b") };
    assert_eq!(open_jobs(store).await, [parked]);
    assert_eq!(store.places().await.expect("places"), [(place("cms", "staging"), "0b".to_owned())]);
    assert_eq!(store.beside("sha256:aa").await.expect("bytes"), Some(b"large".to_vec()));
    assert_eq!(store.links(0, 9).await.expect("links").len(), 4, "two openings, a closing and a line");
    verified(store).await;
}

pub(crate) async fn a_list_sees_its_own_writes(store: &dyn Store) {
    let writes = vec![
        Write::Receive(message(1)),
        Write::Done(key(1)),
        Write::Open(job("7f")),
        Write::Enter(entry("7f", 0, EntryKind::Invocation)),
        Write::Enter(entry("7f", 1, EntryKind::Closed)),
        close("7f"),
        Write::Say(card("c", "queued", false)),
        Write::Say(card("c", "done", true)),
        set("deploy", "k", b"1"),
        Write::Delete { plugin: "deploy".into(), key: "k".into() },
    ];
    assert_eq!(commit(store, writes).await, [key(1)]);
    assert_eq!(store.waiting().await.expect("rows"), []);
    assert_eq!(open_jobs(store).await, []);
    assert_eq!(store.entries("7f").await.expect("entries").len(), 2);
    assert_eq!(store.outbox().await.expect("rows"), [pending(card("c", "done", true), None, 2)]);
    assert_eq!(store.value("deploy", "k").await.expect("a value"), None);
}

pub(crate) async fn a_run_is_released_once(store: &dyn Store) {
    let first = release("7f-4", "cms", "staging", 5, Outcome::Succeeded);
    let second = release("7f-4", "cms", "production", 6, Outcome::Failed);
    commit(store, vec![Write::Release(first.clone()), Write::Release(second.clone())]).await;
    commit(store, vec![Write::Release(second)]).await;
    assert_eq!(store.releases(&ReleaseQuery::default()).await.expect("releases"), [first]);
}

pub(crate) async fn releases_come_newest_first(store: &dyn Store) {
    let rows = [
        release("a-1", "cms", "staging", 5, Outcome::Succeeded),
        release("a-2", "cms", "staging", 9, Outcome::Failed),
        release("a-3", "cms", "staging", 5, Outcome::Unknown),
        release("a-4", "cms", "staging", 7, Outcome::Cancelled),
    ];
    commit(store, rows.iter().cloned().map(Write::Release).collect()).await;
    let [first, second, third, fourth] = rows;
    let newest = store.releases(&ReleaseQuery::default()).await.expect("releases");
    assert_eq!(newest, [second, fourth, third, first]);
}

pub(crate) async fn releases_are_filtered(store: &dyn Store) {
    let cms = release("a-1", "cms", "staging", 1, Outcome::Succeeded);
    let live = release("a-2", "cms", "production", 2, Outcome::Failed);
    let shop = release("a-3", "shop", "staging", 3, Outcome::Succeeded);
    commit(store, [&cms, &live, &shop].map(|row| Write::Release(row.clone())).to_vec()).await;
    let all = ReleaseQuery::default();
    for (query, rows) in [
        (ReleaseQuery { app: Some("cms".into()), ..all.clone() }, vec![live.clone(), cms.clone()]),
        (ReleaseQuery { environment: Some("staging".into()), ..all.clone() }, vec![shop.clone(), cms.clone()]),
        (ReleaseQuery { outcome: Some(Outcome::Failed), ..all.clone() }, vec![live]),
        (ReleaseQuery { app: Some("%".into()), ..all.clone() }, vec![]),
        (ReleaseQuery { version: Some("no such version".into()), ..all.clone() }, vec![]),
        (
            ReleaseQuery {
                app: Some("cms".into()),
                environment: Some("staging".into()),
                version: Some(cms.version.clone()),
                outcome: Some(Outcome::Succeeded),
                latest: false,
            },
            vec![cms],
        ),
    ] {
        assert_eq!(store.releases(&query).await.expect("releases"), rows, "{query:?}");
    }
}

pub(crate) async fn the_latest_release_is_chosen_after_the_other_filters(store: &dyn Store) {
    let good = release("a-1", "cms", "staging", 1, Outcome::Succeeded);
    let same = release("a-2", "cms", "staging", 1, Outcome::Succeeded);
    let bad = release("a-3", "cms", "staging", 2, Outcome::Failed);
    let live = release("a-4", "cms", "production", 0, Outcome::Succeeded);
    let shop = release("a-5", "shop", "staging", 9, Outcome::Failed);
    commit(store, [good, same.clone(), bad.clone(), live.clone(), shop.clone()].map(Write::Release).to_vec()).await;
    let latest = ReleaseQuery { latest: true, ..ReleaseQuery::default() };
    assert_eq!(store.releases(&latest).await.expect("releases"), [shop, bad, live.clone()]);
    let good = ReleaseQuery { outcome: Some(Outcome::Succeeded), ..latest };
    assert_eq!(store.releases(&good).await.expect("releases"), [same, live]);
}

fn grant(id: &str, until: Option<i64>) -> Grant {
    Grant {
        id: id.into(),
        person: Person { id: "@bob:example.org".into(), name: "Bob".into() },
        role: "deployer".into(),
        app: "cms".into(),
        environment: until.map(|_| "production".into()),
        by: Person::named_by_id("@alice:example.org"),
        bot: "marvin".into(),
        at: at(3),
        until: until.map(at),
    }
}

pub(crate) async fn what_was_granted_stands_until_it_is_taken_back(store: &dyn Store) {
    let (first, second) = (grant("7f-2", None), grant("0b-1", Some(5)));
    commit(store, vec![Write::Grant(first.clone()), Write::Grant(second.clone())]).await;
    commit(store, vec![Write::Grant(Grant { role: "admin".into(), ..first.clone() })]).await;
    assert_eq!(store.grants().await.expect("grants"), [first, second.clone()]);
    commit(store, vec![Write::Revoke("7f-2".into()), Write::Revoke("none".into())]).await;
    assert_eq!(store.grants().await.expect("grants"), [second]);
}

pub(crate) async fn an_environment_has_one_freeze(store: &dyn Store) {
    let freeze = |environment: &str, until: Option<i64>| Freeze {
        environment: environment.into(),
        until: until.map(at),
        reason: "the fair".into(),
        by: Person::named_by_id("@alice:example.org"),
        at: at(1),
    };
    commit(store, vec![Write::Freeze(freeze("staging", None)), Write::Freeze(freeze("production", None))]).await;
    commit(store, vec![Write::Freeze(freeze("production", Some(9)))]).await;
    let all = store.freezes().await.expect("freezes");
    assert_eq!(all, [freeze("production", Some(9)), freeze("staging", None)]);
    commit(store, vec![Write::Thaw("staging".into()), Write::Thaw("test".into())]).await;
    assert_eq!(store.freezes().await.expect("freezes"), [freeze("production", Some(9))]);
}

pub(crate) async fn what_was_sent_is_known_by_its_event(store: &dyn Store) {
    commit(store, vec![Write::Say(card("7f/card", "one", true)), sent("7f/card", 1, Some("$card"))]).await;
    let network = card("7f/card", "one", true).network;
    assert_eq!(store.sent_as(&network, "$card").await.expect("a key").as_deref(), Some("7f/card"));
    assert_eq!(store.sent_as("other", "$card").await.expect("a key"), None);
    assert_eq!(store.sent_as(&network, "$other").await.expect("a key"), None);
}

pub(crate) async fn a_plugin_has_its_own_values(store: &dyn Store) {
    let bytes: Vec<u8> = (0..=255).collect();
    commit(store, vec![set("reaper", "k", b"theirs"), set("deploy", "k", b"old"), set("deploy", "k", &bytes)]).await;
    commit(store, vec![set("deploy", "empty", b""), Write::Delete { plugin: "deploy".into(), key: "nobody".into() }])
        .await;
    assert_eq!(store.value("deploy", "k").await.expect("a value"), Some(bytes));
    assert_eq!(store.value("deploy", "empty").await.expect("a value"), Some(Vec::new()));
    assert_eq!(store.value("coffee", "k").await.expect("a value"), None);
    commit(store, vec![Write::Delete { plugin: "deploy".into(), key: "k".into() }]).await;
    assert_eq!(store.value("deploy", "k").await.expect("a value"), None);
    assert_eq!(store.value("reaper", "k").await.expect("a value"), Some(b"theirs".to_vec()));
}

pub(crate) async fn values_are_found_by_the_bytes_of_a_prefix(store: &dyn Store) {
    // In the order of their bytes; the last two are the ends of what one UTF-8 length can say.
    let keys =
        ["A", "a", "a%", "a%b", "a_", "a_b", "aa", "ab", "a\u{d7ff}", "a\u{e000}", "b", "\u{10ffff}", "\u{10ffff}x"];
    commit(store, keys.iter().rev().map(|key| set("deploy", key, key.as_bytes())).collect()).await;
    commit(store, vec![set("other", "a", b"theirs")]).await;
    for (prefix, limit, found) in [
        ("", 100, &keys[..]),
        ("", 2, &keys[..2]),
        ("a", 100, &keys[1..10]),
        ("a", 3, &keys[1..4]),
        ("a%", 100, &keys[2..4]),
        ("a_", 100, &keys[4..6]),
        ("a\u{d7ff}", 100, &keys[8..9]),
        ("\u{10ffff}", 100, &keys[11..]),
        ("c", 100, &[]),
        ("a", 0, &[]),
    ] {
        let values = store.values("deploy", prefix, limit).await.expect("values");
        let names: Vec<&str> = values.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(names, found, "prefix {prefix:?}");
        assert!(values.iter().all(|(key, value)| key.as_bytes() == value), "prefix {prefix:?}");
    }
}

pub(crate) async fn usage_counts_jobs_and_lines(store: &dyn Store) {
    let mut entries = vec![
        entry("7f", 0, EntryKind::Invocation),
        entry("7f", 1, EntryKind::Intent),
        entry("7f", 2, EntryKind::Result),
        entry("7f", 3, EntryKind::Denied),
        entry("7f", 4, EntryKind::Call),
        entry("7f", 5, EntryKind::Wait),
        entry("7f", 6, EntryKind::Result),
        entry("7f", 7, EntryKind::End),
    ];
    entries[4].call = "catalog.releases".into();
    entries[5].call = "pipelines.wait".into();
    entries[6].call = "pipelines.wait".into();
    commit(store, [Write::Open(job("7f"))].into_iter().chain(entries.into_iter().map(Write::Enter)).collect()).await;
    let lines = [
        line(Some("deploy"), &[("catalog.releases", 3, 0), ("pipelines.trigger", 0, 2)]),
        line(Some("coffee"), &[("pipelines.trigger", 0, 1)]),
        line(Some("deploy"), &[("catalog.releases", 1, 0)]),
        line(None, &[]),
    ];
    commit(store, lines.map(Write::Line).to_vec()).await;
    let usage = |plugin: &str, call: &str, allowed, refused| Usage {
        plugin: plugin.to_owned(),
        count: CallCount { call: call.to_owned(), allowed, refused },
    };
    let expected = [
        usage("coffee", "pipelines.trigger", 0, 1),
        usage("deploy", "catalog.releases", 5, 0),
        usage("deploy", "pipelines.trigger", 1, 3),
        usage("deploy", "pipelines.wait", 1, 0),
    ];
    assert_eq!(store.usage().await.expect("usage"), expected);
}

pub(crate) async fn a_note_comes_before_a_later_commit(store: &dyn Store) {
    store.note(vec![Write::Receive(message(1)), set("deploy", "k", b"noted")]);
    store.note(opening("7f"));
    let new = commit(store, vec![Write::Receive(message(1)), set("deploy", "k", b"committed"), close("7f")]).await;
    assert_eq!(new, [], "the note had received it already");
    assert_eq!(store.value("deploy", "k").await.expect("a value"), Some(b"committed".to_vec()));
    assert_eq!(open_jobs(store).await, []);
    store.note(vec![Write::Done(key(1))]);
    commit(store, vec![]).await;
    assert_eq!(store.waiting().await.expect("rows"), [], "an empty commit waits for what was noted before");
}

pub(crate) async fn a_bad_note_fails_alone(store: &dyn Store) {
    store.note(vec![set("deploy", "before", b"1")]);
    store.note(vec![set("deploy", "bad", b"1"), close("nobody")]);
    store.note(vec![set("deploy", "after", b"1")]);
    commit(store, vec![set("deploy", "last", b"1")]).await;
    let values = store.values("deploy", "", 9).await.expect("values");
    let names: Vec<&str> = values.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(names, ["after", "before", "last"]);
}

pub(crate) async fn every_text_comes_back_as_it_was(store: &dyn Store) {
    let hostile = "'; drop table inbox; --\u{0}\u{202e}\"\\ é 👀";
    let mut received = message(1);
    received.text = hostile.into();
    received.sender = person(hostile);
    received.key.event = hostile.into();
    // Times that no clock shows, from a network that sends anything.
    received.at = wardroom::Timestamp::MAX;
    let mut said = words(hostile, "a line");
    said.text.push_code("some\ncode");
    let early = Mark { at: wardroom::Timestamp::MIN, event: Some(hostile.into()), ..mark(0, None) };
    let writes = vec![
        Write::Receive(received.clone()),
        Write::Say(said.clone()),
        Write::Mark(early.clone()),
        set(hostile, hostile, hostile.as_bytes()),
    ];
    commit(store, writes).await;
    assert_eq!(store.waiting().await.expect("rows"), [received]);
    assert_eq!(store.outbox().await.expect("rows"), [pending(said, None, 1)]);
    assert_eq!(store.mark("marvin", "matrix", "!ops").await.expect("a mark"), Some(early));
    assert_eq!(store.value(hostile, hostile).await.expect("a value"), Some(hostile.as_bytes().to_vec()));
    commit(store, vec![Write::Mark(Mark { at: at(0), ..mark(0, None) })]).await;
    assert_eq!(store.mark("marvin", "matrix", "!ops").await.expect("a mark"), Some(mark(0, None)));
}
