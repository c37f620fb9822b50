//! `replay of 50 calls`: the cost of waking a job with 50 calls in its journal.
//!
//! The bench measures the processor time of its process, from the time when some jobs are parked until each has
//! finished, divided by the number of jobs. This time covers everything from wake-up to end: finding the job, reading
//! and checking its journal for each step, a fresh sandbox, 50 answers from the journal, the wait's result, the end,
//! the closing line and its delivery. Store and chat are in memory, so disk and network take no time.
//! Invariant: no job wakes before the clock is read, and each succeeds with all of its calls in its journal.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use rustix::time::{ClockId, clock_gettime};
use wardroom::{
    Timestamp,
    store::{JobOutcome, JobPhase, JobRow, MemoryStore, Store as _},
};

use crate::{
    figure::{Against, Figure, Unit, median},
    scene::{self, Scene},
    serving::Serving,
};

pub(crate) const NAME: &str = "replay of 50 calls";

/// The limit in microseconds.
const LIMIT: f64 = 1_000.0;
const CALLS: usize = 50;
/// The number of jobs. It is so small that all are parked before the first wakes.
const JOBS: usize = 32;
const ROUNDS: usize = 15;
/// The number of rounds before the measured ones.
const WARM_UP: usize = 2;
/// Time after the last wake-up time at which all jobs have woken.
const LATER: Duration = Duration::from_millis(100);

pub(crate) fn measure(scene: &Scene) -> Result<Figure> {
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let folder = tempfile::tempdir()?;
    let text =
        format!("[bot.bench.memory]\n\n{}{}", scene::role(), scene::plugin("bench", &scene.guests.join("bench.wasm")));
    let mut each = Vec::new();
    for round in 0..WARM_UP + ROUNDS {
        let microseconds = tokio.block_on(wake_parked_jobs(folder.path(), &text))?;
        if round >= WARM_UP {
            each.push(microseconds);
        }
    }
    Ok(Figure { name: NAME, measured: median(each), unit: Unit::Microseconds, against: Against::Limit(LIMIT) })
}

/// Parks some jobs and waits for their end. Returns the microseconds of one job.
async fn wake_parked_jobs(folder: &Path, text: &str) -> Result<f64> {
    let store = Arc::new(MemoryStore::new());
    let serving = Serving::start(folder, text, store.clone()).await?;
    serving.types((0..JOBS).map(|_| format!("reads {CALLS} 500ms"))).await?;
    serving.until_idle().await;
    let jobs = store.all_jobs();
    let before = spent();
    ensure!(jobs.len() == JOBS && jobs.iter().all(is_parked), "not all jobs were parked in time; is the machine busy?");
    let last = jobs.iter().filter_map(|job| job.status.wake).max().context("no job waits for a time")?;
    let until = Duration::try_from(last.duration_since(Timestamp::now())).unwrap_or_default();
    tokio::time::sleep(until + LATER).await;
    serving.until_idle().await;
    let spent = spent().saturating_sub(before);
    for job in store.all_jobs() {
        let outcome = job.end.as_ref().map(|end| end.outcome);
        ensure!(outcome == Some(JobOutcome::Succeeded), "job {} ended with {:?}", job.id, job.end);
        let entries = store.entries(&job.id).await?.len();
        // The invocation, the timer, the wait and its result, the guest's end and the job's end.
        ensure!(entries == CALLS + 6, "job {} has {entries} entries", job.id);
    }
    serving.end().await?;
    Ok(spent.as_secs_f64() * 1e6 / JOBS as f64)
}

fn is_parked(job: &JobRow) -> bool {
    job.end.is_none() && job.status.phase == JobPhase::Time
}

/// Returns the processor time of the process.
fn spent() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}
