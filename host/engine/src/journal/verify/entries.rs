//! Checks the entries of one job against each other. Pure.

use crate::{
    journal::verify::Fault,
    store::{HashedEntry, entry_hash},
};

/// Checks one job's entries against each other, and against what was counted when they were written.
///
/// # Errors
/// The first that was changed, removed or moved.
pub fn check_entries(job: &str, entries: &[HashedEntry], tip: &(u32, String)) -> Result<(), Fault> {
    check_entries_behind(job, entries, tip, None)
}

/// The same, of which so many were checked by the same process a moment ago and had this hash at their end: those are not
/// hashed again.
pub(crate) fn check_entries_behind(
    job: &str,
    entries: &[HashedEntry],
    tip: &(u32, String),
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
    let (count, hash) = tip;
    let found = u32::try_from(entries.len()).unwrap_or(u32::MAX);
    if found < (*count).max(1) {
        return Err(missing(job, found));
    }
    if found > *count {
        return Err(Fault::of(job, format!("entry {count} of job {job} was added")));
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

/// What became of an entry that does not follow the one with the hash `before`.
fn explain(job: &str, entries: &[HashedEntry], number: u32, before: &str) -> Fault {
    let here = entries.iter().find(|sealed| sealed.entry.number == number);
    // The entry itself may stand somewhere else, with its hash or without.
    let moved = entries.iter().filter(|sealed| sealed.entry.number != number).find(|sealed| {
        let mut entry = sealed.entry.clone();
        entry.number = number;
        entry.job = job.to_owned();
        let hash = entry_hash(before, &entry);
        hash == sealed.hash || here.is_some_and(|here| here.hash == hash)
    });
    match (moved, here) {
        (Some(HashedEntry { entry, .. }), _) => {
            Fault::of(job, format!("entry {number} of job {job} stands where entry {} stood", entry.number))
        }
        (None, Some(_)) => changed(job, number),
        (None, None) => missing(job, number),
    }
}
