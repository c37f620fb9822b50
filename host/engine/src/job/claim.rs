//! Which jobs are being taken care of, so that no two do it at once.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How often, and after which pauses, a job is tried to be had that somebody else has.
const TRIES: u32 = 40;
const PAUSE: Duration = Duration::from_millis(25);

/// The jobs that somebody takes care of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claims(Arc<Mutex<HashSet<String>>>);

/// The care of one job; let go of when dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    claims: Claims,
    job: String,
}

impl Claims {
    /// Takes a job in care; `None` where somebody else has it.
    pub(crate) fn claim(&self, job: &str) -> Option<Claim> {
        let new = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(job.to_owned());
        new.then(|| Claim { claims: self.clone(), job: job.to_owned() })
    }

    /// The same, as soon as whoever has it lets go of it; `None` where that takes longer than people wait.
    pub(crate) async fn claim_soon(&self, job: &str) -> Option<Claim> {
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
