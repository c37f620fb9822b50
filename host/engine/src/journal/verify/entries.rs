//! Verifies the entries of one job. Pure.

use crate::{
    journal::verify::Fault,
    store::{HashedEntry, entry_hash},
};

/// Verifies one job's entries: their hash chain, and their count and last hash as the store counted them.
///
/// # Errors
/// The first entry that was changed, removed or moved.
pub fn check_entries(job: &str, entries: &[HashedEntry], head: &(u32, String)) -> Result<(), Fault> {
    check_entries_incremental(job, entries, head, None)
}

/// As [`check_entries`], but does not hash entries again that `checked` (their count and the last hash) already covers.
pub(crate) fn check_entries_incremental(
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
        let here = sealed.entry.number == number && sealed.entry.job == job;
        if !here || entry_hash(before, &sealed.entry) != sealed.hash {
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
        return Err(Fault::of(job, format!("entry {count} of job {job} was added later")));
    }
    if hash != before {
        return Err(changed(job, found - 1));
    }
    Ok(())
}

pub(crate) fn missing(job: &str, number: u32) -> Fault {
    Fault::of(job, format!("entry {number} of job {job} is missing"))
}

pub(crate) fn changed(job: &str, number: u32) -> Fault {
    Fault::of(job, format!("entry {number} of job {job} was changed"))
}

/// Describes why an entry does not continue the chain after the hash `before`.
fn explain(job: &str, entries: &[HashedEntry], number: u32, before: &str) -> Fault {
    let here = entries.iter().find(|sealed| sealed.entry.number == number);
    // The entry can have been moved to another number, with or without its hash.
    let moved = entries.iter().filter(|sealed| sealed.entry.number != number).find(|sealed| {
        let mut entry = sealed.entry.clone();
        entry.number = number;
        entry.job = job.to_owned();
        let hash = entry_hash(before, &entry);
        hash == sealed.hash || here.is_some_and(|here| here.hash == hash)
    });
    match (moved, here) {
        (Some(HashedEntry { entry, .. }), _) => {
            Fault::of(job, format!("entry {} of job {job} was moved: it belongs at number {number}", entry.number))
        }
        (None, Some(_)) => changed(job, number),
        (None, None) => missing(job, number),
    }
}
