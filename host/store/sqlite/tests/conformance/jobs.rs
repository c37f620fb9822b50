//! Checks of jobs and deployment locks.

use wardroom::store::{DeploymentLock, InboxKey, JobPhase, JobQuery, JobRow, Store, Write};

use crate::{
    helpers::{commit, fails, ids, open_jobs, verified},
    rows::{at, closing, job, key, lock, opening, opening_of, set, status, take},
};

fn stands(job: &str, phase: JobPhase, wake: Option<i64>) -> Write {
    Write::JobStatus { job: job.to_owned(), status: status(phase, wake) }
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
    assert_eq!(fails(store, opening("7f")).await, "job `7f` already exists");
    assert_eq!(fails(store, [opening("0b"), opening("0b")].concat()).await, "job `0b` already exists");
    assert_eq!(
        fails(store, vec![Write::Open(job("0b"))]).await,
        "the transaction that opens job `0b` does not append the first journal entry"
    );
    assert_eq!(fails(store, closing("0b", 0)[1..].to_vec()).await, "job `0b` is not open");
    let twice = [closing("7f", 1), closing("7f", 2)[1..].to_vec()].concat();
    assert_eq!(fails(store, twice).await, "job `7f` is not open");
    assert_eq!(open_jobs(store).await, [job("7f")]);
    commit(store, closing("7f", 1)).await;
    assert_eq!(fails(store, closing("7f", 1)[1..].to_vec()).await, "job `7f` is not open");
    assert_eq!(fails(store, opening("7f")).await, "job `7f` already exists");
    assert_eq!(fails(store, vec![stands("7f", JobPhase::Held, None)]).await, "job `7f` is not open");
    assert_eq!(open_jobs(store).await, []);
    assert_eq!(verified(store).await.jobs, 1);
}

pub(crate) async fn a_deployment_lock_has_one_holder(store: &dyn Store) {
    commit(store, [opening("7f"), opening("0b")].concat()).await;
    commit(store, vec![take("cms", "staging", "7f"), take("shop", "production", "0b")]).await;
    commit(store, vec![take("cms", "staging", "7f")]).await;
    let held = "the deployment lock `cms/staging` is held by job `7f`";
    assert_eq!(fails(store, vec![set("deploy", "k", b"v"), take("cms", "staging", "0b")]).await, held);
    assert_eq!(store.value("deploy", "k").await.expect("a value"), None, "the whole list was refused");
    assert_eq!(fails(store, vec![take("cms", "production", "0b"), take("cms", "production", "7f")]).await, {
        "the deployment lock `cms/production` is held by job `0b`"
    });
    assert_eq!(fails(store, vec![take("cms", "production", "nobody")]).await, "job `nobody` is not open");
    let locks = [(lock("cms", "staging"), "7f".to_owned()), (lock("shop", "production"), "0b".to_owned())];
    assert_eq!(store.locks().await.expect("places"), locks);
    // Only the holder can give a lock back. Within one list, another job can then take it.
    let untake = |job: &str| Write::Unlock { lock: lock("cms", "staging"), job: job.to_owned() };
    commit(store, vec![untake("0b")]).await;
    assert_eq!(store.locks().await.expect("places"), locks);
    commit(store, vec![untake("7f"), take("cms", "staging", "0b"), untake("0b"), take("cms", "staging", "7f")]).await;
    assert_eq!(store.locks().await.expect("places"), locks);
    assert_eq!(fails(store, vec![untake("nobody")]).await, "job `nobody` is not open");
    // Within one list, a job can take the lock that another one releases.
    commit(store, [closing("7f", 1), vec![take("cms", "staging", "0b")]].concat()).await;
    let locks =
        [lock("cms", "staging"), lock("shop", "production")].map(|lock: DeploymentLock| (lock, "0b".to_owned()));
    assert_eq!(store.locks().await.expect("places"), locks);
    assert_eq!(fails(store, vec![take("cms", "qa", "7f")]).await, "job `7f` is not open");
    commit(store, closing("0b", 1)).await;
    assert_eq!(store.locks().await.expect("places"), []);
}

pub(crate) async fn a_parked_job_is_due_at_its_wake_time(store: &dyn Store) {
    assert_eq!(store.next_wake().await.expect("a time"), None);
    commit(store, ["a", "b", "c", "d"].map(opening).concat()).await;
    let parked = vec![
        stands("a", JobPhase::Time, Some(30)),
        stands("b", JobPhase::Run, Some(10)),
        stands("c", JobPhase::Scheduled, Some(20)),
        stands("d", JobPhase::InDoubt, None),
    ];
    commit(store, parked).await;
    let due = async |second, limit| {
        let rows = store.due(at(second), limit).await.expect("jobs");
        rows.into_iter().map(|row| row.id).collect::<Vec<_>>().concat()
    };
    assert_eq!(store.next_wake().await.expect("a time"), Some(at(10)));
    let mut open = store.open_jobs().await.expect("counts");
    open.sort_by_key(|(phase, _)| phase.as_str());
    assert_eq!(open, [(JobPhase::Scheduled, 1), (JobPhase::Run, 1), (JobPhase::Time, 1), (JobPhase::InDoubt, 1)]);
    assert_eq!(due(9, 9).await, "");
    assert_eq!(due(10, 9).await, "b");
    assert_eq!(due(99, 9).await, "bca");
    assert_eq!(due(99, 2).await, "bc");
    commit(store, vec![stands("b", JobPhase::Run, Some(40)), stands("c", JobPhase::Running, None)]).await;
    assert_eq!(due(99, 9).await, "ab");
    commit(store, closing("a", 1)).await;
    assert_eq!(due(99, 9).await, "b");
    assert_eq!(store.next_wake().await.expect("a time"), Some(at(40)));
    let mut open = store.open_jobs().await.expect("counts");
    open.sort_by_key(|(phase, _)| phase.as_str());
    assert_eq!(open, [(JobPhase::Running, 1), (JobPhase::Run, 1), (JobPhase::InDoubt, 1)]);
    let row = store.job("b").await.expect("a job").expect("it is there");
    assert_eq!(row.status, status(JobPhase::Run, Some(40)));
}

pub(crate) async fn jobs_are_filtered(store: &dyn Store) {
    let threaded = JobRow { thread: Some("$root".into()), ..job("c") };
    let elsewhere = JobRow { inbox: InboxKey { room: "!other".into(), ..key(1) }, ..threaded.clone() };
    let rows = [
        job("a"),
        JobRow { plugin: "reaper".into(), inbox: key(2), ..job("b") },
        threaded,
        JobRow { id: "d".into(), ..elsewhere },
    ];
    commit(store, rows.map(opening_of).concat()).await;
    commit(store, vec![stands("b", JobPhase::Time, Some(1)), stands("c", JobPhase::Queued, None)]).await;
    commit(store, closing("a", 1)).await;
    let all = JobQuery::default();
    let root = |room: &str| Some(("matrix".to_owned(), room.to_owned(), "$root".to_owned()));
    for (query, found) in [
        (all.clone(), "dcba"),
        (JobQuery { limit: Some(3), ..all.clone() }, "dcb"),
        (JobQuery { open: Some(true), ..all.clone() }, "dcb"),
        (JobQuery { open: Some(true), limit: Some(2), ..all.clone() }, "dc"),
        (JobQuery { open: Some(false), ..all.clone() }, "a"),
        (JobQuery { phases: Some(vec![JobPhase::Queued, JobPhase::Time]), ..all.clone() }, "cb"),
        (JobQuery { phases: Some(vec![JobPhase::Running]), ..all.clone() }, "da"),
        (JobQuery { phases: Some(vec![JobPhase::Running]), open: Some(true), ..all.clone() }, "d"),
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
