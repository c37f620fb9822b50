//! `query` and `query on all cores`: the time of a query in the engine, compared with its bare sandbox, and the number
//! of queries a second on all cores.
//!
//! One side is [`Engine::ask`] with the guest `bench` and a store in memory: parser, rights, a fresh sandbox with one
//! host call, the audit line. The other side is the sandbox alone: the same wasmtime configuration and limits, an
//! `InstancePre`, a fresh store, one typed call, and a host call that returns a constant.
//!
//! The two sides alternate in small rounds, so that a disturbance affects both, and the median of all rounds counts. On
//! all cores the time of a query is the time of a round divided by the number of its queries.
//! Invariant: every answer is checked, and every audit line is counted in the store.

use std::{
    path::Path,
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use wardroom::{
    Timestamp,
    base::Text,
    engine::{
        Engine,
        internals::{PluginPre, Sandbox, commands, types},
    },
    model::Person,
    store::{InboxKey, InboxRow, MemoryStore},
};
use wasmtime::{ResourceLimiter, Store, UpdateDeadline, component::Linker};

use crate::{
    figure::{Against, Figure, Unit, median},
    scene::{self, PERSON, Scene},
};

pub(crate) const NAME: &str = "query";
const NAME_ALL: &str = "query on all cores";
const NAME_RATE: &str = "queries a second on all cores";

/// The maximum ratio to the time of the bare sandbox.
const TIMES: f64 = 1.5;
/// The minimum of queries a second. A Hubot of one thread without a sandbox answered as many on two cores.
const RATE: f64 = 78_000.0;
/// The number of queries of one thread in one round. It is so small that most rounds end before the scheduler preempts
/// the thread.
const BATCH: usize = 50;
/// The number of measured rounds.
const ROUNDS: usize = 600;
/// The number of rounds before the measured ones.
const WARM_UP: usize = 60;
const ANSWER: &str = "pong";

pub(crate) fn measure(scene: &Scene) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let cores = std::thread::available_parallelism()?.get();
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(cores).enable_all().build()?;
    let asked = tokio.block_on(EngineSide::new(scene, folder.path()))?;
    let bare = SandboxSide::new(&scene.guest()?)?;
    let mut figures = Vec::new();
    for (name, threads) in [(NAME, 1), (NAME_ALL, cores)] {
        let (measured, bare) = compare(tokio.handle(), &asked, &bare, threads)?;
        let against = Against::Bare { measured: bare, times: TIMES };
        figures.push(Figure { name, measured, unit: Unit::Microseconds, against });
        if name == NAME_ALL {
            let against = Against::AtLeast(RATE);
            figures.push(Figure { name: NAME_RATE, measured: 1e6 / measured, unit: Unit::PerSecond, against });
        }
    }
    asked.all_lines()?;
    Ok(figures)
}

/// Returns the microseconds of a query on both sides. All threads run one side, then all run the other.
fn compare(
    tokio: &tokio::runtime::Handle,
    asked: &EngineSide,
    bare: &SandboxSide,
    threads: usize,
) -> Result<(f64, f64)> {
    let together = Barrier::new(threads);
    let timed = |batch: &mut dyn FnMut() -> Result<()>| {
        together.wait();
        let began = Instant::now();
        let done = batch();
        done.map(|()| began.elapsed().as_secs_f64() * 1e6 / (BATCH * threads) as f64)
    };
    let rounds = || -> Vec<Result<(f64, f64)>> {
        // Return a failure only after all rounds, because a thread that returns early would block the others at the
        // barrier.
        let round = |_| {
            let mut rows = asked.rows();
            let with = timed(&mut || tokio.block_on(asked.batch(std::mem::take(&mut rows))));
            let without = timed(&mut || tokio.block_on(bare.batch()));
            Ok((with?, without?))
        };
        (0..WARM_UP + ROUNDS).map(round).collect()
    };
    let all = thread::scope(|scope| {
        let started: Vec<_> = (0..threads).map(|_| scope.spawn(rounds)).collect();
        started
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow!("a thread broke")))
            .collect::<Result<Vec<_>>>()
    })?;
    let (mut with, mut without) = (vec![0.0; ROUNDS], vec![0.0; ROUNDS]);
    for rounds in all {
        for (round, figures) in rounds.into_iter().skip(WARM_UP).enumerate() {
            let (a, b) = figures?;
            with[round] += a / threads as f64;
            without[round] += b / threads as f64;
        }
    }
    Ok((median(with), median(without)))
}

/// The engine's side.
struct EngineSide {
    engine: Engine,
    store: Arc<MemoryStore>,
    batches: AtomicUsize,
    answer: Text,
}

impl EngineSide {
    async fn new(scene: &Scene, folder: &Path) -> Result<Self> {
        let config = scene::config(folder, [("bench".to_owned(), scene.guests.join("bench.wasm"))])?;
        let store = Arc::new(MemoryStore::new());
        let engine = scene::builder().build(config, store.clone()).await?;
        if let Some((plugin, error)) = engine.not_loaded().first() {
            bail!("plugin {plugin} is not loaded: {error}");
        }
        Ok(Self { engine, store, batches: AtomicUsize::new(0), answer: Text::quote(ANSWER) })
    }

    /// Returns messages in the form of the inbox.
    fn rows(&self) -> Vec<InboxRow> {
        let batch = self.batches.fetch_add(1, Ordering::Relaxed);
        let row = |number: usize| InboxRow {
            bot: "marvin".into(),
            unproven: None,
            started: None,
            direct: false,
            reaction: None,
            key: InboxKey {
                network: "memory".to_owned(),
                room: "!ops:example.org".to_owned(),
                event: format!("${batch}-{number}:example.org"),
            },
            thread: None,
            sender: Person { id: PERSON.to_owned(), name: "operator".to_owned() },
            text: "ping".to_owned(),
            at: Timestamp::now(),
        };
        (0..BATCH).map(row).collect()
    }

    async fn batch(&self, rows: Vec<InboxRow>) -> Result<()> {
        for row in rows {
            let answer = self.engine.ask(row).await?;
            ensure!(answer == self.answer, "the guest answered: {}", answer.plain());
        }
        Ok(())
    }

    /// Checks that each measured query has its audit line.
    fn all_lines(&self) -> Result<()> {
        let lines = self.store.all_lines();
        let good = lines.iter().filter(|line| line.calls.len() == 1 && line.calls[0].allowed == 1).count();
        let queries = self.batches.load(Ordering::Relaxed) * BATCH;
        ensure!(
            good == queries && lines.len() == queries,
            "{queries} queries left {good} good lines of {}",
            lines.len()
        );
        Ok(())
    }
}

/// The memory limiter of one run of the guest.
type Limiter = Box<dyn ResourceLimiter + Send>;

/// The sandbox's side.
struct SandboxSide {
    // The sandbox owns the clock that advances the epochs.
    _sandbox: Sandbox,
    pre: PluginPre<Limiter>,
    asked: commands::Invocation,
}

impl SandboxSide {
    fn new(guest: &[u8]) -> Result<Self> {
        let plain = |error: wasmtime::Error| anyhow!("{error:#}");
        let sandbox = Sandbox::new().map_err(plain)?;
        let mut linker: Linker<Limiter> = Linker::new(sandbox.engine());
        let mut clock = linker.instance("wardroom:plugin/clock@0.1.0").map_err(plain)?;
        clock
            .func_wrap_async("now", |_, (): ()| {
                Box::new(async { Ok((Ok::<_, types::Error>(types::Instant { unix_ms: 1_700_000_000_000 }),)) })
            })
            .map_err(plain)?;
        let pre = sandbox.prepare(guest, &mut linker).map_err(plain)?;
        let asked = commands::Invocation {
            job: "query".to_owned(),
            command: "ping".to_owned(),
            arguments: Vec::new(),
            caller: types::Person { id: PERSON.to_owned(), name: "operator".to_owned() },
        };
        Ok(Self { _sandbox: sandbox, pre, asked })
    }

    async fn batch(&self) -> Result<()> {
        for _ in 0..BATCH {
            let reply = self.run().await.map_err(|error| anyhow!("{error:#}"))?;
            let reply = reply.ok().context("the guest failed")?;
            ensure!(reply.text == ANSWER, "the guest answered: {}", reply.text);
        }
        Ok(())
    }

    async fn run(&self) -> wasmtime::Result<Result<commands::Reply, commands::Failure>> {
        let mut store = Store::new(self.pre.engine(), Sandbox::limiter());
        store.limiter(|limiter| &mut **limiter);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Yield(1)));
        let plugin = self.pre.instantiate_async(&mut store).await?;
        plugin.wardroom_plugin_commands().call_run(&mut store, &self.asked).await
    }
}
