//! `journaled calls`: the time of effects in the engine, compared with only storing their journal. `journaled calls
//! that keep`: the same for calls that store a plugin's values.
//!
//! One side runs 64 jobs of the guest `bench` at once, each for a separate app, on an engine with a [`SqliteStore`].
//! Each job has a fresh sandbox, the checks, in-memory pipelines and the entries. An effect is two commits: the intent
//! with its deployment lock, and the result. A value is one commit with its entry. The other side runs 64 tasks that
//! commit the same lists of writes in order to a store of the same kind. Lists that wait at the same moment share a
//! transaction and its sync on both sides.
//!
//! The measured section starts with the first entry after the invocations, which every job reaches before any
//! continues. It ends when the last call of the last job is on disk. It has neither the start nor the end of a job, but
//! it has the status cards that the engine writes in the meantime. The figure is the time divided by the number of
//! calls. The two sides alternate, each time on new files, and the median of all rounds counts.
//! Invariant: every job succeeded, with all of its calls in its journal.

use std::{collections::HashMap, path::Path, sync::Arc, time::Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::{sync::Barrier, task::JoinSet};
use wardroom::store::{EntryKind, JobOutcome, JobQuery, Store as _, Write};
use wardroom_sqlite::SqliteStore;
use wardroom_tests::hooked::HookedStore;

use crate::{
    figure::{Against, Figure, Unit, median},
    recorder::{Recorder, Section, enters},
    scene::{self, Scene},
    serving::Serving,
};

pub(crate) const NAME: &str = "journaled calls";
const NAME_KEEPS: &str = "journaled calls that keep";

/// The maximum ratio to the time of the bare store.
const TIMES: f64 = 2.0;
/// The number of concurrent jobs.
const JOBS: usize = 64;
/// The number of calls of each job.
const CALLS: u32 = 50;
/// The number of measured rounds.
const ROUNDS: usize = 21;

/// One kind of call.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    /// The number of journal entries of a call.
    entries: u32,
    /// The kind of the last of these entries.
    last: EntryKind,
    /// Returns the command line of a job by its number.
    line: fn(usize) -> String,
}

const EFFECTS: Kind =
    Kind { name: NAME, entries: 2, last: EntryKind::Result, line: |job| format!("effects app{job} staging {CALLS}") };
const KEEPS: Kind = Kind { name: NAME_KEEPS, entries: 1, last: EntryKind::Call, line: |_| format!("calls {CALLS}") };

pub(crate) fn measure(scene: &Scene) -> Result<Vec<Figure>> {
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let folder = tempfile::tempdir()?;
    let text = text(&scene.guests.join("bench.wasm"));
    [EFFECTS, KEEPS].into_iter().map(|kind| tokio.block_on(compare(folder.path(), &text, kind))).collect()
}

/// Returns the configuration. Each job has a separate app, because an effect takes the deployment lock of its app.
fn text(module: &Path) -> String {
    let mut text = format!("[bot.bench]\nenvironments = [\"staging\"]\n[bot.bench.memory]\n\n{}", scene::role());
    text.push_str("\n[environment.staging]\n");
    for job in 0..JOBS {
        text.push_str(&format!("[app.app{job}.deploy.staging]\nmemory = true\n"));
    }
    text.push_str(&scene::plugin("bench", module));
    // All jobs run at once, so their guests together must not exceed the memory for plugins.
    text.push_str(&format!("[plugin.bench.limits]\nacts = {CALLS}\nmemory_mib = 4\n"));
    text
}

async fn compare(folder: &Path, text: &str, kind: Kind) -> Result<Figure> {
    // This round also fills the code cache.
    let (_, written) = engine_side(folder, text, kind, true).await?;
    let (openings, calls) = parts(written, kind)?;
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        with.push(engine_side(folder, text, kind, false).await?.0);
        without.push(store_side(openings.clone(), calls.clone()).await?);
    }
    let each = |seconds| median(seconds) * 1e6 / (JOBS as f64 * f64::from(CALLS));
    let against = Against::Bare { measured: each(without), times: TIMES };
    Ok(Figure { name: kind.name, measured: each(with), unit: Unit::Microseconds, against })
}

/// Runs the engine's side. Returns the seconds, and all writes if `keep` is set.
async fn engine_side(folder: &Path, text: &str, kind: Kind, keep: bool) -> Result<(f64, Vec<Vec<Write>>)> {
    let state = tempfile::tempdir()?;
    let store = Arc::new(SqliteStore::open(&state.path().join("wardroom.db")).await?);
    let recorder = Recorder::default().timing(Section::new(JOBS, CALLS * kind.entries));
    let recorder = if keep { recorder.recording() } else { recorder };
    let hooked = Arc::new(HookedStore::new(store.clone(), recorder));
    let serving = Serving::start(folder, text, hooked.clone()).await?;
    serving.types((0..JOBS).map(kind.line)).await?;
    serving.until_idle().await;
    serving.end().await?;
    let jobs = store.jobs(&JobQuery::default()).await?;
    for job in &jobs {
        let outcome = job.end.as_ref().map(|end| end.outcome);
        ensure!(outcome == Some(JobOutcome::Succeeded), "job `{}` ended with {:?}", job.line, job.end);
        let entries = store.entries(&job.id).await?;
        let made = entries.iter().filter(|sealed| sealed.entry.kind == kind.last).count();
        ensure!(made == CALLS as usize, "job `{}` made {made} calls instead of {CALLS}", job.line);
    }
    ensure!(jobs.len() == JOBS, "{} jobs were created", jobs.len());
    let took = hooked.hooks().took().context("not all calls were written to the journal")?;
    store.close().await;
    Ok((took.as_secs_f64(), hooked.hooks().written()))
}

/// The lists of writes of each job, in their order.
type Lists = Vec<Vec<Vec<Write>>>;

/// Splits the writes into those that open the jobs and those of each job's calls.
fn parts(written: Vec<Vec<Write>>, kind: Kind) -> Result<(Vec<Write>, Lists)> {
    let mut openings = Vec::new();
    let mut calls: HashMap<String, Vec<Vec<Write>>> = HashMap::new();
    for list in written {
        let job = list.iter().find_map(|write| match write {
            Write::Append(entry) => Some(entry.job.clone()),
            _ => None,
        });
        match job {
            Some(_) if enters(&list, 0) => openings.extend(list),
            Some(job) if (1..=CALLS * kind.entries).any(|number| enters(&list, number)) => {
                calls.entry(job).or_default().push(list);
            }
            _ => {}
        }
    }
    let whole = calls.values().all(|lists| lists.len() == (CALLS * kind.entries) as usize);
    ensure!(calls.len() == JOBS && whole, "the lists of {} jobs were kept, or not all of them", calls.len());
    Ok((openings, calls.into_values().collect()))
}

/// Runs the store's side. Returns the seconds.
async fn store_side(openings: Vec<Write>, calls: Vec<Vec<Vec<Write>>>) -> Result<f64> {
    let state = tempfile::tempdir()?;
    let store = Arc::new(SqliteStore::open(&state.path().join("wardroom.db")).await?);
    store.commit(openings).await?;
    let begin = Arc::new(Barrier::new(calls.len() + 1));
    let mut tasks = JoinSet::new();
    for lists in calls {
        let (store, begin) = (store.clone(), begin.clone());
        tasks.spawn(async move {
            begin.wait().await;
            for list in lists {
                store.commit(list).await?;
            }
            anyhow::Ok(())
        });
    }
    begin.wait().await;
    let began = Instant::now();
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    let took = began.elapsed().as_secs_f64();
    store.close().await;
    Ok(took)
}
