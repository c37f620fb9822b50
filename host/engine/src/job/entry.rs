//! Constructors for journal entries that the host writes.

use serde_json::{Value, json};

use super::history::CANCEL;
use crate::{
    base::as_words,
    model::Person,
    store::{Entry, EntryKind, JobRow, Write},
};

/// Creates an entry for a job's journal. The entry gets its number when it is written.
pub(crate) fn entry(row: &JobRow, kind: EntryKind, body: Value, at: jiff::Timestamp) -> Entry {
    Entry {
        job: row.id.clone(),
        number: 0,
        kind,
        plugin: row.plugin.clone(),
        call: String::new(),
        of: None,
        rule: String::new(),
        attributes: std::collections::BTreeMap::new(),
        body,
        blob: None,
        at,
    }
}

/// Creates the journal entry that stores the result of an earlier entry. `of` is the earlier entry: the intent of an
/// effect, or a wait.
pub(crate) fn result(row: &JobRow, of: &Entry, body: Value, at: jiff::Timestamp) -> Entry {
    Entry { call: of.call.clone(), of: Some(of.number), ..entry(row, EntryKind::Result, body, at) }
}

/// Creates the journal entry that stores the cancellation of a job. `by` is the person who cancelled the job.
pub(crate) fn cancellation(row: &JobRow, by: &Person, at: jiff::Timestamp) -> Entry {
    entry(row, EntryKind::Event, json!({ "event": CANCEL, "by": by.id, "about": "" }), at)
}

/// Numbers journal entries, starting with `first`. Returns the changes that append the entries to the journal.
pub(crate) fn append(entries: impl IntoIterator<Item = Entry>, first: u32) -> Vec<Write> {
    entries.into_iter().zip(first..).map(|(entry, number)| Write::Append(Entry { number, ..entry })).collect()
}

/// Returns a short description of the effect that an intent announces, for messages: `pipelines.trigger cms/staging
/// 1.0.2`. A value that is not a plain word has quotation marks.
pub(crate) fn about(intent: &Entry) -> String {
    let one = |name: &str| intent.attributes.get(name).map(|values| as_words(values));
    let target = one("pipeline").or_else(|| Some(format!("{}/{}", one("app")?, one("environment")?)));
    let parts = [Some(intent.call.clone()), target, one("version")];
    crate::base::clean(&parts.into_iter().flatten().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::history::tests::entry as plain;

    #[test]
    fn a_value_that_is_not_a_plain_word_is_quoted() {
        let about_version = |version: &str| {
            let mut intent = plain(EntryKind::Intent, "pipelines.trigger", json!({}));
            intent.attributes.insert("pipeline".to_owned(), vec!["cms/staging".to_owned()]);
            intent.attributes.insert("version".to_owned(), vec![version.to_owned()]);
            about(&intent)
        };
        assert_eq!(about_version("1.0.2"), "pipelines.trigger cms/staging 1.0.2");
        assert_eq!(about_version("1.0.2 did not happen"), "pipelines.trigger cms/staging \"1.0.2 did not happen\"");
    }
}
