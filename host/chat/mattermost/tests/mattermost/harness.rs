//! A fake server with a bot and two people, and hosts that share one store.
//!
//! Invariant: a host that is killed does nothing more: its runtime is shut down, and everything that it did not store
//! is lost.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use tokio::runtime::{Builder, Runtime};
use wardroom::{
    CancellationToken, EngineBuilder, adapter::MemoryPipelines, engine::Engine, model::Outcome, store::MemoryStore,
};
use wardroom_fake_mattermost::{Person, Post, Server, ServerVersion};
use wardroom_mattermost::MattermostFactory;

/// Timeout of every wait.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Interval of the pings over the WebSocket. It is short, so that a connection without data is closed during a test.
/// The timeout of the server's greeting is a sixth of this interval.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(3);

/// A fake Mattermost server, its accounts, and the state that the hosts of a test share.
pub(crate) struct Harness {
    pub(crate) server: Server,
    pub(crate) bot: Person,
    pub(crate) token: String,
    pub(crate) alice: Person,
    pub(crate) bob: Person,
    /// The id of the channel `eng/ops`, which the bot's configuration lists.
    pub(crate) ops: String,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) pipelines: Arc<MemoryPipelines>,
    folder: tempfile::TempDir,
}

pub(crate) struct Host {
    runtime: Option<Runtime>,
    stop: CancellationToken,
    ended: std::sync::mpsc::Receiver<Result<()>>,
}

impl Harness {
    /// Starts a server of the current version, with the bot in the configured channel.
    pub(crate) async fn new() -> Result<Self> {
        Self::of(ServerVersion::Current).await
    }

    /// Starts a server of this version, with the bot in the configured channel.
    pub(crate) async fn of(version: ServerVersion) -> Result<Self> {
        // `RUST_LOG=debug` shows the log of the hosts.
        let logged = tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env());
        let _ = logged.with_test_writer().try_init();
        let server = Server::of(version).await?;
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

    /// Returns the path of the file with the token.
    pub(crate) fn token_file(&self) -> PathBuf {
        self.folder.path().join("token")
    }

    /// Returns the configuration table of the bot's account. `url` is the server's URL.
    pub(crate) fn table(&self, url: &str) -> String {
        format!("[bot.marvin.mattermost]\nurl = \"{url}\"\ntoken = {{ file = \"token\" }}\nrooms = [\"eng/ops\"]\n")
    }

    /// Returns a configuration in which Bob must approve Alice's command.
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
commands     = ["script-app"]
apps         = ["*"]
environments = ["production"]

[environment.production]
approval = {{ count = 1, from = "deployer", within = "5m" }}

[app.cms.deploy.production]
memory     = true
parameters = {{ version = '[0-9.]+' }}

[plugin.scripted]
module = "{}/scripted.wasm"
allow  = [
  {{ call = ["pipelines.trigger", "jobs.later", "jobs.cancel"], beyond = ["app", "environment", "version", "parameter"] }},
  {{ call = ["pipelines.*", "catalog.*", "jobs.list", "store.*"] }},
]
"#,
            guests.display()
        )
    }

    /// Starts a host and waits for its connection.
    pub(crate) async fn start(&self) -> Result<Host> {
        self.start_with(&self.table(&self.server.url())).await
    }

    /// Starts a host with a configuration and waits for its connection.
    pub(crate) async fn start_with(&self, config: &str) -> Result<Host> {
        let before = self.server.connections().0;
        let host = self.launch(config)?;
        until("the bot is connected", || self.server.connections().0 > before && self.server.is_connected()).await?;
        Ok(host)
    }

    /// Starts a host, and returns before the host is connected. If the configuration has no role, Alice and Bob get
    /// one, because people without a role get only a few answers a minute.
    pub(crate) fn launch(&self, config: &str) -> Result<Host> {
        let file = self.folder.path().join("plugins.toml");
        let (alice, bob) = (self.alice.id(), self.bob.id());
        let role = match config.contains("[role.") {
            true => String::new(),
            false => format!(
                "[role.reader]\nmembers = [\"{alice}\", \"{bob}\"]\ncommands = [\"*\"]\napps = [\"*\"]\n\
                 environments = [\"*\"]\n"
            ),
        };
        std::fs::write(&file, format!("{config}\n{role}"))?;
        let builder = self.builder();
        let store = self.store.clone();
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let stop = CancellationToken::new();
        let (end, ended) = std::sync::mpsc::channel();
        let stopping = stop.clone();
        runtime.spawn(async move {
            let work = async {
                let config = builder.read(&file)?;
                let engine = builder.cache(cache()).build(config, store).await?;
                engine.run(stopping).await?;
                anyhow::Ok(())
            };
            let _ = end.send(work.await);
        });
        Ok(Host { runtime: Some(runtime), stop, ended })
    }

    /// Creates an engine builder with the Mattermost adapter and in-memory pipelines.
    pub(crate) fn builder(&self) -> EngineBuilder {
        let folder = self.folder.path().join("state");
        Engine::builder()
            .chat(MattermostFactory::new(folder).heartbeat_interval(HEARTBEAT_INTERVAL))
            .pipelines(self.pipelines.clone())
    }

    /// Waits until a channel has at least `count` posts of the bot. Returns these posts.
    pub(crate) async fn until_posted(&self, channel: &str, count: usize) -> Result<Vec<Post>> {
        until(&format!("{count} messages"), || self.bot.posts(channel).len() >= count).await?;
        Ok(self.bot.posts(channel))
    }

    /// Waits for the bot's answer in the thread of the message `to`. Fails if there is more than one answer.
    pub(crate) async fn answer(&self, to: &str) -> Result<Post> {
        until("an answer", || !self.bot.replies(to).is_empty()).await?;
        let mut replies = self.bot.replies(to);
        if replies.len() > 1 {
            bail!("the bot answered {} times: {replies:?}", replies.len());
        }
        replies.pop().context("an answer")
    }

    /// Waits until the bot has answered each of these messages. Fails if a message has a second answer half a second
    /// later.
    pub(crate) async fn each_once(&self, asked: &[String]) -> Result<()> {
        for event in asked {
            until("every answer", || !self.bot.replies(event).is_empty()).await?;
        }
        self.still_once(asked).await
    }

    /// Waits for half a second, then checks that each of these messages has exactly one answer.
    pub(crate) async fn still_once(&self, asked: &[String]) -> Result<()> {
        tokio::time::sleep(Duration::from_millis(500)).await;
        for event in asked {
            let replies = self.bot.replies(event);
            if replies.len() != 1 {
                bail!("the bot sent {} answers to {event}: {replies:?}", replies.len());
            }
        }
        Ok(())
    }
}

impl Host {
    /// Ends the host abruptly, as a crash does.
    pub(crate) fn kill(mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// Shuts the host down gracefully, as an operator does.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.stop.cancel();
        let ended = self.end().await?;
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        ended
    }

    /// Waits until the host has stopped. Returns the result of its engine.
    pub(crate) async fn end(&self) -> Result<Result<()>> {
        let began = Instant::now();
        loop {
            match self.ended.try_recv() {
                Ok(ended) => return Ok(ended),
                Err(_) if began.elapsed() > TIMEOUT => bail!("the host did not stop in time"),
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

/// Waits until `holds` returns `true`, for at most [`TIMEOUT`]. `what` describes the condition in the error.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) -> Result<()> {
    until_for(TIMEOUT, what, holds).await
}

/// Waits until `holds` returns `true`, for at most `timeout`. `what` describes the condition in the error.
pub(crate) async fn until_for(timeout: Duration, what: &str, holds: impl Fn() -> bool) -> Result<()> {
    let began = Instant::now();
    while !holds() {
        if began.elapsed() > timeout {
            bail!("timeout while waiting for: {what}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

pub(crate) fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../.."))
}

/// Returns the folder of the compiled plugins, which all tests share.
pub(crate) fn cache() -> PathBuf {
    std::env::temp_dir().join("wardroom-mattermost-tests-code")
}
