//! Several identities with in-memory chats in some rooms, and a store and pipelines that outlive the engine.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::{Context as _, Result, anyhow};
use async_trait::async_trait;
use tokio::task::JoinHandle;
use wardroom::{
    CancellationToken, Engine, EngineBuilder, Timestamp,
    adapter::Inbox,
    adapter::{
        Chat, ChatFactory, ChatFeatures, Incoming, MemoryChat, MemoryClock, MemoryPipelines, Outgoing, SendError,
    },
    base::{Key, Problem, Table, TableKeys},
    engine::{ConfigError, RunError},
    model::{BotIdentity, Outcome, Person},
    store::MemoryStore,
};

use crate::test_host::with_guests;

/// The parts that outlive an engine.
pub(crate) struct TestWorkspace {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) pipelines: Arc<MemoryPipelines>,
    pub(crate) clock: Arc<MemoryClock>,
    chats: Arc<Mutex<BTreeMap<String, Arc<MemoryChat>>>>,
    folder: tempfile::TempDir,
    events: AtomicUsize,
}

/// A running engine.
pub(crate) struct Open<'o> {
    pub(crate) engine: Arc<Engine>,
    workspace: &'o TestWorkspace,
    stop: CancellationToken,
    running: JoinHandle<Result<(), RunError>>,
}

impl TestWorkspace {
    pub(crate) fn new() -> Result<Self> {
        Self::with_runs(Outcome::Succeeded)
    }

    /// Creates a workspace whose runs end at once with this outcome.
    pub(crate) fn with_runs(outcome: Outcome) -> Result<Self> {
        Ok(Self {
            store: Arc::new(MemoryStore::new()),
            pipelines: MemoryPipelines::new(Some(outcome)),
            clock: Arc::new(MemoryClock::at(Timestamp::now())),
            chats: Arc::default(),
            folder: tempfile::tempdir()?,
            events: AtomicUsize::new(0),
        })
    }

    /// Returns the problems of a configuration.
    pub(crate) fn problems(&self, config: &str) -> Vec<Problem> {
        self.read(config).err().map_or_else(Vec::new, |error| error.0)
    }

    /// Returns the rooms that only other identities have if the host runs only `bot`.
    pub(crate) fn rooms_of_absent(&self, config: &str, bot: &str) -> Result<Vec<String>> {
        let mut config = self.read(config)?;
        let rooms = config.only(bot).map_err(|_| anyhow!("there is no {bot}"))?;
        Ok(rooms.iter().map(ToString::to_string).collect())
    }

    fn builder(&self) -> EngineBuilder {
        Engine::builder()
            .chat(RoomChats(self.chats.clone()))
            .pipelines(self.pipelines.clone())
            .identities(wardroom_oidc::OidcFactory::default())
    }

    fn read(&self, config: &str) -> Result<wardroom::config::Config, ConfigError> {
        let file = self.folder.path().join("plugins.toml");
        let text = with_guests(config);
        std::fs::write(&file, text).expect("a folder of our own takes a file");
        self.builder().read(&file)
    }

    /// Starts an engine that runs until it is closed. If `bot` is given, the engine runs only this identity.
    pub(crate) async fn open(&self, config: &str, bot: Option<&str>) -> Result<Open<'_>> {
        let mut config = self.read(config)?;
        if let Some(bot) = bot {
            config.only(bot).map_err(|_| anyhow!("there is no {bot}"))?;
        }
        let code = crate::test_host::code();
        let engine = self.builder().clock(self.clock.clone()).cache(code).build(config, self.store.clone()).await?;
        let (engine, stop) = (Arc::new(engine), CancellationToken::new());
        let running = tokio::spawn({
            let (engine, stop) = (engine.clone(), stop.clone());
            async move { engine.run(stop).await }
        });
        Ok(Open { engine, workspace: self, stop, running })
    }

    /// Returns the messages of an identity in order, as `room: words`.
    pub(crate) fn said(&self, bot: &str) -> Vec<String> {
        let Some(chat) = self.chats.lock().expect("no holder panics").get(bot).cloned() else { return Vec::new() };
        let sent = chat.sent().into_iter().filter_map(|message| {
            let (wardroom::adapter::Body::Say { text, .. } | wardroom::adapter::Body::Edit { text, .. }) = message.body
            else {
                return None;
            };
            Some(format!("{}: {}", message.room, text.plain()))
        });
        sent.collect()
    }

    /// Returns the emoji of an identity's reactions, in order.
    pub(crate) fn reactions(&self, bot: &str) -> Vec<String> {
        let Some(chat) = self.chats.lock().expect("no holder panics").get(bot).cloned() else { return Vec::new() };
        let sent = chat.sent().into_iter().filter_map(|message| match message.body {
            wardroom::adapter::Body::React { emoji, .. } => Some(emoji),
            _ => None,
        });
        sent.collect()
    }

    /// Returns the event ids of an identity's messages that contain these words, in order.
    pub(crate) fn events(&self, bot: &str, words: &str) -> Vec<String> {
        let Some(chat) = self.chats.lock().expect("no holder panics").get(bot).cloned() else { return Vec::new() };
        let sent = chat.sent().into_iter().enumerate().filter_map(|(number, message)| match message.body {
            wardroom::adapter::Body::Say { text, .. } if text.plain().contains(words) => Some(format!("sent-{number}")),
            _ => None,
        });
        sent.collect()
    }

    /// Sets the members of a room, as an identity's network returns them.
    pub(crate) fn members(&self, bot: &str, room: &str, people: &[&str]) {
        let chats = self.chats.lock().expect("no holder panics");
        if let Some(chat) = chats.get(bot) {
            chat.set_members(room, people.iter().map(|person| Person::named_by_id(*person)).collect());
        }
    }

    pub(crate) fn at(&self, time: &str) -> Result<()> {
        self.clock.set(time.parse()?);
        Ok(())
    }
}

impl Open<'_> {
    /// Delivers a person's message to every identity, and waits until the engine is idle.
    pub(crate) async fn say(&self, person: &str, room: &str, words: &str) -> Result<()> {
        self.receive(room, |event| message(event, person, words)).await
    }

    /// Delivers any message to every identity, and waits until the engine is idle.
    pub(crate) async fn receive(&self, room: &str, message: impl Fn(String) -> Incoming) -> Result<()> {
        let event = format!("event-{}", self.workspace.events.fetch_add(1, Ordering::Relaxed));
        for inbox in self.inboxes() {
            inbox.receive(room, vec![message(event.clone())], None).await?;
        }
        self.settle().await
    }

    /// Waits until the engine is idle.
    pub(crate) async fn settle(&self) -> Result<()> {
        self.inboxes().first().context("there is an inbox")?.until_idle().await;
        Ok(())
    }

    fn inboxes(&self) -> Vec<Arc<dyn Inbox>> {
        let bots: Vec<String> = self.workspace.chats.lock().expect("no holder panics").keys().cloned().collect();
        bots.iter().filter_map(|bot| self.engine.inbox(bot, MemoryChat::NETWORK)).collect()
    }

    pub(crate) async fn close(self) -> Result<()> {
        self.stop.cancel();
        self.running.await??;
        Ok(())
    }
}

/// Returns a message of a person.
pub(crate) fn message(event: String, person: &str, words: &str) -> Incoming {
    Incoming::new(event, Person::named_by_id(person), words, Timestamp::now())
}

/// A factory that returns the same chat for an identity in all engines.
struct RoomChats(Arc<Mutex<BTreeMap<String, Arc<MemoryChat>>>>);

static ROOM_KEYS: TableKeys = TableKeys {
    path: "bot.NAME.memory",
    about: "An account in memory.",
    keys: &[Key::strings("rooms", "The rooms of the account.")],
};

impl ChatFactory for RoomChats {
    fn network(&self) -> &'static str {
        MemoryChat::NETWORK
    }

    fn keys(&self) -> &'static TableKeys {
        &ROOM_KEYS
    }

    fn read(&self, bot: &BotIdentity, table: &mut Table) -> Option<Arc<dyn Chat>> {
        let rooms = table.strings("rooms").map(|rooms| rooms.value).unwrap_or_default();
        let rooms = rooms.into_iter().map(|room| room.value).collect();
        let mut chats = self.0.lock().expect("no holder panics");
        let features = ChatFeatures { threads: true, edits: true, reactions: true, ..ChatFeatures::PLAIN };
        let chat = chats.entry(bot.name.clone()).or_insert_with(|| MemoryChat::new(features)).clone();
        Some(Arc::new(RoomChat { account: account(&bot.name), chat, rooms }))
    }
}

/// Returns the account id of an identity.
pub(crate) fn account(bot: &str) -> String {
    format!("account-of-{bot}")
}

/// A chat that is in some rooms.
struct RoomChat {
    account: String,
    chat: Arc<MemoryChat>,
    rooms: Vec<String>,
}

#[async_trait]
impl Chat for RoomChat {
    fn network(&self) -> &'static str {
        MemoryChat::NETWORK
    }

    fn features(&self) -> ChatFeatures {
        self.chat.features()
    }

    fn account_id(&self) -> Option<String> {
        Some(self.account.clone())
    }

    fn rooms(&self) -> Vec<String> {
        self.rooms.clone()
    }

    async fn serve(&self, inbox: Arc<dyn Inbox>, stop: CancellationToken) -> Result<()> {
        self.chat.serve(inbox, stop).await
    }

    async fn send(&self, message: &Outgoing) -> Result<String, SendError> {
        if !self.rooms.contains(&message.room) {
            return Err(SendError::Never { reason: format!("not in {}", message.room) });
        }
        self.chat.send(message).await
    }

    async fn find(&self, room: &str, key: &str) -> Result<Option<String>, SendError> {
        self.chat.find(room, key).await
    }

    async fn room(&self, name: &str) -> Result<Option<String>, SendError> {
        Ok(self.rooms.iter().find(|room| *room == name).cloned())
    }

    async fn members(&self, room: &str) -> Result<Vec<Person>, SendError> {
        self.chat.members(room).await
    }
}
