//! Reads a job's journal and checks its hashes. Computes the job's position, cancellation and pipeline runs from the
//! journal entries.

use std::collections::HashSet;

use serde::Deserialize;

use super::{
    approval_request::{ApprovalRequest, latest},
    invocation::GuestInvocation,
    shown_in::ShownIn,
};
use crate::{
    adapter::RunEnd,
    command::Options,
    journal::{check_entries, read},
    model::{BackendId, Catalog, Limits, RunKey},
    store::{Entry, EntryKind, JobRow, Store, StoreError},
};

/// The host call that starts a pipeline run.
pub(crate) const TRIGGER: &str = "pipelines.trigger";
/// The host call that waits for a pipeline run or a timer.
pub(crate) const WAIT: &str = "pipelines.wait";
/// The value of `event` in the journal entry that records that a process of the host ended while the job's plugin ran.
pub(crate) const INTERRUPTED: &str = "interrupted";
/// The error code of an effect if it is unknown whether the effect happened.
pub(crate) const UNKNOWN: &str = "unknown";
/// The value of `event` in the journal entry of an approval request.
const ASKED: &str = "approval-asked";
/// The value of `event` in the journal entry of a cancellation.
pub(crate) const CANCEL: &str = "cancel";

/// The body of the first entry of a job's journal: the plugin's invocation, and all data that a replay needs.
#[derive(Debug, Clone, serde::Serialize, Deserialize)]
pub(crate) struct StartEntry {
    /// The command and its arguments, as the plugin receives them.
    pub(crate) invocation: GuestInvocation,
    /// The command line, such as `deploy cms staging 1.0.2`.
    pub(crate) line: String,
    /// The digest of the plugin's file, `sha256:…`. A replay runs the plugin file with this digest.
    pub(crate) digest: String,
    /// The plugin's settings at the time of the command.
    pub(crate) settings: Vec<(String, String)>,
    /// The resource limits of one run of the plugin.
    pub(crate) limits: Limits,
    /// The host's own options that were typed with the action, such as `--wait`.
    #[serde(flatten)]
    pub(crate) options: Options,
    /// Whether the command was typed in a direct message.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) direct: bool,
    /// The room that also shows the job, if its command was typed in a direct message; otherwise `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) shown: Option<ShownIn>,
}

/// The position of a job in its journal, which determines the runner's next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReplayPosition {
    /// The plugin runs from the start of its command. Recorded host calls return their results from the journal.
    Running,
    /// The job waits for a pipeline run or a timer. Holds the index of the `Wait` entry.
    Waiting(usize),
    /// It is unknown whether an effect happened: the journal has an `Intent` entry, which says that the effect is about
    /// to happen, but no result of the effect. Holds the index of the `Intent` entry.
    InDoubt(usize),
    /// The job waits for the approval of its next effect.
    AwaitingApproval,
    /// The plugin ended. Holds the index of its `End` entry.
    PluginEnded(usize),
    Closed,
}

/// The entries of a job's journal. Their hashes were checked.
#[derive(Debug, Default)]
pub(crate) struct JobHistory {
    entries: Vec<Entry>,
}

/// A pipeline run that a job started, with the app, the environment and the version that the run deploys.
#[derive(Clone)]
pub(crate) struct PipelineRun {
    /// The idempotency key of the pipeline run, which the host passed to the backend.
    pub key: RunKey,
    /// The name of the pipeline, such as `cms/staging`.
    pub pipeline: String,
    /// The app that the pipeline run deploys.
    pub app: String,
    /// The environment to which the pipeline run deploys.
    pub environment: String,
    /// The version that the pipeline run deploys; `None` if the pipeline has no version parameter.
    pub version: Option<String>,
    /// The backend that executes the pipeline run.
    pub backend: BackendId,
}

/// The error of reading a job's journal or loading the job's plugin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HistoryError {
    /// The store failed. The caller can retry.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal entries do not match their hashes, or cannot be parsed.
    #[error("the job's journal is broken: {0}")]
    Broken(String),
    /// The job's plugin cannot be loaded. Holds the complete message.
    #[error("{0}")]
    Plugin(String),
}

impl JobHistory {
    /// Reads a job's journal and checks the hash of every entry.
    pub(crate) async fn read(store: &dyn Store, job: &str) -> Result<Self, HistoryError> {
        Self::read_incremental(store, job, &mut None).await
    }

    /// Reads a job's journal like [`Self::read`], but skips the hash check of entries that an earlier call checked.
    /// `checked` holds the number of these entries and the hash of the last of them. After success, `checked` covers
    /// all entries.
    pub(crate) async fn read_incremental(
        store: &dyn Store,
        job: &str,
        checked: &mut Option<(u32, String)>,
    ) -> Result<Self, HistoryError> {
        let (hashed, head) = read(store, job).await?;
        let head =
            head.ok_or_else(|| HistoryError::Broken(format!("the database has no journal entry of job `{job}`")))?;
        let result = check_entries(job, &hashed, &head, checked.as_ref());
        result.map_err(|fault| HistoryError::Broken(fault.message))?;
        *checked = Some(head);
        let mut entries: Vec<Entry> = hashed.into_iter().map(|hashed| hashed.entry).collect();
        // A replay reads the large bodies of calls and intents one at a time. All other large bodies are read now.
        let read_now = |entry: &&mut Entry| !matches!(entry.kind, EntryKind::Call | EntryKind::Intent);
        for entry in entries.iter_mut().filter(|entry| entry.blob.is_some()).filter(read_now) {
            entry.body = match entry.unpack(store).await {
                Ok(body) => body,
                Err(StoreError::Failed(reason)) => return Err(HistoryError::Broken(reason)),
                Err(error) => return Err(error.into()),
            };
        }
        Ok(Self { entries })
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) fn next(&self) -> u32 {
        u32::try_from(self.entries.len()).unwrap_or(u32::MAX)
    }

    /// Parses the body of the journal's first entry.
    pub(crate) fn start_entry(&self) -> Result<StartEntry, HistoryError> {
        let first =
            self.entries.first().ok_or_else(|| HistoryError::Broken("the journal has no entries".to_owned()))?;
        StartEntry::deserialize(&first.body)
            .map_err(|error| HistoryError::Broken(format!("the first journal entry cannot be parsed: {error}")))
    }

    /// Returns how many times in a row a process of the host ended while the job's plugin ran, without a further step of
    /// the job in between.
    pub(crate) fn interruptions(&self) -> usize {
        let is_interruption = |entry: &&Entry| entry.kind == EntryKind::Event && entry.body["event"] == INTERRUPTED;
        self.entries.iter().rev().take_while(is_interruption).count()
    }

    /// Returns whether the plugin has made no host call yet.
    pub(crate) fn is_fresh(&self) -> bool {
        self.entries[1..].iter().all(|entry| entry.kind == EntryKind::Event)
    }

    /// Returns the newest approval request with the approvals so far; `None` if the job has not requested approval.
    pub(crate) fn ask(&self) -> Option<ApprovalRequest> {
        latest(&self.entries)
    }

    /// Returns the time of the newest approval request; `None` if the job has not requested approval.
    pub(crate) fn asked_at(&self) -> Option<jiff::Timestamp> {
        let is_request = |entry: &&Entry| entry.kind == EntryKind::Event && entry.body["event"] == ASKED;
        self.entries.iter().rev().find(is_request).map(|entry| entry.at)
    }

    /// Returns whether the newest effect has no result, and is no pipeline run. The host follows pipeline runs after the
    /// plugin has ended.
    pub(crate) fn has_unknown_effect(&self) -> bool {
        matches!(self.position(), ReplayPosition::InDoubt(at) if self.entries[at].call != TRIGGER)
    }

    /// Returns the job's position. If the journal has a closing entry, the job is closed. If the newest intent or wait
    /// has no result, this entry is the position. If the plugin ended, its `End` entry is the position. In all other
    /// cases, the job waits for an open approval request, or the plugin runs.
    pub(crate) fn position(&self) -> ReplayPosition {
        let mut open = None;
        for (index, entry) in self.entries.iter().enumerate() {
            match entry.kind {
                EntryKind::Closed => return ReplayPosition::Closed,
                EntryKind::End => open = Some(ReplayPosition::PluginEnded(index)),
                EntryKind::Intent => open = Some(ReplayPosition::InDoubt(index)),
                EntryKind::Wait => open = Some(ReplayPosition::Waiting(index)),
                EntryKind::Result => open = None,
                EntryKind::Invocation | EntryKind::Call | EntryKind::Denied | EntryKind::Event => {}
            }
        }
        match open {
            Some(position) => position,
            // The plugin of a cancelled job runs once more to receive the cancellation.
            None if self.cancelled() => ReplayPosition::Running,
            None => match self.ask() {
                Some(ApprovalRequest { decision: None, .. }) => ReplayPosition::AwaitingApproval,
                _ => ReplayPosition::Running,
            },
        }
    }

    pub(crate) fn cancelled(&self) -> bool {
        self.entries.iter().any(is_cancellation)
    }

    /// Returns whether the job started this pipeline run after the job was cancelled. The host treats such a pipeline
    /// run as part of the plugin's cleanup, and does not cancel it.
    pub(crate) fn is_cleanup_run(&self, run: &RunKey) -> bool {
        let cancellation = self.entries.iter().find(|entry| is_cancellation(entry));
        cancellation.zip(self.start(run)).is_some_and(|(cancellation, intent)| intent.number > cancellation.number)
    }

    /// Returns whether the plugin has received the job's cancellation. The plugin receives the cancellation as the
    /// result of a wait, or as the denial of an effect.
    pub(crate) fn cancel_was_delivered(&self) -> bool {
        let delivers = |entry: &Entry| match entry.kind {
            EntryKind::Result if entry.call == WAIT => {
                let answer = &entry.body["answer"];
                answer["Err"] == "Cancelled" || answer["Ok"]["outcome"] == "cancelled"
            }
            EntryKind::Denied => entry.body["answer"]["Err"]["Other"]["code"] == "cancelled",
            _ => false,
        };
        self.entries.iter().skip_while(|entry| !is_cancellation(entry)).any(delivers)
    }

    /// Returns whether the plugin has waited since the job was cancelled. The plugin of a cancelled job runs once before
    /// its next wait.
    pub(crate) fn has_waited_since_cancellation(&self) -> bool {
        let mut later = self.entries.iter().skip_while(|entry| !is_cancellation(entry));
        later.any(|entry| entry.kind == EntryKind::Wait)
    }

    /// Returns the number of waits since the job's cancellation that ended at once: with an error such as `cancelled`, or
    /// with an item that an earlier wait has already returned.
    pub(crate) fn idle_waits_since_cancellation(&self) -> usize {
        let mut returned = HashSet::new();
        let (mut cancelled, mut idle) = (false, 0);
        for entry in &self.entries {
            cancelled |= is_cancellation(entry);
            if entry.kind == EntryKind::Result && entry.call == WAIT {
                let item = entry.body["answer"]["Ok"]["id"].as_str();
                let is_new = item.is_some_and(|id| returned.insert(id));
                idle += usize::from(cancelled && !is_new);
            }
        }
        idle
    }

    /// Returns whether the journal has the intent of an effect.
    pub(crate) fn has_intent(&self) -> bool {
        self.entries.iter().any(|entry| entry.kind == EntryKind::Intent)
    }

    /// Returns the apps of all effects for which the journal has an intent, whether or not the effects happened.
    pub(crate) fn apps(&self) -> std::collections::BTreeSet<&str> {
        let intents = self.entries.iter().filter(|entry| entry.kind == EntryKind::Intent);
        intents.filter_map(|intent| intent.attributes.get("app")).flatten().map(String::as_str).collect()
    }

    /// Returns the result entry of the intent or wait with this number.
    pub(crate) fn result_of(&self, number: u32) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.kind == EntryKind::Result && entry.of == Some(number))
    }

    /// Returns the pipeline run with this id. Returns `None` if the job did not start the pipeline run, or if the
    /// pipeline is no longer configured.
    pub(crate) fn run(&self, catalog: &Catalog, id: &str) -> Option<PipelineRun> {
        run_of(catalog, self.start(&RunKey::parse(id)?)?)
    }

    /// Returns the `Intent` entry of each unfinished pipeline run. A pipeline run is unfinished if the job started the
    /// run, or may have started it, and the plugin has not received the result of the run.
    pub(crate) fn unfinished(&self) -> Vec<&Entry> {
        let end_received = |intent: &Entry| {
            let key = RunKey::new(&intent.job, intent.number);
            let is_wait_result = |entry: &&Entry| entry.kind == EntryKind::Result && entry.call == WAIT;
            self.entries.iter().filter(is_wait_result).any(|entry| entry.body["answer"]["Ok"]["id"] == key.as_str())
        };
        self.entries.iter().filter(|entry| self.may_run(entry) && !end_received(entry)).collect()
    }

    /// Returns the notes of the pipeline runs whose ends the plugin received ([`RunEnd::NOTE`]).
    pub(crate) fn run_notes(&self) -> impl Iterator<Item = &str> {
        let results = self.entries.iter().filter(|entry| entry.kind == EntryKind::Result && entry.call == WAIT);
        let details = results.filter_map(|entry| entry.body["answer"]["Ok"]["details"].as_array());
        let notes = details.flatten().filter(|detail| detail["name"] == RunEnd::NOTE);
        notes.filter_map(|detail| detail["value"].as_str())
    }

    /// Returns whether an entry is the `Intent` entry of a pipeline run that was started, or may have been started.
    pub(crate) fn may_run(&self, intent: &Entry) -> bool {
        if !is_start(intent) {
            return false;
        }
        self.result_of(intent.number).is_none_or(|result| may_have_happened(&result.body["answer"]))
    }

    /// Returns the `Intent` entry of a pipeline run; `None` if the job did not start the pipeline run.
    fn start(&self, run: &RunKey) -> Option<&Entry> {
        self.entries.iter().find(|entry| is_start(entry) && RunKey::new(&entry.job, entry.number) == *run)
    }
}

/// Returns whether an effect with this answer happened or may have happened. `answer` is the answer in the journal entry
/// of the effect's result.
pub(crate) fn may_have_happened(answer: &serde_json::Value) -> bool {
    answer.get("Ok").is_some() || answer["Err"]["Other"]["code"] == UNKNOWN
}

fn is_cancellation(entry: &Entry) -> bool {
    entry.kind == EntryKind::Event && entry.body["event"] == CANCEL
}

fn is_start(entry: &Entry) -> bool {
    entry.kind == EntryKind::Intent && entry.call == TRIGGER
}

/// Returns the pipeline run of an `Intent` entry; `None` if the pipeline is no longer configured.
pub(crate) fn run_of(catalog: &Catalog, intent: &Entry) -> Option<PipelineRun> {
    let one = |name: &str| intent.attributes.get(name).and_then(|values| values.first()).cloned();
    let deployment = catalog.pipeline(&one("pipeline")?)?;
    Some(PipelineRun {
        key: RunKey::new(&intent.job, intent.number),
        pipeline: deployment.pipeline.clone(),
        app: deployment.app.clone(),
        environment: deployment.environment.clone(),
        version: one("version").filter(|_| !deployment.is_open),
        backend: deployment.backend,
    })
}

/// Returns the name of a job in messages: `` `deploy cms staging 1.0.2` (job 7f3ak, requested by Bob) ``.
pub(crate) fn title(row: &JobRow) -> String {
    format!("`{}` (job {}, requested by {})", row.line, row.id, row.caller.name)
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Value, json};

    use super::*;

    pub(in crate::job) fn entry(kind: EntryKind, call: &str, body: Value) -> Entry {
        Entry {
            job: "j".to_owned(),
            number: 0,
            kind,
            plugin: "p".to_owned(),
            call: call.to_owned(),
            of: None,
            rule: String::new(),
            attributes: std::collections::BTreeMap::new(),
            body,
            blob: None,
            at: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    /// Creates a history, and numbers its entries from 0.
    pub(in crate::job) fn history(mut entries: Vec<Entry>) -> JobHistory {
        for (entry, number) in entries.iter_mut().zip(0..) {
            entry.number = number;
        }
        JobHistory { entries }
    }

    fn result(of: u32, call: &str, answer: Value) -> Entry {
        Entry { of: Some(of), ..entry(EntryKind::Result, call, json!({ "answer": answer })) }
    }

    #[test]
    fn the_newest_open_entry_is_the_jobs_position() {
        let first = entry(EntryKind::Invocation, "", json!({}));
        let intent = entry(EntryKind::Intent, TRIGGER, json!({}));
        let wait = entry(EntryKind::Wait, WAIT, json!({}));
        let cancel = entry(EntryKind::Event, "", json!({ "event": CANCEL }));
        let run = || result(1, TRIGGER, json!({ "Ok": { "id": "j-1" } }));
        assert_eq!(history(vec![first.clone()]).position(), ReplayPosition::Running);
        assert!(history(vec![first.clone(), cancel.clone()]).is_fresh());
        assert_eq!(history(vec![first.clone(), intent.clone(), cancel.clone()]).position(), ReplayPosition::InDoubt(1));
        let waits = history(vec![first.clone(), intent.clone(), run(), wait.clone()]);
        assert_eq!(waits.position(), ReplayPosition::Waiting(3));
        assert_eq!(waits.unfinished().len(), 1, "the plugin has not received its end");
        assert!(!waits.is_fresh());
        let ended = entry(EntryKind::End, "", json!({}));
        let seen = result(3, WAIT, json!({ "Ok": { "id": "j-1" } }));
        let over = history(vec![first, intent, run(), wait, seen, ended.clone()]);
        assert_eq!(over.position(), ReplayPosition::PluginEnded(5));
        assert!(over.unfinished().is_empty());
    }

    #[test]
    fn a_plugin_receives_a_cancellation_once() {
        let cancel = || entry(EntryKind::Event, "", json!({ "event": CANCEL }));
        let first = || entry(EntryKind::Invocation, "", json!({}));
        let wait = || entry(EntryKind::Wait, WAIT, json!({}));
        assert!(!history(vec![first(), wait(), result(1, WAIT, json!({ "Ok": {} })), cancel()]).cancel_was_delivered());
        // A result from before the cancellation does not deliver it.
        let reached = json!({ "Ok": { "outcome": "reached" } });
        assert!(!history(vec![first(), wait(), cancel(), result(1, WAIT, reached)]).cancel_was_delivered());
        let stopped = json!({ "Ok": { "outcome": "cancelled" } });
        assert!(history(vec![first(), wait(), cancel(), result(1, WAIT, stopped)]).cancel_was_delivered());
        assert!(
            history(vec![first(), wait(), cancel(), result(1, WAIT, json!({ "Err": "Cancelled" }))])
                .cancel_was_delivered()
        );
        let turned =
            entry(EntryKind::Denied, TRIGGER, json!({ "answer": { "Err": { "Other": { "code": "cancelled" } } } }));
        assert!(history(vec![first(), cancel(), turned]).cancel_was_delivered());
    }

    #[test]
    fn waits_that_end_at_once_are_counted_after_a_cancellation() {
        let first = || entry(EntryKind::Invocation, "", json!({}));
        let cancel = || entry(EntryKind::Event, "", json!({ "event": CANCEL }));
        let wait = || entry(EntryKind::Wait, WAIT, json!({}));
        let returned = |answer: Value| result(1, WAIT, answer);
        let seen = || returned(json!({ "Ok": { "id": "j-1" } }));
        let before = history(vec![first(), wait(), seen(), wait(), seen(), wait(), cancel()]);
        assert_eq!((before.has_waited_since_cancellation(), before.idle_waits_since_cancellation()), (false, 0));
        let other = || returned(json!({ "Ok": { "id": "j-2" } }));
        let cancelled = || returned(json!({ "Err": "Cancelled" }));
        let entries = vec![first(), wait(), seen(), wait(), cancel(), cancelled()];
        assert!(!history(entries.clone()).has_waited_since_cancellation());
        let more = vec![wait(), other(), wait(), other(), wait(), cancelled(), wait(), seen()];
        let after = history([entries, more].concat());
        assert_eq!((after.has_waited_since_cancellation(), after.idle_waits_since_cancellation()), (true, 4));
    }

    #[test]
    fn a_run_that_may_have_started_is_unfinished() {
        let first = || entry(EntryKind::Invocation, "", json!({}));
        let intent = || entry(EntryKind::Intent, TRIGGER, json!({}));
        let refused = json!({ "Err": { "Other": { "code": "refused" } } });
        let unknown = json!({ "Err": { "Other": { "code": "unknown" } } });
        assert_eq!(history(vec![first(), intent(), result(1, TRIGGER, refused)]).unfinished().len(), 0);
        assert_eq!(history(vec![first(), intent(), result(1, TRIGGER, unknown)]).unfinished().len(), 1);
    }
}
