//! A job's journal as it was read back: what it says of where the job stands, and what a plugin that runs anew is answered.
//!
//! Invariant: pure. A plugin makes one call at a time, so at most one intent or wait is without a result.
//! Not here: what is done about it (`drive`).

use serde::Deserialize;

use super::{
    approval_request::{ApprovalRequest, latest},
    invocation::GuestInvocation,
    pipeline_run::PipelineRun,
    shown_in::ShownIn,
};
use crate::{
    command::Options,
    journal::{blob, check_entries_behind, read::read},
    model::{Catalog, Limits, RunKey},
    store::{Entry, EntryKind, JobRow, Store, StoreError},
};

/// The call whose intents name runs.
pub(crate) const TRIGGER: &str = "pipelines.trigger";
/// The call that waits.
pub(crate) const WAIT: &str = "pipelines.wait";
/// An event's word: somebody asked the job to stop.
pub(crate) const CANCEL: &str = "cancel";

/// What an invocation's entry holds.
#[derive(Debug, Clone, serde::Serialize, Deserialize)]
pub(crate) struct StartEntry {
    /// What the plugin is given.
    pub(crate) invocation: GuestInvocation,
    /// The same in one line.
    pub(crate) line: String,
    /// The digest of the plugin's bytes.
    pub(crate) digest: String,
    /// The plugin's settings.
    pub(crate) settings: Vec<(String, String)>,
    /// What one run of it may use.
    pub(crate) limits: Limits,
    /// What the host itself takes with every action.
    #[serde(flatten)]
    pub(crate) options: Options,
    /// Whether it was typed where nobody else is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) direct: bool,
    /// The room that it is shown in beside its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) shown: Option<ShownIn>,
}

/// Where a job stands by its journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReplayPosition {
    /// Its plugin runs, from the beginning, with what is recorded as answers.
    Runs,
    /// It waits, by the entry at this place.
    Waits(usize),
    /// Nobody knows whether the effect of the entry at this place happened.
    InDoubt(usize),
    /// It waits for other people to approve of its next effect.
    Asks,
    /// Its plugin ended, by the entry at this place.
    Ended(usize),
    /// It is over.
    Over,
}

/// A job's journal.
#[derive(Debug, Default)]
pub(crate) struct JobHistory {
    entries: Vec<Entry>,
}

/// Why a journal cannot be gone on from.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HistoryError {
    /// It cannot be read now.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is not what was written.
    #[error("its journal is broken: {0}")]
    Broken(String),
    /// Its plugin cannot run.
    #[error("{0}")]
    Plugin(String),
}

impl JobHistory {
    /// Reads a job's journal and checks every entry.
    pub(crate) async fn read(store: &dyn Store, job: &str) -> Result<Self, HistoryError> {
        Self::read_behind(store, job, &mut None).await
    }

    /// The same; what `checked` says was checked a moment ago is not hashed again, and it is told what is now.
    pub(crate) async fn read_behind(
        store: &dyn Store,
        job: &str,
        checked: &mut Option<(u32, String)>,
    ) -> Result<Self, HistoryError> {
        let (sealed, tip) = read(store, job).await?;
        let tip = tip.ok_or_else(|| HistoryError::Broken("there is no such job".to_owned()))?;
        let good = check_entries_behind(job, &sealed, &tip, checked.as_ref());
        good.map_err(|fault| HistoryError::Broken(fault.message))?;
        *checked = Some(tip);
        let mut entries: Vec<Entry> = sealed.into_iter().map(|sealed| sealed.entry).collect();
        // What only a replay reads may be large, and is read one by one when it is its turn.
        let now = |entry: &&mut Entry| !matches!(entry.kind, EntryKind::Call | EntryKind::Intent);
        for entry in entries.iter_mut().filter(|entry| entry.beside.is_some()).filter(now) {
            entry.body = match blob::unpack(store, entry).await {
                Ok(body) => body,
                Err(StoreError::Failed(reason)) => return Err(HistoryError::Broken(reason)),
                Err(error) => return Err(error.into()),
            };
        }
        Ok(Self { entries })
    }

    /// All entries.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The number of the next entry.
    pub(crate) fn next(&self) -> u32 {
        u32::try_from(self.entries.len()).unwrap_or(u32::MAX)
    }

    /// What the job began with.
    pub(crate) fn begun(&self) -> Result<StartEntry, HistoryError> {
        let first = self.entries.first().ok_or_else(|| HistoryError::Broken("it has no entry".to_owned()))?;
        StartEntry::deserialize(&first.body)
            .map_err(|error| HistoryError::Broken(format!("entry 0 cannot be read: {error}")))
    }

    /// Whether its plugin did nothing yet.
    pub(crate) fn is_fresh(&self) -> bool {
        self.entries[1..].iter().all(|entry| entry.kind == EntryKind::Event)
    }

    /// What it asked other people last, and how that stands.
    pub(crate) fn ask(&self) -> Option<ApprovalRequest> {
        latest(&self.entries)
    }

    /// Where the job stands.
    pub(crate) fn standing(&self) -> ReplayPosition {
        let mut open = None;
        for (index, entry) in self.entries.iter().enumerate() {
            match entry.kind {
                EntryKind::Closed => return ReplayPosition::Over,
                EntryKind::End => open = Some(ReplayPosition::Ended(index)),
                EntryKind::Intent => open = Some(ReplayPosition::InDoubt(index)),
                EntryKind::Wait => open = Some(ReplayPosition::Waits(index)),
                EntryKind::Result => open = None,
                EntryKind::Invocation | EntryKind::Call | EntryKind::Denied | EntryKind::Event => {}
            }
        }
        match open {
            Some(standing) => standing,
            // One that was called off runs, to be told so.
            None if self.cancelled() => ReplayPosition::Runs,
            None => match self.ask() {
                Some(ApprovalRequest { decision: None, .. }) => ReplayPosition::Asks,
                _ => ReplayPosition::Runs,
            },
        }
    }

    /// Whether somebody asked the job to stop.
    pub(crate) fn cancelled(&self) -> bool {
        self.events().any(|entry| entry.body["event"] == CANCEL)
    }

    /// Whether a run was started after the job was called off: to tidy up, so it is not asked to stop.
    pub(crate) fn tidies_up(&self, run: &RunKey) -> bool {
        let asked = self.events().find(|entry| entry.body["event"] == CANCEL).map(|entry| entry.number);
        let start = self.starts().find(|(intent, _)| RunKey::new(&intent.job, intent.number) == *run);
        asked.zip(start).is_some_and(|(asked, (intent, _))| intent.number > asked)
    }

    /// Whether the plugin was told since that the job was called off: by a wait that says so, or an effect turned away.
    pub(crate) fn told(&self) -> bool {
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

    /// The apps that its effects touched, or may have.
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

    /// The run of an id, if the job started one under it; the inner `None` where its pipeline is no longer configured.
    pub(crate) fn run(&self, catalog: &Catalog, id: &str) -> Option<Option<PipelineRun>> {
        let key = RunKey::parse(id)?;
        let started = self.starts().find(|(intent, _)| RunKey::new(&intent.job, intent.number) == key)?;
        Some(run_of(catalog, started.0))
    }

    /// The runs that were started, or may have been, and whose end the plugin was not given.
    pub(crate) fn unfinished(&self) -> Vec<&Entry> {
        let seen = |intent: &Entry| {
            let key = RunKey::new(&intent.job, intent.number);
            let gave = |entry: &&Entry| entry.kind == EntryKind::Result && entry.call == WAIT;
            self.entries.iter().filter(gave).any(|entry| entry.body["answer"]["Ok"]["id"] == key.as_str())
        };
        self.starts().filter(|(intent, result)| may_run(*result) && !seen(intent)).map(|(intent, _)| intent).collect()
    }

    /// Whether an entry is an intent behind which there may be a run.
    pub(crate) fn may_run(&self, intent: &Entry) -> bool {
        intent.kind == EntryKind::Intent && intent.call == TRIGGER && may_run(self.result_of(intent.number))
    }

    fn starts(&self) -> impl Iterator<Item = (&Entry, Option<&Entry>)> {
        let intents = self.entries.iter().filter(|entry| entry.kind == EntryKind::Intent && entry.call == TRIGGER);
        intents.map(|intent| (intent, self.result_of(intent.number)))
    }
}

/// Whether there may be a run behind an intent with this result.
fn may_run(result: Option<&Entry>) -> bool {
    let Some(result) = result else { return true };
    let answer = &result.body["answer"];
    !answer["Ok"].is_null() || answer["Err"]["Other"]["code"] == "unknown"
}

/// The run that an intent would have started; `None` where its pipeline is no longer configured.
pub(crate) fn run_of(catalog: &Catalog, intent: &Entry) -> Option<PipelineRun> {
    let one = |name: &str| intent.attributes.get(name).and_then(|values| values.first()).cloned();
    let deployment = catalog.pipeline(&one("pipeline")?)?;
    Some(PipelineRun {
        key: RunKey::new(&intent.job, intent.number),
        pipeline: deployment.pipeline.clone(),
        app: deployment.app.clone(),
        environment: deployment.environment.clone(),
        version: one("version"),
        started: intent.at,
        backend: deployment.backend,
    })
}

/// A job in words that people know it by.
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
            beside: None,
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
    fn where_a_job_stands_is_its_newest_open_entry() {
        let first = entry(EntryKind::Invocation, "", json!({}));
        let intent = entry(EntryKind::Intent, TRIGGER, json!({}));
        let wait = entry(EntryKind::Wait, WAIT, json!({}));
        let cancel = entry(EntryKind::Event, "", json!({ "event": CANCEL }));
        let run = || result(1, TRIGGER, json!({ "Ok": { "id": "j-1" } }));
        assert_eq!(history(vec![first.clone()]).standing(), ReplayPosition::Runs);
        assert!(history(vec![first.clone(), cancel.clone()]).is_fresh());
        assert_eq!(history(vec![first.clone(), intent.clone(), cancel.clone()]).standing(), ReplayPosition::InDoubt(1));
        let waits = history(vec![first.clone(), intent.clone(), run(), wait.clone()]);
        assert_eq!(waits.standing(), ReplayPosition::Waits(3));
        assert_eq!(waits.unfinished().len(), 1, "its end is not known to the plugin");
        assert!(!waits.is_fresh());
        let ended = entry(EntryKind::End, "", json!({}));
        let seen = result(3, WAIT, json!({ "Ok": { "id": "j-1" } }));
        let over = history(vec![first, intent, run(), wait, seen, ended.clone()]);
        assert_eq!(over.standing(), ReplayPosition::Ended(5));
        assert!(over.unfinished().is_empty());
    }

    #[test]
    fn a_plugin_is_told_once_that_its_job_was_called_off() {
        let cancel = || entry(EntryKind::Event, "", json!({ "event": CANCEL }));
        let first = || entry(EntryKind::Invocation, "", json!({}));
        let wait = || entry(EntryKind::Wait, WAIT, json!({}));
        assert!(!history(vec![first(), wait(), result(1, WAIT, json!({ "Ok": {} })), cancel()]).told());
        // What was there in the same moment says nothing of it.
        let reached = json!({ "Ok": { "outcome": "reached" } });
        assert!(!history(vec![first(), wait(), cancel(), result(1, WAIT, reached)]).told());
        let stopped = json!({ "Ok": { "outcome": "cancelled" } });
        assert!(history(vec![first(), wait(), cancel(), result(1, WAIT, stopped)]).told());
        assert!(history(vec![first(), wait(), cancel(), result(1, WAIT, json!({ "Err": "Cancelled" }))]).told());
        let turned =
            entry(EntryKind::Denied, TRIGGER, json!({ "answer": { "Err": { "Other": { "code": "cancelled" } } } }));
        assert!(history(vec![first(), cancel(), turned]).told());
    }

    #[test]
    fn a_run_that_may_be_there_is_followed() {
        let first = || entry(EntryKind::Invocation, "", json!({}));
        let intent = || entry(EntryKind::Intent, TRIGGER, json!({}));
        let refused = json!({ "Err": { "Other": { "code": "refused" } } });
        let unknown = json!({ "Err": { "Other": { "code": "unknown" } } });
        assert_eq!(history(vec![first(), intent(), result(1, TRIGGER, refused)]).unfinished().len(), 0);
        assert_eq!(history(vec![first(), intent(), result(1, TRIGGER, unknown)]).unfinished().len(), 1);
    }
}
