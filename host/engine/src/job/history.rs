//! A job's journal, read back and checked: the job's position in it, and the answers that a replay gives.

use serde::Deserialize;

use super::{
    approval_request::{ApprovalRequest, latest},
    invocation::GuestInvocation,
    pipeline_run::PipelineRun,
    shown_in::ShownIn,
};
use crate::{
    command::Options,
    journal::{blob, check_entries_incremental, read::read},
    model::{Catalog, Limits, RunKey},
    store::{Entry, EntryKind, JobRow, Store, StoreError},
};

/// The call whose intents start pipeline runs.
pub(crate) const TRIGGER: &str = "pipelines.trigger";
/// The call that waits for runs and timers.
pub(crate) const WAIT: &str = "pipelines.wait";
/// The name of the event that a cancellation writes.
pub(crate) const CANCEL: &str = "cancel";

/// The body of entry 0, the invocation.
#[derive(Debug, Clone, serde::Serialize, Deserialize)]
pub(crate) struct StartEntry {
    /// The command and its arguments, as the plugin receives them.
    pub(crate) invocation: GuestInvocation,
    /// The command line as text.
    pub(crate) line: String,
    /// The digest of the plugin's bytes. A replay runs the same bytes.
    pub(crate) digest: String,
    /// The plugin's settings at the time of the command.
    pub(crate) settings: Vec<(String, String)>,
    /// The resource limits of one run of the plugin.
    pub(crate) limits: Limits,
    /// The host's options of an action, such as `--wait`.
    #[serde(flatten)]
    pub(crate) options: Options,
    /// Whether the command was typed in a direct message.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) direct: bool,
    /// The second room that shows the job, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) shown: Option<ShownIn>,
}

/// A job's position according to its journal: what the runner does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReplayPosition {
    /// The plugin runs from its start; recorded calls are answered from the journal.
    Run,
    /// The job waits; the index of the wait's entry.
    Wait(usize),
    /// The intent at this index has no result: whether its effect happened is unknown.
    InDoubt(usize),
    /// The job waits for the approval of its next effect.
    Approval,
    /// The plugin ended; the index of its `End` entry.
    Ended(usize),
    /// The job is closed.
    Closed,
}

/// The entries of a job's journal, whose hashes were checked.
#[derive(Debug, Default)]
pub(crate) struct JobHistory {
    entries: Vec<Entry>,
}

/// Why a job's journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HistoryError {
    /// The store failed; reading can be retried.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The entries do not match their hashes, or cannot be parsed.
    #[error("the job's journal is broken: {0}")]
    Broken(String),
    /// The plugin of the job cannot be run.
    #[error("{0}")]
    Plugin(String),
}

impl JobHistory {
    /// Reads a job's journal and checks the hash of every entry.
    pub(crate) async fn read(store: &dyn Store, job: &str) -> Result<Self, HistoryError> {
        Self::read_incremental(store, job, &mut None).await
    }

    /// As [`Self::read`], but does not hash entries again that `checked` (their count and the last hash) already
    /// covers. Updates `checked`.
    pub(crate) async fn read_incremental(
        store: &dyn Store,
        job: &str,
        checked: &mut Option<(u32, String)>,
    ) -> Result<Self, HistoryError> {
        let (sealed, head) = read(store, job).await?;
        let head = head.ok_or_else(|| HistoryError::Broken("there is no such job".to_owned()))?;
        let good = check_entries_incremental(job, &sealed, &head, checked.as_ref());
        good.map_err(|fault| HistoryError::Broken(fault.message))?;
        *checked = Some(head);
        let mut entries: Vec<Entry> = sealed.into_iter().map(|sealed| sealed.entry).collect();
        // Large bodies of calls and intents are read only by a replay, one at a time; all others are read now.
        let now = |entry: &&mut Entry| !matches!(entry.kind, EntryKind::Call | EntryKind::Intent);
        for entry in entries.iter_mut().filter(|entry| entry.blob.is_some()).filter(now) {
            entry.body = match blob::unpack(store, entry).await {
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

    /// The body of entry 0.
    pub(crate) fn start_entry(&self) -> Result<StartEntry, HistoryError> {
        let first =
            self.entries.first().ok_or_else(|| HistoryError::Broken("the job's journal has no entries".to_owned()))?;
        StartEntry::deserialize(&first.body)
            .map_err(|error| HistoryError::Broken(format!("entry 0 cannot be read: {error}")))
    }

    /// Whether the plugin made no call yet: only events follow entry 0.
    pub(crate) fn is_fresh(&self) -> bool {
        self.entries[1..].iter().all(|entry| entry.kind == EntryKind::Event)
    }

    /// The newest approval request, and the answers to it.
    pub(crate) fn ask(&self) -> Option<ApprovalRequest> {
        latest(&self.entries)
    }

    /// The job's position: its newest open entry decides.
    pub(crate) fn position(&self) -> ReplayPosition {
        let mut open = None;
        for (index, entry) in self.entries.iter().enumerate() {
            match entry.kind {
                EntryKind::Closed => return ReplayPosition::Closed,
                EntryKind::End => open = Some(ReplayPosition::Ended(index)),
                EntryKind::Intent => open = Some(ReplayPosition::InDoubt(index)),
                EntryKind::Wait => open = Some(ReplayPosition::Wait(index)),
                EntryKind::Result => open = None,
                EntryKind::Invocation | EntryKind::Call | EntryKind::Denied | EntryKind::Event => {}
            }
        }
        match open {
            Some(standing) => standing,
            // A cancelled job runs once more, so that its plugin receives the cancellation.
            None if self.cancelled() => ReplayPosition::Run,
            None => match self.ask() {
                Some(ApprovalRequest { decision: None, .. }) => ReplayPosition::Approval,
                _ => ReplayPosition::Run,
            },
        }
    }

    /// Whether the job was cancelled.
    pub(crate) fn cancelled(&self) -> bool {
        self.events().any(|entry| entry.body["event"] == CANCEL)
    }

    /// Whether a run was started after the cancellation. Such a run cleans up, so it is not cancelled itself.
    pub(crate) fn is_cleanup_run(&self, run: &RunKey) -> bool {
        let asked = self.events().find(|entry| entry.body["event"] == CANCEL).map(|entry| entry.number);
        let start = self.starts().find(|(intent, _)| RunKey::new(&intent.job, intent.number) == *run);
        asked.zip(start).is_some_and(|(asked, (intent, _))| intent.number > asked)
    }

    /// Whether the plugin received the cancellation: as the result of a wait, or as the denial of an effect.
    pub(crate) fn cancel_was_delivered(&self) -> bool {
        let asked =
            self.entries.iter().position(|entry| entry.kind == EntryKind::Event && entry.body["event"] == CANCEL);
        let tells = |entry: &Entry| match entry.kind {
            EntryKind::Result if entry.call == WAIT => {
                let answer = &entry.body["answer"];
                answer["Err"] == "Cancelled" || answer["Ok"]["outcome"] == "cancelled"
            }
            EntryKind::Denied => entry.body["answer"]["Err"]["Other"]["code"] == "cancelled",
            _ => false,
        };
        asked.is_some_and(|asked| self.entries[asked..].iter().any(tells))
    }

    /// The apps of all intents, whether or not their effects happened.
    pub(crate) fn apps(&self) -> std::collections::BTreeSet<&str> {
        let intents = self.entries.iter().filter(|entry| entry.kind == EntryKind::Intent);
        intents.filter_map(|intent| intent.attributes.get("app")).flatten().map(String::as_str).collect()
    }

    fn events(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.kind == EntryKind::Event)
    }

    /// The result of an intent or a wait.
    pub(crate) fn result_of(&self, number: u32) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.kind == EntryKind::Result && entry.of == Some(number))
    }

    /// The run with this id, if the job started it; the inner `None` if its pipeline is no longer configured.
    pub(crate) fn run(&self, catalog: &Catalog, id: &str) -> Option<Option<PipelineRun>> {
        let key = RunKey::parse(id)?;
        let started = self.starts().find(|(intent, _)| RunKey::new(&intent.job, intent.number) == key)?;
        Some(run_of(catalog, started.0))
    }

    /// The intents of runs that started or may have started, and whose end the plugin has not received.
    pub(crate) fn unfinished(&self) -> Vec<&Entry> {
        let seen = |intent: &Entry| {
            let key = RunKey::new(&intent.job, intent.number);
            let gave = |entry: &&Entry| entry.kind == EntryKind::Result && entry.call == WAIT;
            self.entries.iter().filter(gave).any(|entry| entry.body["answer"]["Ok"]["id"] == key.as_str())
        };
        self.starts().filter(|(intent, result)| may_run(*result) && !seen(intent)).map(|(intent, _)| intent).collect()
    }

    /// Whether an entry is an intent that started a run or may have.
    pub(crate) fn may_run(&self, intent: &Entry) -> bool {
        intent.kind == EntryKind::Intent && intent.call == TRIGGER && may_run(self.result_of(intent.number))
    }

    fn starts(&self) -> impl Iterator<Item = (&Entry, Option<&Entry>)> {
        let intents = self.entries.iter().filter(|entry| entry.kind == EntryKind::Intent && entry.call == TRIGGER);
        intents.map(|intent| (intent, self.result_of(intent.number)))
    }
}

fn may_run(result: Option<&Entry>) -> bool {
    let Some(result) = result else { return true };
    let answer = &result.body["answer"];
    !answer["Ok"].is_null() || answer["Err"]["Other"]["code"] == "unknown"
}

/// The run that an intent starts; `None` if its pipeline is no longer configured.
pub(crate) fn run_of(catalog: &Catalog, intent: &Entry) -> Option<PipelineRun> {
    let one = |name: &str| intent.attributes.get(name).and_then(|values| values.first()).cloned();
    let deployment = catalog.pipeline(&one("pipeline")?)?;
    Some(PipelineRun {
        key: RunKey::new(&intent.job, intent.number),
        pipeline: deployment.pipeline.clone(),
        app: deployment.app.clone(),
        environment: deployment.environment.clone(),
        version: one("version"),
        backend: deployment.backend,
    })
}

/// A job as messages name it: its command, its id and its caller.
pub(crate) fn title(row: &JobRow) -> String {
    format!("`{}` (job {}, asked by {})", row.line, row.id, row.caller.name)
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// An entry of a kind; its number is its place.
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

    /// A history of entries in their order.
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
        assert_eq!(history(vec![first.clone()]).position(), ReplayPosition::Run);
        assert!(history(vec![first.clone(), cancel.clone()]).is_fresh());
        assert_eq!(history(vec![first.clone(), intent.clone(), cancel.clone()]).position(), ReplayPosition::InDoubt(1));
        let waits = history(vec![first.clone(), intent.clone(), run(), wait.clone()]);
        assert_eq!(waits.position(), ReplayPosition::Wait(3));
        assert_eq!(waits.unfinished().len(), 1, "the plugin has not received its end");
        assert!(!waits.is_fresh());
        let ended = entry(EntryKind::End, "", json!({}));
        let seen = result(3, WAIT, json!({ "Ok": { "id": "j-1" } }));
        let over = history(vec![first, intent, run(), wait, seen, ended.clone()]);
        assert_eq!(over.position(), ReplayPosition::Ended(5));
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
    fn a_run_that_may_have_started_is_unfinished() {
        let first = || entry(EntryKind::Invocation, "", json!({}));
        let intent = || entry(EntryKind::Intent, TRIGGER, json!({}));
        let refused = json!({ "Err": { "Other": { "code": "refused" } } });
        let unknown = json!({ "Err": { "Other": { "code": "unknown" } } });
        assert_eq!(history(vec![first(), intent(), result(1, TRIGGER, refused)]).unfinished().len(), 0);
        assert_eq!(history(vec![first(), intent(), result(1, TRIGGER, unknown)]).unfinished().len(), 1);
    }
}
