//! In-process claims on jobs: at most one task works on a job.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// The number of attempts to claim a job that another task holds, and the pause between them: one second in all.
const TRIES: u32 = 40;
const PAUSE: Duration = Duration::from_millis(25);

/// The set of claimed job ids.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claims(Arc<Mutex<HashSet<String>>>);

/// A claim on one job. Dropping it releases the job.
#[derive(Debug)]
pub(crate) struct Claim {
    claims: Claims,
    job: String,
}

impl Claims {
    /// Claims a job; `None` if another task holds it.
    pub(crate) fn claim(&self, job: &str) -> Option<Claim> {
        let new = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(job.to_owned());
        new.then(|| Claim { claims: self.clone(), job: job.to_owned() })
    }

    /// Claims a job, and retries for up to a second while another task holds it; then `None`.
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
        self.claims.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.job);
    }
}
