//! The stored state of a host after crashes, and checks that apply to any input.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use wardroom::{
    journal::Verified,
    store::{JobQuery, JobRow, Release, ReleaseQuery, Store as _},
};
use wardroom_sqlite::SqliteStore;

use super::session::{Session, run_session};
use crate::{running_host::eventually, test_host::TestHost};

/// The content of the database.
pub(super) struct StoredState {
    /// All jobs, oldest first.
    pub(super) jobs: Vec<JobRow>,
    /// All releases, newest first.
    pub(super) releases: Vec<Release>,
    // The result of verifying the chain; `None` if the chain is broken.
    verified: Option<Verified>,
    left: Vec<String>,
}

/// Reads the database. Fails if its chain is broken.
pub(super) fn stored_state(test_host: &TestHost) -> Result<StoredState> {
    let (state, fault) = read_state(test_host)?;
    match fault {
        None => Ok(state),
        Some(fault) => bail!("the journal's chain is broken: {fault}"),
    }
}

/// Reads the database. Also returns the error of its chain, if the chain is broken.
pub(super) fn read_state(test_host: &TestHost) -> Result<(StoredState, Option<String>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = SqliteStore::open_read_only(&test_host.path("state/wardroom.db")).await?;
        let mut jobs = store.jobs(&JobQuery::default()).await?;
        jobs.reverse();
        let releases = store.releases(&ReleaseQuery::default()).await?;
        let verified = wardroom::journal::verify(&store, None).await?;
        let fault = verified.as_ref().err().map(ToString::to_string);
        let mut left: Vec<String> = Vec::new();
        left.extend(store.unhandled().await?.into_iter().map(|row| format!("in the inbox: {}", row.text)));
        left.extend(store.outbox().await?.into_iter().map(|row| format!("in the outbox: {}", row.row.key)));
        left.extend(store.locks().await?.into_iter().map(|(place, job)| format!("{place} is held by {job}")));
        store.close().await;
        Ok((StoredState { jobs, releases, verified: verified.ok(), left }, fault))
    })
}

impl StoredState {
    /// Checks that all jobs are finished, inbox and outbox are empty, and no deployment lock is held.
    pub(super) fn all_finished(&self) -> Result<()> {
        let open: Vec<_> = self.jobs.iter().filter(|job| job.end.is_none()).collect();
        ensure!(open.is_empty(), "open: {open:?}");
        ensure!(self.left.is_empty(), "not finished: {:?}", self.left);
        let checked = self.verified.as_ref().map(|verified| verified.jobs);
        ensure!(checked == Some(u64::try_from(self.jobs.len())?), "{:?}", self.verified);
        Ok(())
    }

    /// Checks that each closing line was printed once. A console cannot look up sent lines, so the last line before a
    /// crash may be printed again by the next session.
    pub(super) fn announced_once(&self, sessions: &[Session]) -> Result<()> {
        let mut said: BTreeMap<&str, usize> = BTreeMap::new();
        for line in sessions.iter().flat_map(|session| &session.said) {
            *said.entry(line).or_default() += 1;
        }
        let last_words: Vec<&str> = sessions
            .iter()
            .filter(|session| session.crashed())
            .filter_map(|session| session.said.last())
            .map(String::as_str)
            .collect();
        for (line, count) in &said {
            let allowed = 1 + last_words.iter().filter(|last| *last == line).count();
            ensure!(*count <= allowed, "the line was sent {count} times: {line}");
        }
        for job in &self.jobs {
            let end = job.end.as_ref().context("the job is finished")?;
            for line in end.summary.lines() {
                ensure!(said.contains_key(line), "never said: {line}");
            }
        }
        Ok(())
    }

    /// Returns the releases of a job.
    pub(super) fn releases_of(&self, job: &str) -> Vec<&Release> {
        self.releases.iter().filter(|release| release.job == job).collect()
    }
}

/// Runs sessions without a crash and without input until `holds` returns true. A host without input does not wait for a
/// time, so this may take several sessions.
pub(super) fn run_until(
    test_host: &TestHost,
    sessions: &mut Vec<Session>,
    holds: impl Fn(&StoredState) -> bool,
) -> Result<()> {
    let lived = eventually("the expected state", || {
        let session = run_session(test_host, "", None)?;
        let ended = session.ended_cleanly();
        sessions.push(session);
        ended?;
        Ok(holds(&read_state(test_host)?.0))
    });
    lived.with_context(|| format!("{:#?}\n{sessions:#?}", read_state(test_host).map(|(state, _)| state.jobs)))
}
