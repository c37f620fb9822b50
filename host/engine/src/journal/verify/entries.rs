//! Verifies the journal entries of one job, without reading the store.

use crate::{
    journal::verify::Fault,
    store::{Entry, HashedEntry},
};

/// Verifies the journal entries of the job with the id `job`. Checks the hash of each entry. Then compares the number
/// of entries and the hash of the last entry with `head`, the result of [`crate::store::Store::journal_head`].
///
/// `checked` is the number of entries that an earlier call verified, with the hash of the last of these entries. If
/// this last entry still has the same hash, the function skips the entries that the earlier call verified.
///
/// # Errors
/// The description of the first entry that was changed, removed, moved or added.
pub(crate) fn check_entries(
    job: &str,
    entries: &[HashedEntry],
    head: &(u32, String),
    checked: Option<&(u32, String)>,
) -> Result<(), Fault> {
    let checked = checked.and_then(|(count, hash)| {
        let last = entries.get((*count as usize).checked_sub(1)?)?;
        (last.hash == *hash).then_some((*count as usize, last.hash.as_str()))
    });
    let (first, mut before) = checked.unwrap_or((0, ""));
    for (number, sealed) in (0..).zip(entries).skip(first) {
        let in_place = sealed.entry.number == number && sealed.entry.job == job;
        if !in_place || sealed.entry.hash(before) != sealed.hash {
            return Err(explain(job, entries, number, before));
        }
        before = &sealed.hash;
    }
    let (count, hash) = head;
    let found = u32::try_from(entries.len()).unwrap_or(u32::MAX);
    if found < (*count).max(1) {
        return Err(missing(job, found));
    }
    if found > *count {
        return Err(Fault::of(job, format!("journal entry {count} of job {job} was added without being recorded")));
    }
    if hash != before {
        return Err(changed(job, found - 1));
    }
    Ok(())
}

pub(crate) fn missing(job: &str, number: u32) -> Fault {
    Fault::of(job, format!("journal entry {number} of job {job} is missing"))
}

fn changed(job: &str, number: u32) -> Fault {
    Fault::of(job, format!("journal entry {number} of job {job} was changed"))
}

/// Describes why the hash of the journal entry `number` is wrong. `before` is the hash of the previous entry.
fn explain(job: &str, entries: &[HashedEntry], number: u32, before: &str) -> Fault {
    let here = entries.iter().find(|sealed| sealed.entry.number == number);
    // Somebody may have moved another entry to this number, with or without its hash.
    let moved = entries.iter().filter(|sealed| sealed.entry.number != number).find(|sealed| {
        let hash = Entry { number, job: job.to_owned(), ..sealed.entry.clone() }.hash(before);
        hash == sealed.hash || here.is_some_and(|here| here.hash == hash)
    });
    match (moved, here) {
        (Some(HashedEntry { entry: Entry { number: at, .. }, .. }), _) => {
            Fault::of(job, format!("journal entry {at} of job {job} was moved: the entry belongs at number {number}"))
        }
        (None, Some(_)) => changed(job, number),
        (None, None) => missing(job, number),
    }
}
