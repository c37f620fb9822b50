//! `query`, and `query on all cores`: what the engine adds to the sandbox that it needs anyway.
//!
//! One side is [`Engine::ask`] with the guest `bench` and a store in memory: parser, rights, a fresh sandbox with one
//! host call, the line. The other is that sandbox alone: the same wasmtime configuration and limits, an `InstancePre`,
//! a fresh store, one typed call, and the host call answered by a constant.
//!
//! Both sides run in turn in small rounds, so that what disturbs one disturbs the other; of all rounds the median counts.
//! Invariant: every answer is looked at, and every line is counted in the store.

use std::{future::Future, sync::Arc, time::Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use wardroom::{
    Engine, Timestamp,
    message::Person,
    plugin::{
        Artifact, Limits, Meter, Runtime,
        bindings::{PluginPre, commands, types},
        runtime::Memory,
    },
    port::{
        memory::MemoryStore,
        store::{InboxKey, InboxRow},
    },
    reply::Text,
};
use wasmtime::{
    Store, UpdateDeadline,
    component::{Component, Linker},
};

use crate::{
    figure::{Against, Figure, Unit, median},
    scene::{self, PERSON, Scene},
};

pub(crate) const NAME: &str = "query";
const NAME_ALL: &str = "query on all cores";

/// How many times the bare sandbox a query may take.
const TIMES: f64 = 1.5;
/// Queries in one round of one task.
const BATCH: usize = 100;
/// Rounds that count.
const ROUNDS: usize = 300;
/// Rounds before that, which do not.
const WARM_UP: usize = 30;
const ANSWER: &str = "pong";

pub(crate) fn measure(scene: &Scene) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let cores = std::thread::available_parallelism()?.get();
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(cores).enable_all().build()?;
    let asked = Arc::new(tokio.block_on(Asked::new(scene, folder.path()))?);
    let bare = Arc::new(Bare::new(&scene.guest()?)?);
    let mut figures = Vec::new();
    for (name, tasks) in [(NAME, 1), (NAME_ALL, cores)] {
        let (measured, bare) = tokio.block_on(compare(&asked, &bare, tasks))?;
        let against = Against::Bare { measured: bare, times: TIMES };
        figures.push(Figure { name, measured, unit: Unit::Microseconds, against });
    }
    asked.all_lines()?;
    Ok(figures)
}

/// Microseconds a query on both sides, with so many tasks at a time.
async fn compare(asked: &Arc<Asked>, bare: &Arc<Bare>, tasks: usize) -> Result<(f64, f64)> {
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for round in 0..WARM_UP + ROUNDS {
        let rows: Vec<_> = (0..tasks).map(|task| asked.rows(round * tasks + task)).collect();
        let asked = asked.clone();
        let a = side(rows.into_iter().map(|rows| asked.clone().batch(rows))).await?;
        let b = side((0..tasks).map(|_| bare.clone().batch())).await?;
        if round >= WARM_UP {
            with.push(a);
            without.push(b);
        }
    }
    Ok((median(with), median(without)))
}

/// Runs some batches side by side, each in a task of its own; gives microseconds a query.
async fn side<F>(batches: impl Iterator<Item = F>) -> Result<f64>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let began = Instant::now();
    let tasks: Vec<_> = batches.map(tokio::spawn).collect();
    let queries = tasks.len() * BATCH;
    for task in tasks {
        task.await??;
    }
    Ok(began.elapsed().as_secs_f64() * 1e6 / queries as f64)
}

/// The engine's side.
struct Asked {
    engine: Engine,
    store: Arc<MemoryStore>,
    queries: std::sync::atomic::AtomicUsize,
    answer: Text,
}

impl Asked {
    async fn new(scene: &Scene, folder: &std::path::Path) -> Result<Self> {
        let config = scene::config(folder, [("bench".to_owned(), scene.guests.join("bench.wasm"))])?;
        let store = Arc::new(MemoryStore::new());
        let engine = Engine::builder(config, store.clone()).build().await?;
        if let Some(plugin) = engine.plugins().not_loaded().first() {
            bail!("plugin {} is not loaded: {}", plugin.name, plugin.error);
        }
        Ok(Self { engine, store, queries: Default::default(), answer: Text::lines(ANSWER) })
    }

    /// Messages as they would stand in the inbox.
    fn rows(&self, batch: usize) -> Vec<InboxRow> {
        let row = |number: usize| InboxRow {
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

    async fn batch(self: Arc<Self>, rows: Vec<InboxRow>) -> Result<()> {
        self.queries.fetch_add(rows.len(), std::sync::atomic::Ordering::Relaxed);
        for row in rows {
            let answer = self.engine.ask(row).await?;
            ensure!(answer == self.answer, "the guest answered: {}", answer.plain());
        }
        Ok(())
    }

    /// Nothing was measured that is not in the log.
    fn all_lines(&self) -> Result<()> {
        let lines = self.store.lines();
        let good = lines.iter().filter(|line| line.calls.len() == 1 && line.calls[0].allowed == 1).count();
        let queries = self.queries.load(std::sync::atomic::Ordering::Relaxed);
        ensure!(
            good == queries && lines.len() == queries,
            "{queries} queries left {good} good lines of {}",
            lines.len()
        );
        Ok(())
    }
}

/// The sandbox alone.
struct Bare {
    // The epochs come from its clock.
    _runtime: Runtime,
    pre: PluginPre<Meter>,
    asked: commands::Invocation,
}

impl Bare {
    fn new(guest: &[u8]) -> Result<Self> {
        let plain = |error: wasmtime::Error| anyhow!("{error:#}");
        let runtime = Runtime::with_memory(Memory::Pool).map_err(plain)?;
        let artifact = Artifact::from_bytes(guest)?;
        let component = Component::new(runtime.engine(), &artifact.component).map_err(plain)?;
        let mut linker: Linker<Meter> = Linker::new(runtime.engine());
        let mut clock = linker.instance("wardroom:plugin/clock@0.1.0").map_err(plain)?;
        clock
            .func_wrap_async("now", |_, (): ()| {
                Box::new(async { Ok((Ok::<_, types::Error>(types::Instant { unix_ms: 1_700_000_000_000 }),)) })
            })
            .map_err(plain)?;
        let pre = linker.instantiate_pre(&component).and_then(PluginPre::new).map_err(plain)?;
        let asked = commands::Invocation {
            job: "query".to_owned(),
            command: "ping".to_owned(),
            arguments: Vec::new(),
            caller: types::Person { id: PERSON.to_owned(), name: "operator".to_owned() },
        };
        Ok(Self { _runtime: runtime, pre, asked })
    }

    async fn batch(self: Arc<Self>) -> Result<()> {
        for _ in 0..BATCH {
            let reply = self.run().await.map_err(|error| anyhow!("{error:#}"))?;
            let reply = reply.ok().context("the guest failed")?;
            ensure!(reply.text == ANSWER, "the guest answered: {}", reply.text);
        }
        Ok(())
    }

    async fn run(&self) -> wasmtime::Result<Result<commands::Reply, commands::Failure>> {
        let mut store = Store::new(self.pre.engine(), Meter::new(Limits::default()));
        store.limiter(|meter| meter);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Yield(1)));
        let plugin = self.pre.instantiate_async(&mut store).await?;
        plugin.wardroom_plugin_commands().call_run(&mut store, &self.asked).await
    }
}
