//! An engine with in-memory adapters and store that crashes at a chosen call and restarts with the same state.
//!
//! Invariant: a crashed engine changes nothing more, because every further call of an adapter or the store blocks
//! forever.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use super::capability::tickets::Tracker;
use anyhow::{Context as _, Result, bail, ensure};
use async_trait::async_trait;
use tokio::sync::Notify;
use wardroom::{
    CancellationToken, Engine, EngineBuilder, Timestamp,
    adapter::{ChatFeatures, Clock, Incoming, MemoryChat, MemoryPipelines, Outgoing},
    model::{Outcome, Person},
    store::{HashedEntry, JobPhase, JobQuery, JobRow, MemoryStore, Reaction, Store as _, StoreError, Write},
};
use wardroom_tests::hooked::{ChatHooks, HookedChat, HookedPipelinesFactory, HookedStore, PipelinesHooks, StoreHooks};

/// Timeout of one run. It is much longer than a run.
const PATIENCE: Duration = Duration::from_secs(60);
pub(super) const ROOM: &str = "room";

/// The number of calls of adapters and store until the crash.
pub(super) struct CallBudget {
    left: AtomicI64,
    crashed: Notify,
}

impl CallBudget {
    fn new(calls: Option<u32>) -> Arc<Self> {
        Arc::new(Self { left: AtomicI64::new(calls.map_or(i64::MAX, i64::from)), crashed: Notify::new() })
    }

    async fn spend(&self) {
        if self.left.fetch_sub(1, Ordering::SeqCst) <= 0 {
            self.crashed.notify_one();
            std::future::pending::<()>().await;
        }
    }

    fn is_spent(&self) -> bool {
        self.left.load(Ordering::SeqCst) < 0
    }
}

/// The state that outlives an engine.
pub(super) struct Harness {
    pub(super) store: Arc<MemoryStore>,
    pub(super) chat: Arc<MemoryChat>,
    pub(super) pipelines: Arc<MemoryPipelines>,
    pub(super) tracker: Tracker,
    pub(super) clock: Arc<OffsetClock>,
    /// The time for which a commit of a granted role returns late, after the role is stored.
    pub(super) slow_grants: std::cell::Cell<Duration>,
    /// Whether each read of releases waits until the newest job is cancelled.
    pub(super) holds_releases: std::cell::Cell<bool>,
    /// The time for which each send returns late, after the message is in the room.
    pub(super) slow_sends: std::cell::Cell<Duration>,
    folder: tempfile::TempDir,
    events: std::cell::Cell<u32>,
    // The event id of the last reaction of each person.
    given: std::cell::RefCell<BTreeMap<String, String>>,
}

/// A wall clock with an offset to the real time.
#[derive(Debug, Default)]
pub(super) struct OffsetClock(AtomicI64);

impl OffsetClock {
    /// Sets the offset to the real time, in seconds.
    pub(super) fn set(&self, seconds: i64) {
        self.0.store(seconds, Ordering::SeqCst);
    }
}

impl Clock for OffsetClock {
    fn now(&self) -> Timestamp {
        let now = Timestamp::now();
        Timestamp::new(now.as_second() + self.0.load(Ordering::SeqCst), now.subsec_nanosecond()).unwrap_or(now)
    }
}

impl Harness {
    /// Creates new state. Runs end at once with the outcome `at_once`; if it is `None`, the test ends them.
    pub(super) fn new(at_once: Option<Outcome>) -> Result<Self> {
        Ok(Self {
            store: Arc::new(MemoryStore::new()),
            chat: MemoryChat::new(ChatFeatures { threads: true, edits: true, reactions: true, ..ChatFeatures::PLAIN }),
            pipelines: MemoryPipelines::new(at_once),
            tracker: Tracker::default(),
            clock: Arc::default(),
            slow_grants: std::cell::Cell::default(),
            holds_releases: std::cell::Cell::default(),
            slow_sends: std::cell::Cell::default(),
            folder: tempfile::tempdir()?,
            events: std::cell::Cell::new(0),
            given: std::cell::RefCell::default(),
        })
    }

    /// Runs an engine: delivers the typed lines, then runs until no job works or waits for a time, or until it crashes.
    /// Returns whether it finished without a crash.
    pub(super) fn run(&self, config: &str, typed: &[&str], calls: Option<u32>) -> Result<bool> {
        self.run_for(config, typed, calls, PATIENCE * 2)
    }

    /// Runs an engine like [`Harness::run`], with a crash after the time `most` at the latest.
    pub(super) fn run_for(&self, config: &str, typed: &[&str], calls: Option<u32>, most: Duration) -> Result<bool> {
        let budget = CallBudget::new(calls);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let finished = runtime.block_on(async {
            match tokio::time::timeout(most, self.run_engine(config, typed, &budget)).await {
                Ok(finished) => finished,
                Err(_) => {
                    budget.left.store(0, Ordering::SeqCst);
                    Ok(false)
                }
            }
        });
        // Tasks of a crashed engine block forever, so do not wait for them.
        runtime.shutdown_background();
        finished
    }

    /// Runs an engine with the typed lines until `reached` returns true, and then crashes it.
    ///
    /// # Errors
    /// The state is not reached in time, or the engine stops before.
    pub(super) fn run_until(&self, config: &str, typed: &[&str], reached: impl Fn(&Self) -> bool) -> Result<()> {
        let budget = CallBudget::new(None);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let is_reached = runtime.block_on(async {
            let state = async {
                while !reached(self) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                // Every call from now on blocks, as after a crash.
                budget.left.store(0, Ordering::SeqCst);
            };
            let engine = async {
                let ended = self.run_engine(config, typed, &budget).await;
                ensure!(reached(self), "the engine stopped before: {ended:?}");
                Ok(())
            };
            let either = async {
                tokio::select! {
                    () = state => Ok(()),
                    ended = engine => ended,
                }
            };
            tokio::time::timeout(PATIENCE * 2, either).await.context("the state was not reached in time")?
        });
        runtime.shutdown_background();
        is_reached.with_context(|| format!("{:?}\n{:?}", self.jobs(), self.chat.words()))
    }

    /// Returns a builder of an engine with the same adapters that does not crash.
    pub(super) fn builder(&self) -> EngineBuilder {
        Engine::builder().chat(self.chat.clone()).pipelines(self.pipelines.clone()).capability(self.tracker.clone())
    }

    async fn run_engine(&self, config: &str, typed: &[&str], budget: &Arc<CallBudget>) -> Result<bool> {
        let file = self.folder.path().join("plugins.toml");
        std::fs::write(&file, crate::test_host::with_guests(config))?;
        let served = Arc::new(Notify::new());
        let hooks = CrashHooks {
            budget: budget.clone(),
            served: served.clone(),
            slow_grants: self.slow_grants.get(),
            held_releases: self.holds_releases.get().then(|| self.store.clone()),
            slow_sends: self.slow_sends.get(),
        };
        let chat = HookedChat::new(self.chat.clone(), hooks.clone());
        let pipelines = Arc::new(self.pipelines.clone());
        let builder = Engine::builder()
            .chat(Arc::new(chat))
            .pipelines(HookedPipelinesFactory::new(pipelines, hooks.clone()))
            .capability(self.tracker.clone());
        let config = builder.read(&file)?;
        let store = Arc::new(HookedStore::new(self.store.clone(), hooks));
        let engine = builder.clock(self.clock.clone()).cache(crate::test_host::code()).build(config, store).await?;
        let engine = Arc::new(engine);
        let stop = CancellationToken::new();
        let running = tokio::spawn({
            let (engine, stop) = (engine.clone(), stop.clone());
            async move { engine.run(stop).await }
        });
        let finished = tokio::select! {
            () = budget.crashed.notified() => return Ok(false),
            finished = async {
                served.notified().await;
                self.rest(&engine, typed).await
            } => finished,
        };
        finished?;
        if budget.is_spent() {
            return Ok(false);
        }
        stop.cancel();
        let ended = tokio::select! {
            () = budget.crashed.notified() => return Ok(false),
            ended = running => ended,
        };
        ended??;
        Ok(true)
    }

    async fn rest(&self, engine: &Engine, typed: &[&str]) -> Result<()> {
        let inbox = engine.inbox("marvin", MemoryChat::NETWORK).context("marvin has this account")?;
        for words in typed {
            // `(asked)` waits until a request for approval is in the room.
            if *words == "(asked)" {
                while !self.chat.sent().iter().any(|message| message.key.ends_with("/approval-1")) {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                continue;
            }
            // `(2 jobs)` waits until there are two jobs, open or ended.
            if let Some(count) = words.strip_prefix('(').and_then(|rest| rest.strip_suffix(" jobs)")) {
                let count: usize = count.parse()?;
                while self.store.all_jobs().len() < count {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                continue;
            }
            // `(2000)` is a pause in milliseconds.
            if let Some(pause) = words.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
                tokio::time::sleep(Duration::from_millis(pause.parse()?)).await;
                continue;
            }
            self.events.set(self.events.get() + 1);
            // `bob> help` is sent by bob. `late> help` was sent an hour ago and arrives now.
            let (sender, words) = words.split_once("> ").unwrap_or(("operator", words));
            let late = sender == "late";
            let reaction = self.reaction(sender, words);
            let at = Timestamp::new(Timestamp::now().as_second() - if late { 3600 } else { 0 }, 0)?;
            let sender = Person::named_by_id(if late { "operator" } else { sender });
            let mut message = Incoming::new(format!("event-{}", self.events.get()), sender, words, at);
            message.reaction = reaction;
            message.direct = true;
            message.late = late;
            inbox.receive(ROOM, vec![message], None).await?;
        }
        let began = Instant::now();
        loop {
            inbox.until_idle().await;
            let open = self.open().await?;
            if !open.iter().any(|job| {
                matches!(job.status.phase, JobPhase::Time | JobPhase::Scheduled | JobPhase::Running | JobPhase::Run)
            }) {
                return Ok(());
            }
            ensure!(began.elapsed() < PATIENCE, "the host does not become idle; open jobs: {open:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// `👍` and `👎` react to the newest approval request, and `-` withdraws the sender's last reaction.
    fn reaction(&self, sender: &str, words: &str) -> Option<Reaction> {
        let mut given = self.given.borrow_mut();
        match words {
            "👍" | "👎" | "🎉" => {
                given.insert(sender.to_owned(), format!("event-{}", self.events.get()));
                let asks = |message: &Outgoing| message.key.ends_with("/approval-1");
                let at = self.chat.sent().iter().rposition(asks)?;
                Some(Reaction::Given { on: format!("sent-{at}"), emoji: words.to_owned() })
            }
            "-" => Some(Reaction::Withdrawn { given: given.get(sender)?.clone() }),
            _ => None,
        }
    }

    /// Returns all open jobs.
    pub(super) async fn open(&self) -> Result<Vec<JobRow>> {
        Ok(self.store.jobs(&JobQuery { open: Some(true), ..JobQuery::default() }).await?)
    }

    /// Returns true if the typed line reached the inbox.
    pub(super) fn has_received(&self) -> Result<bool> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        Ok(!self.store.all_jobs().is_empty() || !runtime.block_on(self.store.unhandled())?.is_empty())
    }

    /// Returns all jobs, oldest first.
    pub(super) fn jobs(&self) -> Vec<JobRow> {
        self.store.all_jobs()
    }

    /// Verifies the whole chain.
    pub(super) fn verify(&self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        match runtime.block_on(wardroom::journal::verify(&*self.store, None))? {
            Ok(_) => Ok(()),
            Err(fault) => bail!("{fault}"),
        }
    }

    /// Returns the entries of a job.
    pub(super) fn entries(&self, job: &str) -> Result<Vec<HashedEntry>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(self.store.entries(job))?)
    }
}

/// The hooks of one run: every call uses up one unit of the budget. A note cannot block, so it is lost if the budget is
/// used up.
#[derive(Clone)]
struct CrashHooks {
    budget: Arc<CallBudget>,
    /// Notified when the chat is served.
    served: Arc<Notify>,
    slow_grants: Duration,
    held_releases: Option<Arc<MemoryStore>>,
    slow_sends: Duration,
}

#[async_trait]
impl ChatHooks for CrashHooks {
    fn before_serve(&self) {
        self.served.notify_one();
    }

    async fn before_send(&self, _message: &Outgoing) {
        self.budget.spend().await;
    }

    async fn after_send(&self, _message: &Outgoing) {
        if !self.slow_sends.is_zero() {
            tokio::time::sleep(self.slow_sends).await;
        }
        self.budget.spend().await;
    }
}

#[async_trait]
impl PipelinesHooks for CrashHooks {
    async fn before(&self, method: &'static str) {
        if ["start", "state", "ended", "cancel"].contains(&method) {
            self.budget.spend().await;
        }
    }

    async fn after(&self, method: &'static str) {
        if method == "start" {
            self.budget.spend().await;
        }
    }
}

#[async_trait]
impl StoreHooks for CrashHooks {
    /// The time for which the commit returns late.
    type Pending = Duration;

    async fn before_read(&self, method: &'static str) -> Result<(), StoreError> {
        let Some(store) = self.held_releases.as_ref().filter(|_| method == "releases") else { return Ok(()) };
        loop {
            let newest = store.all_jobs().pop().map(|job| job.id).unwrap_or_default();
            if store.entries(&newest).await?.iter().any(|hashed| hashed.entry.body["event"] == "cancel") {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn before_commit(&self, writes: &[Write]) -> Result<Duration, StoreError> {
        self.budget.spend().await;
        let grants = writes.iter().any(|write| matches!(write, Write::Grant(_)));
        Ok(if grants { self.slow_grants } else { Duration::ZERO })
    }

    async fn after_commit(&self, late: Duration) {
        if !late.is_zero() {
            tokio::time::sleep(late).await;
        }
        self.budget.spend().await;
    }

    fn before_note(&self, _writes: &[Write]) -> Result<Duration, StoreError> {
        if self.budget.is_spent() {
            return Err(StoreError::Failed("the engine has crashed".to_owned()));
        }
        Ok(Duration::ZERO)
    }
}
