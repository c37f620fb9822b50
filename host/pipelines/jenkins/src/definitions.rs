//! The definitions of jobs, which are kept for a short time.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::Mutex as AsyncMutex;
use wardroom_remote::RemoteError;

use crate::{
    client::{Client, JobInfo},
    job_path::JobPath,
};

/// A job's definition with the time at which it was read; `None` before the first request.
type Definition = Arc<AsyncMutex<Option<(Instant, JobInfo)>>>;

/// The definitions of jobs that were read a short time ago.
#[derive(Debug)]
pub(crate) struct Definitions {
    known: Mutex<BTreeMap<JobPath, Definition>>,
    /// How long a definition is used again.
    age: Duration,
}

impl Definitions {
    pub(crate) fn new(age: Duration) -> Self {
        Self { known: Mutex::default(), age }
    }

    /// Returns the definition of a job. Requests that arrive at the same time share one request to Jenkins.
    pub(crate) async fn get(&self, client: &Client, job: &JobPath) -> Result<JobInfo, RemoteError> {
        let is_fresh =
            |known: &Option<(Instant, JobInfo)>| known.as_ref().is_some_and(|(at, _)| at.elapsed() < self.age);
        let shared = {
            let mut known = self.known.lock();
            known.retain(|_, definition| {
                Arc::strong_count(definition) > 1 || definition.try_lock().is_ok_and(|known| is_fresh(&known))
            });
            known.entry(job.clone()).or_default().clone()
        };
        let mut known = shared.lock().await;
        if let Some((_, info)) = known.as_ref().filter(|(at, _)| at.elapsed() < self.age) {
            return Ok(info.clone());
        }
        let at = Instant::now();
        let info = client.job(job).await?;
        // Jenkins finds a job also by a name in other letters. Rules compare the name exactly.
        if let Some(name) = info.full_name.as_ref().filter(|name| *name != job.as_str()) {
            return Err(RemoteError::rejected(format!(
                "the job `{job}` is called `{}` in Jenkins; write its name so",
                wardroom::base::clean(name)
            )));
        }
        *known = Some((at, info.clone()));
        Ok(info)
    }
}
