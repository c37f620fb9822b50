//! An engine over twins in memory that dies at a chosen call of one of its ports, and lives again over what they hold.
//!
//! Invariant: a dead engine changes nothing more: whatever of it still runs waits for ever at its next port.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use async_trait::async_trait;
use tokio::sync::Notify;
use wardroom::{
    CancellationToken, Engine, Timestamp,
    config::{BotIdentity, Registry, Table, read},
    journal,
    message::{Inbox, Incoming, Person},
    port::{
        Abilities, Chat, ChatFactory, Clock, Outcome, Outgoing, PipelineError, Pipelines, PipelinesFactory, RunEnd,
        RunKey, RunState, SendError, Store, StoreError,
        memory::{MemoryChat, MemoryPipelines, MemoryStore},
        pipelines::PipelinesBuilder,
        store::{
            Freeze, Grant, InboxKey, InboxRow, JobQuery, JobRow, Link, Mark, PendingRow, Phase, Place, Reaction,
            Release, ReleaseQuery, Removed, Sealed, Usage, Write,
        },
    },
};

/// How long a life may take. Far more than it does.
const PATIENCE: Duration = Duration::from_secs(8);
/// The room.
pub(super) const ROOM: &str = "room";

/// Burns down with each call of a port, and ends a life when it is used up.
pub(super) struct Fuse {
    left: AtomicI64,
    dead: Notify,
}

impl Fuse {
    fn new(calls: Option<u32>) -> Arc<Self> {
        Arc::new(Self { left: AtomicI64::new(calls.map_or(i64::MAX, i64::from)), dead: Notify::new() })
    }

    async fn pass(&self) {
        if self.left.fetch_sub(1, Ordering::SeqCst) <= 0 {
            self.dead.notify_one();
            std::future::pending::<()>().await;
        }
    }

    fn is_burnt(&self) -> bool {
        self.left.load(Ordering::SeqCst) < 0
    }
}

/// What outlives an engine.
pub(super) struct World {
    pub(super) store: Arc<MemoryStore>,
    pub(super) chat: Arc<MemoryChat>,
    pub(super) pipelines: Arc<MemoryPipelines>,
    pub(super) clock: Arc<SetClock>,
    folder: tempfile::TempDir,
    events: std::cell::Cell<u32>,
    // The event of each one's last reaction.
    given: std::cell::RefCell<BTreeMap<String, String>>,
}

/// A clock on the wall that somebody can set.
#[derive(Debug, Default)]
pub(super) struct SetClock(AtomicI64);

impl SetClock {
    /// Sets it so many seconds ahead of the real one, or behind.
    pub(super) fn set(&self, seconds: i64) {
        self.0.store(seconds, Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        let now = Timestamp::now();
        Timestamp::new(now.as_second() + self.0.load(Ordering::SeqCst), now.subsec_nanosecond()).unwrap_or(now)
    }
}

impl World {
    /// A new one. Runs end at once in one way, or only when they are told to.
    pub(super) fn new(at_once: Option<Outcome>) -> Result<Self> {
        Ok(Self {
            store: Arc::new(MemoryStore::new()),
            chat: MemoryChat::new(Abilities { threads: true, edits: true, reactions: true, files: false }),
            pipelines: MemoryPipelines::new(at_once),
            clock: Arc::default(),
            folder: tempfile::tempdir()?,
            events: std::cell::Cell::new(0),
            given: std::cell::RefCell::default(),
        })
    }

    /// One life with a configuration: first something is typed, then it goes on until nothing is at work and no time is waited
    /// for, or until the fuse is burnt. Gives whether it came to rest.
    pub(super) fn live(&self, config: &str, typed: &[&str], calls: Option<u32>) -> Result<bool> {
        self.live_for(config, typed, calls, PATIENCE * 2)
    }

    /// The same, killed after some time at the latest.
    pub(super) fn live_for(&self, config: &str, typed: &[&str], calls: Option<u32>, most: Duration) -> Result<bool> {
        let fuse = Fuse::new(calls);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let lived = runtime.block_on(async {
            match tokio::time::timeout(most, self.life(config, typed, &fuse)).await {
                Ok(lived) => lived,
                Err(_) => {
                    fuse.left.store(0, Ordering::SeqCst);
                    Ok(false)
                }
            }
        });
        // Whoever is dead waits for ever.
        runtime.shutdown_background();
        lived
    }

    async fn life(&self, config: &str, typed: &[&str], fuse: &Arc<Fuse>) -> Result<bool> {
        let file = self.folder.path().join("plugins.toml");
        std::fs::write(&file, config.replace("{guests}", &guests().display().to_string()))?;
        let served = Arc::new(Notify::new());
        let mortal = Mortal { inner: self.chat.clone(), fuse: fuse.clone() };
        let chat: Arc<dyn Chat> = Arc::new(MortalChat { mortal, served: served.clone() });
        let systems: Arc<dyn Pipelines> = Arc::new(Mortal { inner: self.pipelines.clone(), fuse: fuse.clone() });
        let registry = Registry {
            chats: vec![Arc::new(Ready(chat))],
            pipelines: vec![Arc::new(ReadyPipelines(systems))],
            ..Registry::default()
        };
        let config = read(&file, &registry).map_err(|problems| anyhow!("{problems:?}"))?;
        let store: Arc<dyn Store> = Arc::new(Mortal { inner: self.store.clone(), fuse: fuse.clone() });
        let engine =
            Engine::builder(config, store).clock(self.clock.clone()).cache(crate::house::code()).build().await?;
        let engine = Arc::new(engine);
        let stop = CancellationToken::new();
        let running = tokio::spawn({
            let (engine, stop) = (engine.clone(), stop.clone());
            async move { engine.run(stop).await }
        });
        let lived = tokio::select! {
            () = fuse.dead.notified() => return Ok(false),
            lived = async {
                served.notified().await;
                self.rest(&engine, typed).await
            } => lived,
        };
        lived?;
        if fuse.is_burnt() {
            return Ok(false);
        }
        stop.cancel();
        let ended = tokio::select! {
            () = fuse.dead.notified() => return Ok(false),
            ended = running => ended,
        };
        ended??;
        Ok(true)
    }

    async fn rest(&self, engine: &Engine, typed: &[&str]) -> Result<()> {
        let inbox = engine.inbox("marvin", MemoryChat::NETWORK).context("marvin has this account")?;
        for words in typed {
            // `(2000)` is a pause, in milliseconds.
            if let Some(pause) = words.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
                tokio::time::sleep(Duration::from_millis(pause.parse()?)).await;
                continue;
            }
            self.events.set(self.events.get() + 1);
            // `bob> help` is said by bob, and `late> help` was said an hour ago and is read back.
            let (sender, words) = words.split_once("> ").unwrap_or(("operator", words));
            let late = sender == "late";
            let reaction = self.reaction(sender, words);
            let at = Timestamp::new(Timestamp::now().as_second() - if late { 3600 } else { 0 }, 0)?;
            let message = Incoming {
                reaction,
                event: format!("event-{}", self.events.get()),
                thread: None,
                sender: Person::named_by_id(if late { "operator" } else { sender }),
                text: words.to_owned(),
                at,
                direct: true,
                late,
                machine: false,
                once: None,
                unproven: None,
            };
            inbox.receive(ROOM, vec![message], None).await?;
        }
        let began = Instant::now();
        loop {
            inbox.settled().await;
            let open = self.open().await?;
            if !open
                .iter()
                .any(|job| matches!(job.stand.phase, Phase::Time | Phase::Later | Phase::Working | Phase::Run))
            {
                return Ok(());
            }
            ensure!(began.elapsed() < PATIENCE, "it does not come to rest: {open:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// `👍` and `👎` are put on the newest message that asks, and `-` takes the sender's last one away.
    fn reaction(&self, sender: &str, words: &str) -> Option<Reaction> {
        let mut given = self.given.borrow_mut();
        match words {
            "👍" | "👎" => {
                given.insert(sender.to_owned(), format!("event-{}", self.events.get()));
                let asks = |message: &Outgoing| message.key.ends_with("/approval-1");
                let at = self.chat.sent().iter().rposition(asks)?;
                Some(Reaction::Given { on: format!("sent-{at}"), emoji: words.to_owned() })
            }
            "-" => Some(Reaction::Withdrawn { given: given.get(sender)?.clone() }),
            _ => None,
        }
    }

    /// The jobs that are not over.
    pub(super) async fn open(&self) -> Result<Vec<JobRow>> {
        Ok(self.store.jobs(&JobQuery { open: Some(true), ..JobQuery::default() }).await?)
    }

    /// Whether what was typed came into the inbox.
    pub(super) fn heard(&self) -> Result<bool> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        Ok(!self.store.all_jobs().is_empty() || !runtime.block_on(self.store.waiting())?.is_empty())
    }

    /// All jobs, the oldest first.
    pub(super) fn jobs(&self) -> Vec<JobRow> {
        self.store.all_jobs()
    }

    /// The whole chain holds.
    pub(super) fn verify(&self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        match runtime.block_on(journal::verify(&*self.store, None))? {
            Ok(_) => Ok(()),
            Err(fault) => bail!("{fault}"),
        }
    }

    /// A job's entries.
    pub(super) fn entries(&self, job: &str) -> Result<Vec<Sealed>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(self.store.entries(job))?)
    }
}

/// The folder of the built guests.
fn guests() -> std::path::PathBuf {
    crate::house::guests()
}

/// A port that a fuse belongs to.
struct Mortal<T> {
    inner: Arc<T>,
    fuse: Arc<Fuse>,
}

/// The chat of one life; it says when it is served.
struct MortalChat {
    mortal: Mortal<MemoryChat>,
    served: Arc<Notify>,
}

struct Ready(Arc<dyn Chat>);

impl ChatFactory for Ready {
    fn network(&self) -> &'static str {
        MemoryChat::NETWORK
    }

    fn read(&self, _bot: &BotIdentity, _table: &mut Table) -> Option<Arc<dyn Chat>> {
        Some(self.0.clone())
    }
}

struct ReadyPipelines(Arc<dyn Pipelines>);

impl PipelinesFactory for ReadyPipelines {
    fn kind(&self) -> &'static str {
        "memory"
    }

    fn inline_key(&self) -> Option<&'static str> {
        Some("memory")
    }

    fn system(&self, _table: Option<&mut Table>) -> Option<Box<dyn PipelinesBuilder>> {
        Some(Box::new(ReadyBuilder(self.0.clone())))
    }
}

struct ReadyBuilder(Arc<dyn Pipelines>);

impl PipelinesBuilder for ReadyBuilder {
    fn pipeline(&mut self, _name: &str, _path: Option<&str>, _parameters: &[String], table: &mut Table) {
        let _ = table.boolean("memory");
    }

    fn build(self: Box<Self>) -> Arc<dyn Pipelines> {
        self.0
    }
}

#[async_trait]
impl Chat for MortalChat {
    fn network(&self) -> &'static str {
        MemoryChat::NETWORK
    }

    fn abilities(&self) -> Abilities {
        self.mortal.inner.abilities()
    }

    async fn serve(&self, inbox: Arc<Inbox>, stop: CancellationToken) -> anyhow::Result<()> {
        self.served.notify_one();
        self.mortal.inner.serve(inbox, stop).await
    }

    async fn send(&self, message: &Outgoing) -> Result<String, SendError> {
        self.mortal.fuse.pass().await;
        let sent = self.mortal.inner.send(message).await;
        self.mortal.fuse.pass().await;
        sent
    }

    async fn find(&self, room: &str, key: &str) -> Result<Option<String>, SendError> {
        self.mortal.inner.find(room, key).await
    }
}

#[async_trait]
impl Pipelines for Mortal<MemoryPipelines> {
    async fn start(
        &self,
        key: &RunKey,
        pipeline: &str,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Option<String>, PipelineError> {
        self.fuse.pass().await;
        let started = self.inner.start(key, pipeline, parameters).await;
        self.fuse.pass().await;
        started
    }

    async fn state(&self, key: &RunKey, pipeline: &str) -> Result<RunState, PipelineError> {
        self.fuse.pass().await;
        self.inner.state(key, pipeline).await
    }

    async fn ended(
        &self,
        key: &RunKey,
        pipeline: &str,
        line: &mut (dyn for<'line> FnMut(&'line str) + Send),
    ) -> Result<RunEnd, PipelineError> {
        self.fuse.pass().await;
        self.inner.ended(key, pipeline, line).await
    }

    async fn output(&self, key: &RunKey, pipeline: &str, bytes: usize) -> Result<String, PipelineError> {
        self.inner.output(key, pipeline, bytes).await
    }

    async fn cancel(&self, key: &RunKey, pipeline: &str) -> Result<(), PipelineError> {
        self.fuse.pass().await;
        self.inner.cancel(key, pipeline).await
    }
}

#[async_trait]
impl Store for Mortal<MemoryStore> {
    async fn commit(&self, writes: Vec<Write>) -> Result<Vec<InboxKey>, StoreError> {
        self.fuse.pass().await;
        let committed = self.inner.commit(writes).await;
        self.fuse.pass().await;
        committed
    }

    fn note(&self, writes: Vec<Write>) {
        if !self.fuse.is_burnt() {
            self.inner.note(writes);
        }
    }

    async fn waiting(&self) -> Result<Vec<InboxRow>, StoreError> {
        self.inner.waiting().await
    }

    async fn mark(&self, bot: &str, network: &str, room: &str) -> Result<Option<Mark>, StoreError> {
        self.inner.mark(bot, network, room).await
    }

    async fn outbox(&self) -> Result<Vec<PendingRow>, StoreError> {
        self.inner.outbox().await
    }

    async fn sent_event(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.inner.sent_event(key).await
    }

    async fn sent_as(&self, network: &str, event: &str) -> Result<Option<String>, StoreError> {
        self.inner.sent_as(network, event).await
    }

    async fn job(&self, id: &str) -> Result<Option<JobRow>, StoreError> {
        self.inner.job(id).await
    }

    async fn jobs(&self, query: &JobQuery) -> Result<Vec<JobRow>, StoreError> {
        self.inner.jobs(query).await
    }

    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<JobRow>, StoreError> {
        self.inner.due(now, limit).await
    }

    async fn next_wake(&self) -> Result<Option<Timestamp>, StoreError> {
        self.inner.next_wake().await
    }

    async fn open_jobs(&self) -> Result<Vec<(Phase, u64)>, StoreError> {
        self.inner.open_jobs().await
    }

    async fn places(&self) -> Result<Vec<(Place, String)>, StoreError> {
        self.inner.places().await
    }

    async fn entries(&self, job: &str) -> Result<Vec<Sealed>, StoreError> {
        self.inner.entries(job).await
    }

    async fn tip(&self, job: &str) -> Result<Option<(u32, String)>, StoreError> {
        self.inner.tip(job).await
    }

    async fn newest(&self) -> Result<Option<Timestamp>, StoreError> {
        self.inner.newest().await
    }

    async fn beside(&self, digest: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.beside(digest).await
    }

    async fn links(&self, after: u64, limit: u32) -> Result<Vec<Link>, StoreError> {
        self.inner.links(after, limit).await
    }

    async fn lines(&self, link: u64) -> Result<Vec<wardroom::port::store::Line>, StoreError> {
        self.inner.lines(link).await
    }

    async fn remove(&self, before: Timestamp, loaded: &[String]) -> Result<Removed, StoreError> {
        self.inner.remove(before, loaded).await
    }

    async fn releases(&self, query: &ReleaseQuery) -> Result<Vec<Release>, StoreError> {
        self.inner.releases(query).await
    }

    async fn grants(&self) -> Result<Vec<Grant>, StoreError> {
        self.inner.grants().await
    }

    async fn freezes(&self) -> Result<Vec<Freeze>, StoreError> {
        self.inner.freezes().await
    }

    async fn value(&self, plugin: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.value(plugin, key).await
    }

    async fn values(&self, plugin: &str, prefix: &str, limit: u32) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.inner.values(plugin, prefix, limit).await
    }

    async fn usage(&self) -> Result<Vec<Usage>, StoreError> {
        self.inner.usage().await
    }
}
