//! A deployment on Mattermost with a crash at each point around reading and sending: people see each message once.

use std::{
    fs,
    io::Write as _,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::task::JoinSet;
use wardroom_fake_mattermost::{Person, Post, Server};

use super::points::around_reading_and_sending;
use crate::test_host::{TestHost, failpoints};

/// The number of channels that are used in parallel, each for one crash point after the other.
const CHANNELS: usize = 3;
/// Timeout for an action of the bot, long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const CONFIG: &str = r#"
[bot.marvin]
# Each closing line is a message, however long the job takes.
card_after = "1h"
reactions  = "all"

[bot.marvin.mattermost]
url   = "URL"
token = { env = "MARVIN_TOKEN" }
rooms = ["company/ops"]

[people]
admins = ["ALICE"]

[environment.staging]

[app.cms.deploy.staging]
run        = ["./deploy.sh", "{version}"]
parameters = { version = '[0-9]+\.[0-9]+\.[0-9]+' }

[plugin.deploy]
module = "{guests}/deploy.wasm"

[[plugin.deploy.allow]]
call        = "pipelines.trigger"
environment = ["staging"]

[[plugin.deploy.allow]]
call = ["pipelines.wait", "catalog.*"]
"#;

/// A channel with Alice and the bot.
struct Scene {
    server: Server,
    alice: Person,
    bot: Person,
    token: String,
    channel: String,
    test_host: TestHost,
    host: Option<Child>,
}

impl Scene {
    async fn open() -> Result<Self> {
        let server = Server::start().await?;
        let alice = server.person("alice");
        let (bot, token) = server.bot("marvin");
        let channel = server.channel("company", "ops");
        server.put(&channel, &alice);
        server.put(&channel, &bot);
        let test_host = TestHost::new(&CONFIG.replace("URL", &server.url()).replace("ALICE", alice.id()))?;
        // The script logs one line per run, so that the test detects a second run.
        test_host.script("deploy.sh", "#!/bin/sh\necho \"$1\" >> runs.txt\necho 'step: install'\nsleep 1\n")?;
        let mut scene = Self { server, alice, bot, token, channel, test_host, host: None };
        // Messages from before the bot's first connection are not handled.
        scene.start(None)?;
        scene.until("connection", |scene| scene.log().contains("connected")).await?;
        scene.answer(&scene.alice.post(&scene.channel, "!whoami"), "You are ").await?;
        scene.kill();
        let _ = fs::remove_file(scene.test_host.path("points"));
        Ok(scene)
    }

    /// Starts the host with crash points, and kills it at `point`.
    fn start(&mut self, point: Option<&str>) -> Result<()> {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.test_host.path("log"))?;
        let mut command = self.test_host.command(failpoints()?);
        command.arg("run").env("MARVIN_TOKEN", &self.token).env("WARDROOM_CRASH_LOG", self.test_host.path("points"));
        if let Some(point) = point {
            command.env("WARDROOM_CRASH_AT", point);
        }
        self.host = Some(command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?);
        Ok(())
    }

    fn kill(&mut self) {
        if let Some(mut host) = self.host.take() {
            let _ = host.kill();
            let _ = host.wait();
        }
    }

    fn has_ended(&mut self) -> Result<bool> {
        self.host.as_mut().map_or(Ok(true), |host| Ok(host.try_wait()?.is_some()))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.test_host.path("log")).unwrap_or_default()
    }

    /// Returns the bot's messages in the thread of a command.
    fn answers(&self, command: &str) -> Vec<Post> {
        let posts = self.server.posts(&self.channel);
        posts.into_iter().filter(|post| post.user == self.bot.id() && post.root == command).collect()
    }

    fn has_answer(&self, command: &str, words: &str) -> bool {
        self.answers(command).iter().any(|post| post.message.contains(words))
    }

    /// Returns the bot's reactions to a command.
    fn emoji(&self, command: &str) -> Vec<String> {
        let post = self.server.posts(&self.channel).into_iter().find(|post| post.id == command);
        let reactions = post.map(|post| post.reactions).unwrap_or_default();
        reactions.into_iter().filter(|put| put.user == self.bot.id()).map(|put| put.emoji).collect()
    }

    async fn answer(&self, command: &str, words: &str) -> Result<()> {
        self.until(words, |scene| scene.has_answer(command, words)).await
    }

    async fn until(&self, what: &str, is: impl Fn(&Self) -> bool) -> Result<()> {
        let begun = Instant::now();
        while !is(self) {
            if begun.elapsed() > PATIENCE {
                bail!("`{what}` did not happen within {PATIENCE:?}; the log:\n{}", self.log());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Waits up to `most` for the end of the host. Returns true if it has ended.
    async fn ends_within(&mut self, most: Duration) -> Result<bool> {
        let begun = Instant::now();
        while begun.elapsed() < most && !self.has_ended()? {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.has_ended()
    }

    /// Posts a deployment, and waits for the crash or the answer. Returns the command's id, and true if the host
    /// crashed.
    async fn deploys(&mut self, number: usize) -> Result<(String, bool)> {
        let command = self.alice.post(&self.channel, &format!("!deploy cms staging 1.0.{number}"));
        let begun = Instant::now();
        loop {
            if self.has_ended()? {
                return Ok((command, true));
            }
            if self.has_answer(&command, "deployed version") {
                let ended = self.ends_within(Duration::from_secs(1)).await?;
                return Ok((command, ended));
            }
            ensure!(begun.elapsed() < PATIENCE, "the host neither crashed nor answered; the log:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Checks that each message of a command was sent once.
    async fn seen_once(&self, command: &str, number: usize) -> Result<()> {
        let deployed = format!("deployed version 1.0.{number} to staging");
        self.answer(command, &deployed).await?;
        let done = |scene: &Self| scene.emoji(command).iter().any(|emoji| emoji == "white_check_mark");
        self.until("white_check_mark", done).await?;
        // The answer to this message shows that all earlier messages are handled.
        let barrier = self.alice.post(&self.channel, "!whoami");
        self.answer(&barrier, "You are ").await?;
        let answers = self.answers(command);
        let words: Vec<&str> = answers.iter().map(|post| post.message.as_str()).collect();
        ensure!(words.len() == 1 && words[0].contains(&deployed), "expected one closing line: {words:#?}");
        // The acknowledgement is no row of the outbox, so a crash can lose it.
        ensure!(self.emoji(command).len() <= 2, "two emoji: {:?}", self.emoji(command));
        let runs = fs::read_to_string(self.test_host.path("runs.txt"))?;
        let runs = runs.lines().filter(|version| *version == format!("1.0.{number}")).count();
        ensure!(runs == 1, "started {runs} times");
        Ok(())
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Returns the crash points around reading and sending in a deployment without a crash.
async fn points() -> Result<Vec<String>> {
    let mut scene = Scene::open().await?;
    scene.start(None)?;
    let (command, crashed) = scene.deploys(0).await?;
    ensure!(!crashed, "the host crashed without a crash point:\n{}", scene.log());
    scene.seen_once(&command, 0).await?;
    let passed = fs::read_to_string(scene.test_host.path("points"))?;
    Ok(around_reading_and_sending(&passed.lines().map(str::to_owned).collect::<Vec<_>>()))
}

/// Crashes at a point of a deployment and starts again. Returns whether the point was reached.
async fn crash_at(scene: &mut Scene, point: &str, number: usize) -> Result<bool> {
    scene.start(Some(point))?;
    // If the point is not reached, kill the host after the answer.
    let (command, crashed) = scene.deploys(number).await?;
    scene.kill();
    scene.start(None)?;
    let seen = scene.seen_once(&command, number).await;
    scene.kill();
    seen.with_context(|| format!("killed at the crash point {point}, crashed: {crashed}; the log:\n{}", scene.log()))?;
    Ok(crashed)
}

#[tokio::test(flavor = "multi_thread")]
async fn people_see_each_message_once_after_a_crash_at_each_point() -> Result<()> {
    let began = Instant::now();
    let points = points().await?;
    ensure!(points.len() >= 10, "too few crash points: {points:#?}");
    let mut channels = JoinSet::new();
    for channel in 0..CHANNELS {
        let mine: Vec<(usize, String)> = points.iter().cloned().enumerate().skip(channel).step_by(CHANNELS).collect();
        channels.spawn(async move {
            let mut scene = Scene::open().await?;
            let mut crashed = 0;
            for (number, point) in mine {
                crashed += usize::from(crash_at(&mut scene, &point, number).await?);
            }
            anyhow::Ok(crashed)
        });
    }
    let crashed: usize = channels.join_all().await.into_iter().collect::<Result<Vec<_>>>()?.into_iter().sum();
    let took = began.elapsed().as_secs();
    let _ = writeln!(std::io::stderr(), "a deployment on Mattermost: {crashed} of {} points in {took} s", points.len());
    ensure!(crashed + 6 >= points.len(), "too few crash points were reached: {crashed} of {}", points.len());
    Ok(())
}
