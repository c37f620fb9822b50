//! Claims on jobs. A task of this process claims a job before it works on the job, so at most one task works on a job.

use std::{collections::HashSet, sync::Arc, time::Duration};

use parking_lot::Mutex;

/// The maximum number of attempts to claim a job. After the last attempt, [`Claims::claim_with_retry`] returns `None`.
const TRIES: u32 = 40;
/// The delay between two attempts to claim a job.
const PAUSE: Duration = Duration::from_millis(25);

/// The ids of all claimed jobs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claims(Arc<Mutex<HashSet<String>>>);

/// A claim on one job: while a task holds the claim, no other task works on the job. Dropping the claim releases the
/// job.
#[derive(Debug)]
pub(crate) struct Claim {
    claims: Claims,
    job: String,
}

impl Claims {
    /// Claims a job for the calling task, so that no other task works on the job. Returns `None` if another task has
    /// claimed the job.
    pub(crate) fn claim(&self, job: &str) -> Option<Claim> {
        let new = self.0.lock().insert(job.to_owned());
        new.then(|| Claim { claims: self.clone(), job: job.to_owned() })
    }

    /// Claims a job like [`Self::claim`]. If another task has claimed the job, retries for up to a second, then returns
    /// `None`.
    pub(crate) async fn claim_with_retry(&self, job: &str) -> Option<Claim> {
        for _ in 0..TRIES {
            if let Some(claim) = self.claim(job) {
                return Some(claim);
            }
            tokio::time::sleep(PAUSE).await;
        }
        None
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claims.0.lock().remove(&self.job);
    }
}
