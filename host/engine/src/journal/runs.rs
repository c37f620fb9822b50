//! The runs that a journal speaks of.

use crate::port::{
    RunKey,
    store::{Entry, EntryKind},
};

/// The keys and pipelines of the runs that entries started, or may have started.
pub fn runs<'e>(entries: impl IntoIterator<Item = &'e Entry>) -> Vec<(RunKey, String)> {
    let intents =
        entries.into_iter().filter(|entry| entry.kind == EntryKind::Intent && entry.call == "pipelines.trigger");
    let run = |intent: &Entry| {
        let pipeline = intent.attributes.get("pipeline")?.first()?.clone();
        Some((RunKey::new(&intent.job, intent.number), pipeline))
    };
    intents.filter_map(run).collect()
}
