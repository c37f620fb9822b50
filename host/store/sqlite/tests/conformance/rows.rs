//! Sample rows, distinguished by a number or a name.

use wardroom::{
    Timestamp,
    base::Text,
    model::{Outcome, Person, RunKey},
    store::{
        AuditRecord, CallCount, DeploymentLock, Entry, EntryKind, InboxKey, InboxRow, JobEnd, JobOutcome, JobPhase,
        JobRow, JobStatus, OutboxKind, OutboxRow, PendingRow, Release, RoomCursor, Write,
    },
};

/// Returns the time that is `seconds` after a fixed time. The time has nanoseconds.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::new(1_700_000_000 + seconds, 123_456_789).expect("a time")
}

pub(crate) fn person(name: &str) -> Person {
    Person { id: format!("@{name}:example.org"), name: name.to_owned() }
}

pub(crate) fn key(number: u32) -> InboxKey {
    InboxKey { network: "matrix".into(), room: "!ops".into(), event: format!("$event{number}") }
}

pub(crate) fn message(number: u32) -> InboxRow {
    InboxRow {
        bot: "marvin".into(),
        unproven: None,
        started: None,
        direct: false,
        reaction: None,
        key: key(number),
        thread: number.is_multiple_of(2).then(|| "$root".to_owned()),
        sender: person("bob"),
        text: format!("deploy cms staging 1.0.{number}"),
        at: at(i64::from(number)),
    }
}

pub(crate) fn cursor(seconds: i64, event: Option<&str>) -> RoomCursor {
    RoomCursor {
        bot: "marvin".into(),
        network: "matrix".into(),
        room: "!ops".into(),
        event: event.map(str::to_owned),
        at: at(seconds),
    }
}

pub(crate) fn words(key: &str, text: &str) -> OutboxRow {
    OutboxRow {
        key: key.to_owned(),
        bot: "marvin".into(),
        network: "matrix".into(),
        room: "!ops".into(),
        thread: Some("$root".into()),
        purpose: OutboxKind::Message,
        text: Text::lines(text),
    }
}

pub(crate) fn card(key: &str, text: &str, rest: bool) -> OutboxRow {
    OutboxRow { purpose: OutboxKind::Card { rest }, ..words(key, text) }
}

pub(crate) fn reaction(key: &str, emoji: &str) -> OutboxRow {
    let purpose = OutboxKind::Reaction { event: "$event1".into(), emoji: emoji.into() };
    OutboxRow { purpose, text: Text::default(), ..words(key, "") }
}

pub(crate) fn pending(row: OutboxRow, event: Option<&str>, version: u64) -> PendingRow {
    PendingRow { row, event: event.map(str::to_owned), version }
}

pub(crate) fn sent(key: &str, version: u64, event: Option<&str>) -> Write {
    Write::Sent { key: key.to_owned(), version, event: event.map(str::to_owned) }
}

pub(crate) fn job(id: &str) -> JobRow {
    JobRow {
        id: id.to_owned(),
        inbox: key(1),
        thread: None,
        bot: "marvin".into(),
        caller: person("bob"),
        plugin: "deploy".into(),
        digest: "sha256:00".into(),
        command: "deploy".into(),
        app: Some("cms".into()),
        environment: Some("staging".into()),
        line: "deploy cms staging 1.0.2".into(),
        parent: None,
        overrides: None,
        opened: at(0),
        status: status(JobPhase::Running, None),
        end: None,
    }
}

/// Returns a job's status. `wake` is the job's wake time, in seconds for [`at`].
pub(crate) fn status(phase: JobPhase, wake: Option<i64>) -> JobStatus {
    JobStatus { phase, about: phase.as_str().into(), since: at(0), wake: wake.map(at) }
}

/// Returns the store changes that create a job and append its first journal entry.
pub(crate) fn opening(id: &str) -> Vec<Write> {
    opening_of(job(id))
}

/// Returns the store changes that create the job `row` and append its first journal entry.
pub(crate) fn opening_of(row: JobRow) -> Vec<Write> {
    let mut first = entry(&row.id, 0, EntryKind::Invocation);
    first.body = serde_json::json!({
        "invocation": { "job": row.id, "command": row.command, "arguments": [], "caller": row.caller },
        "line": row.line,
        "digest": row.digest,
        "settings": [],
    });
    vec![Write::Open(row), Write::Append(first)]
}

/// Returns the store changes that append the last journal entry of a job and close the job.
pub(crate) fn closing(id: &str, number: u32) -> Vec<Write> {
    closing_at(id, number, 9)
}

/// Returns the same store changes as [`closing`], with an end time in seconds for [`at`].
pub(crate) fn closing_at(id: &str, number: u32, second: i64) -> Vec<Write> {
    let end = JobEnd { outcome: JobOutcome::Warnings, at: at(second), summary: "deployed".into() };
    let mut last = entry(id, number, EntryKind::Closed);
    last.body = serde_json::json!({ "outcome": end.outcome.as_str(), "said": end.summary });
    last.at = end.at;
    vec![Write::Append(last), Write::Close { job: id.to_owned(), end }]
}

pub(crate) fn take(app: &str, environment: &str, job: &str) -> Write {
    Write::Lock { lock: lock(app, environment), job: job.to_owned() }
}

pub(crate) fn lock(app: &str, environment: &str) -> DeploymentLock {
    DeploymentLock { app: app.to_owned(), environment: environment.to_owned() }
}

/// Returns the store change that closes a job, without the change that appends the last journal entry.
pub(crate) fn close(id: &str) -> Write {
    let [_, close] = closing(id, 0).try_into().expect("two writes");
    close
}

pub(crate) fn entry(job: &str, number: u32, kind: EntryKind) -> Entry {
    Entry {
        job: job.to_owned(),
        number,
        kind,
        plugin: "deploy".into(),
        call: "pipelines.trigger".into(),
        of: None,
        rule: "plugin.deploy plugins.toml line 61".into(),
        attributes: [("app".to_owned(), vec!["cms".to_owned()]), ("version".to_owned(), Vec::new())].into(),
        body: serde_json::json!({ "version": "1.0.2", "deep": [1, null, { "a": -0.5 }] }),
        blob: None,
        at: at(i64::from(number)),
    }
}

pub(crate) fn line(plugin: Option<&str>, calls: &[(&str, u64, u64)]) -> AuditRecord {
    AuditRecord {
        inbox: key(1),
        caller: person("bob"),
        plugin: plugin.map(str::to_owned),
        command: "where cms".into(),
        at: at(1),
        calls: calls
            .iter()
            .map(|(call, allowed, refused)| CallCount {
                call: (*call).to_owned(),
                allowed: *allowed,
                refused: *refused,
            })
            .collect(),
        denials: vec!["`pipelines.trigger`: no rule".into()],
        refused: false,
    }
}

/// Returns a release whose end time is `ended`, in seconds for [`at`].
pub(crate) fn release(run: &str, app: &str, environment: &str, ended: i64, outcome: Outcome) -> Release {
    Release {
        run: RunKey::parse(run).expect("a key"),
        app: app.into(),
        environment: environment.into(),
        version: format!("1.0.{ended}"),
        person: person("bob"),
        job: "7f3a".into(),
        started: at(ended - 1),
        ended: at(ended),
        outcome,
        recorded: ended % 2 == 0,
    }
}

pub(crate) fn set(plugin: &str, key: &str, value: &[u8]) -> Write {
    Write::SetValue { plugin: plugin.into(), key: key.into(), value: value.to_vec() }
}
