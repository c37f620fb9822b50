//! A server with a bot and two people, and hosts that come and go over one store.
//!
//! Invariant: a host that is killed does nothing more: its runtime is gone, and what it did not store is lost.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};
use tokio::runtime::{Builder, Runtime};
use wardroom::{
    CancellationToken, Engine,
    config::{Registry, read},
    port::{
        Outcome,
        memory::{MemoryPipelines, MemoryPipelinesFactory, MemoryStore},
    },
};
use wardroom_fake_mattermost::{Age, Person, Post, Server};
use wardroom_mattermost::MattermostFactory;

/// How long something may take. Far more than it does.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a connection is asked whether it lives. A sixth of it is how long a greeting may take.
const BEAT: Duration = Duration::from_secs(3);

/// A server, who is there, and what outlives a host.
pub(crate) struct Rig {
    pub(crate) server: Server,
    pub(crate) bot: Person,
    pub(crate) token: String,
    pub(crate) alice: Person,
    pub(crate) bob: Person,
    /// The channel of the configuration.
    pub(crate) ops: String,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) pipelines: Arc<MemoryPipelines>,
    folder: tempfile::TempDir,
}

/// A running host.
pub(crate) struct Host {
    runtime: Option<Runtime>,
    stop: CancellationToken,
    ended: std::sync::mpsc::Receiver<Result<()>>,
}

impl Rig {
    /// A server of today, with the bot in the channel of the configuration.
    pub(crate) async fn new() -> Result<Self> {
        Self::of(Age::Today).await
    }

    /// The same with a server of an age.
    pub(crate) async fn of(age: Age) -> Result<Self> {
        // `RUST_LOG=debug` shows what the hosts of a test that fails went through.
        let logged = tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env());
        let _ = logged.with_test_writer().try_init();
        let server = Server::of(age).await?;
        let (bot, token) = server.bot("ops-bot");
        let (alice, bob) = (server.person("alice"), server.person("bob"));
        let ops = server.channel("eng", "ops");
        for who in [&bot, &alice, &bob] {
            server.put(&ops, who);
        }
        let store = Arc::new(MemoryStore::new());
        let pipelines = MemoryPipelines::new(Some(Outcome::Succeeded));
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("token"), &token)?;
        Ok(Self { server, bot, token, alice, bob, ops, store, pipelines, folder })
    }

    /// Where the token is kept.
    pub(crate) fn token_file(&self) -> PathBuf {
        self.folder.path().join("token")
    }

    /// The table of the account, found at an address.
    pub(crate) fn table(&self, url: &str) -> String {
        format!("[bot.marvin.mattermost]\nurl = \"{url}\"\ntoken = {{ file = \"token\" }}\nrooms = [\"eng/ops\"]\n")
    }

    /// A configuration in which alice may do what bob has to approve.
    pub(crate) fn with_approvals(&self) -> String {
        let (alice, bob) = (self.alice.id(), self.bob.id());
        let guests = std::env::var_os("WARDROOM_GUESTS").map_or_else(|| repository().join("guests"), PathBuf::from);
        let head = self.table(&self.server.url());
        format!(
            r#"{head}
[people]
admins = ["{alice}"]

[role.deployer]
members      = ["{alice}", "{bob}"]
commands     = ["drill-place"]
apps         = ["*"]
environments = ["production"]

[environment.production]
approval = {{ count = 1, from = "deployer", within = "5m" }}

[app.cms.deploy.production]
memory     = true
parameters = {{ version = '[0-9.]+' }}

[plugin.drill]
module = "{}/drill.wasm"
allow  = [
  {{ call = ["pipelines.trigger", "jobs.later", "jobs.cancel"], beyond = ["app", "environment", "version", "parameter"] }},
  {{ call = ["pipelines.wait", "catalog.*", "jobs.list", "store.*"] }},
]
"#,
            guests.display()
        )
    }

    /// A host, connected.
    pub(crate) async fn start(&self) -> Result<Host> {
        self.start_with(&self.table(&self.server.url())).await
    }

    /// A host with a configuration, connected.
    pub(crate) async fn start_with(&self, config: &str) -> Result<Host> {
        let before = self.server.connections().0;
        let host = self.launch(config)?;
        until("the bot is connected", || self.server.connections().0 > before && self.server.is_connected()).await?;
        Ok(host)
    }

    /// A host, whatever comes of it.
    pub(crate) fn launch(&self, config: &str) -> Result<Host> {
        let file = self.folder.path().join("plugins.toml");
        std::fs::write(&file, config)?;
        let registry = self.registry();
        let store = self.store.clone();
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let stop = CancellationToken::new();
        let (end, ended) = std::sync::mpsc::channel();
        let stopping = stop.clone();
        runtime.spawn(async move {
            let life = async {
                let config = read(&file, &registry).map_err(|problems| anyhow!("{problems:?}"))?;
                let engine = Engine::builder(config, store).cache(cache()).build().await?;
                engine.run(stopping).await?;
                anyhow::Ok(())
            };
            let _ = end.send(life.await);
        });
        Ok(Host { runtime: Some(runtime), stop, ended })
    }

    /// What the host is made of.
    pub(crate) fn registry(&self) -> Registry {
        Registry {
            chats: vec![Arc::new(MattermostFactory::new(self.folder.path().join("state")).beat(BEAT))],
            pipelines: vec![Arc::new(MemoryPipelinesFactory(self.pipelines.clone()))],
            ..Registry::default()
        }
    }

    /// Waits for so many messages of the bot in a channel.
    pub(crate) async fn until_said(&self, channel: &str, count: usize) -> Result<Vec<Post>> {
        until(&format!("{count} messages"), || self.bot.posts(channel).len() >= count).await?;
        Ok(self.bot.posts(channel))
    }

    /// Waits for the bot's answer in the thread of a message.
    pub(crate) async fn answer(&self, to: &str) -> Result<Post> {
        until("an answer", || !self.bot.replies(to).is_empty()).await?;
        let mut replies = self.bot.replies(to);
        if replies.len() > 1 {
            bail!("answered {} times: {replies:?}", replies.len());
        }
        replies.pop().context("an answer")
    }

    /// Checks that each of these messages has one answer, and goes on having one.
    pub(crate) async fn each_once(&self, asked: &[String]) -> Result<()> {
        for event in asked {
            until("every answer", || !self.bot.replies(event).is_empty()).await?;
        }
        self.still_once(asked).await
    }

    /// Checks for a while that nothing has more than one answer.
    pub(crate) async fn still_once(&self, asked: &[String]) -> Result<()> {
        tokio::time::sleep(Duration::from_millis(500)).await;
        for event in asked {
            let replies = self.bot.replies(event);
            if replies.len() != 1 {
                bail!("{} answers to {event}: {replies:?}", replies.len());
            }
        }
        Ok(())
    }
}

impl Host {
    /// Ends it at once, without a word.
    pub(crate) fn kill(mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// Stops it as an operator does.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.stop.cancel();
        let ended = self.end().await?;
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        ended
    }

    /// Waits for its own end.
    pub(crate) async fn end(&self) -> Result<Result<()>> {
        let began = Instant::now();
        loop {
            match self.ended.try_recv() {
                Ok(ended) => return Ok(ended),
                Err(_) if began.elapsed() > PATIENCE => bail!("the host does not end"),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) -> Result<()> {
    until_for(PATIENCE, what, holds).await
}

/// Waits for as long as this until something holds.
pub(crate) async fn until_for(patience: Duration, what: &str, holds: impl Fn() -> bool) -> Result<()> {
    let began = Instant::now();
    while !holds() {
        if began.elapsed() > patience {
            bail!("waited in vain: {what}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../.."))
}

/// All hosts of all tests find the compiled plugins in one place.
fn cache() -> PathBuf {
    std::env::temp_dir().join("wardroom-mattermost-tests-code")
}
