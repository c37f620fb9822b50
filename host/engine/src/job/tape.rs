//! A job's journal as it was read back: what it says of where the job stands, and what a plugin that runs anew is answered.
//!
//! Invariant: pure. A plugin makes one call at a time, so at most one intent or wait is without a result.
//! Not here: what is done about it (`drive`).

use serde::Deserialize;
use serde_json::Value;

use crate::{
    config::Catalog,
    journal,
    plugin::{Limits, bindings::commands},
    port::{
        RunKey, Store, StoreError,
        store::{Entry, EntryKind, JobRow},
    },
};

use super::JobRun;

/// The call whose intents name runs.
pub(crate) const TRIGGER: &str = "pipelines.trigger";
/// The call that waits.
pub(crate) const WAIT: &str = "pipelines.wait";
/// An event's word: somebody asked the job to stop.
pub(crate) const CANCEL: &str = "cancel";

/// What an invocation's entry holds.
#[derive(Debug, Clone, serde::Serialize, Deserialize)]
pub(crate) struct Begun {
    /// What the plugin is given.
    pub(crate) invocation: commands::Invocation,
    /// The same in one line.
    pub(crate) line: String,
    /// The digest of the plugin's bytes.
    pub(crate) digest: String,
    /// The plugin's settings.
    pub(crate) settings: Vec<(String, String)>,
    /// What one run of it may use.
    pub(crate) limits: Limits,
    /// Whether it stands in line for a place that another job holds.
    pub(crate) wait: bool,
}

/// Where a job stands by its journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Its plugin runs, from the beginning, with what is recorded as answers.
    Runs,
    /// It waits, by the entry at this place.
    Waits(usize),
    /// Nobody knows whether the effect of the entry at this place happened.
    InDoubt(usize),
    /// Its plugin ended, by the entry at this place.
    Ended(usize),
    /// It is over.
    Over,
}

/// A job's journal.
#[derive(Debug, Default)]
pub(crate) struct Tape {
    entries: Vec<Entry>,
}

/// Why a journal cannot be gone on from.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TapeError {
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

impl Tape {
    /// Reads a job's journal and checks every entry.
    pub(crate) async fn read(store: &dyn Store, job: &str) -> Result<Self, TapeError> {
        let (sealed, tip) = journal::read(store, job).await?;
        let tip = tip.ok_or_else(|| TapeError::Broken("there is no such job".to_owned()))?;
        journal::check_entries(job, &sealed, &tip).map_err(|fault| TapeError::Broken(fault.message))?;
        let mut entries: Vec<Entry> = sealed.into_iter().map(|sealed| sealed.entry).collect();
        for entry in entries.iter_mut().filter(|entry| entry.beside.is_some()) {
            entry.body = match journal::unpack(store, entry).await {
                Ok(body) => body,
                Err(StoreError::Failed(reason)) => return Err(TapeError::Broken(reason)),
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
    pub(crate) fn begun(&self) -> Result<Begun, TapeError> {
        let first = self.entries.first().ok_or_else(|| TapeError::Broken("it has no entry".to_owned()))?;
        Begun::deserialize(&first.body).map_err(|error| TapeError::Broken(format!("entry 0 cannot be read: {error}")))
    }

    /// Whether its plugin did nothing yet.
    pub(crate) fn is_fresh(&self) -> bool {
        self.entries[1..].iter().all(|entry| entry.kind == EntryKind::Event)
    }

    /// Where the job stands.
    pub(crate) fn standing(&self) -> Standing {
        let mut open = None;
        for (index, entry) in self.entries.iter().enumerate() {
            match entry.kind {
                EntryKind::Closed => return Standing::Over,
                EntryKind::End => open = Some(Standing::Ended(index)),
                EntryKind::Intent => open = Some(Standing::InDoubt(index)),
                EntryKind::Wait => open = Some(Standing::Waits(index)),
                EntryKind::Result => open = None,
                EntryKind::Invocation | EntryKind::Call | EntryKind::Denied | EntryKind::Event => {}
            }
        }
        open.unwrap_or(Standing::Runs)
    }

    /// Whether somebody asked the job to stop.
    pub(crate) fn cancelled(&self) -> bool {
        self.events().any(|entry| entry.body["event"] == CANCEL)
    }

    /// Whether the plugin was told since that the job was called off: a wait answered, or an effect turned away.
    pub(crate) fn told(&self) -> bool {
        let asked =
            self.entries.iter().position(|entry| entry.kind == EntryKind::Event && entry.body["event"] == CANCEL);
        let tells = |entry: &Entry| match entry.kind {
            EntryKind::Result => entry.call == WAIT,
            EntryKind::Denied => entry.body["answer"]["Err"]["Other"]["code"] == "cancelled",
            _ => false,
        };
        asked.is_some_and(|asked| self.entries[asked..].iter().any(tells))
    }

    fn events(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.kind == EntryKind::Event)
    }

    /// The result of an intent or a wait.
    pub(crate) fn result_of(&self, number: u32) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.kind == EntryKind::Result && entry.of == Some(number))
    }

    /// The run of an id, if the job started one under it; the inner `None` where its pipeline is no longer configured.
    pub(crate) fn run(&self, catalog: &Catalog, id: &str) -> Option<Option<JobRun>> {
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
pub(crate) fn run_of(catalog: &Catalog, intent: &Entry) -> Option<JobRun> {
    let one = |name: &str| intent.attributes.get(name).and_then(|values| values.first()).cloned();
    let deployment = catalog.pipeline(&one("pipeline")?)?;
    Some(JobRun {
        key: RunKey::new(&intent.job, intent.number),
        pipeline: deployment.pipeline.clone(),
        app: deployment.app.clone(),
        environment: deployment.environment.clone(),
        version: one("version"),
        started: intent.at,
        system: deployment.system.clone(),
    })
}

/// Reads a tape back for a plugin that runs anew.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    tape: std::sync::Arc<Tape>,
    at: usize,
}

/// What a call finds on the tape.
#[derive(Debug)]
pub(crate) struct Found {
    /// Its answer.
    pub(crate) answer: Value,
    /// The entry that it began with.
    pub(crate) begun: Entry,
}

impl Replay {
    pub(crate) fn new(tape: std::sync::Arc<Tape>) -> Self {
        let mut replay = Self { tape, at: 1 };
        replay.skip();
        replay
    }

    /// Whether what comes now was recorded.
    pub(crate) fn is_over(&self) -> bool {
        self.at >= self.tape.entries.len()
    }

    /// The call that comes next on the tape, for people.
    pub(crate) fn expected(&self) -> Option<String> {
        let entry = self.tape.entries.get(self.at)?;
        Some(format!("entry {}, {} {}", entry.number, entry.call, entry.body["arguments"]))
    }

    /// The answer of this call; `None` where the tape ends.
    ///
    /// # Errors
    /// The tape has another call here; both in one line.
    pub(crate) fn next(&mut self, call: &str, arguments: &impl serde::Serialize) -> Result<Option<Found>, String> {
        if self.is_over() {
            return Ok(None);
        }
        let arguments = serde_json::to_value(arguments).unwrap_or_default();
        let tape = self.tape.clone();
        while let Some(entry) = tape.entries.get(self.at) {
            if entry.call != call || entry.body["arguments"] != arguments {
                let expected = self.expected().unwrap_or_default();
                return Err(format!("it called {call} {arguments}, and the journal has {expected}"));
            }
            self.at += 1;
            self.skip();
            let holder = match entry.kind {
                EntryKind::Intent | EntryKind::Wait => tape.result_of(entry.number),
                _ => Some(entry),
            };
            let Some(holder) = holder else { return Err(format!("entry {} has no result", entry.number)) };
            // Settled as not done: the same call comes again, on the tape or beyond it.
            if !holder.body["answer"].is_null() {
                return Ok(Some(Found { answer: holder.body["answer"].clone(), begun: entry.clone() }));
            }
        }
        Ok(None)
    }

    /// Steps over what the plugin did not do itself.
    fn skip(&mut self) {
        let own = |entry: &Entry| {
            matches!(entry.kind, EntryKind::Call | EntryKind::Denied | EntryKind::Intent | EntryKind::Wait)
        };
        while self.tape.entries.get(self.at).is_some_and(|entry| !own(entry)) {
            self.at += 1;
        }
    }
}

/// The stage of a job's row in words that were typed.
pub(crate) fn title(row: &JobRow) -> String {
    format!("`{}` (job {}, asked by {})", row.line, row.id, row.caller.name)
}
