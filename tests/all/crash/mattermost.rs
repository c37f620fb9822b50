//! The same on Mattermost: a crash at each place where the host reads or sends, and people see one of each message.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::task::JoinSet;
use wardroom_fake_mattermost::{Person, Post, Server};

use crate::house::{House, failpoints};

/// So many channels are used side by side, each for one place after the other.
const CHANNELS: usize = 3;
/// How long the bot may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const CONFIG: &str = r#"
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
    house: House,
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
        let house = House::new(&CONFIG.replace("URL", &server.url()).replace("ALICE", alice.id()))?;
        // It tells what ran by one line each, so that a second run could not hide.
        house.script("deploy.sh", "#!/bin/sh\necho \"$1\" >> runs.txt\necho 'step: install'\nsleep 1\n")?;
        let mut scene = Self { server, alice, bot, token, channel, house, host: None };
        // What was said before it first came is not handled.
        scene.start(None)?;
        scene.until("connection", |scene| scene.log().contains("connected")).await?;
        scene.answer(&scene.alice.post(&scene.channel, "!whoami"), "You are ").await?;
        scene.kill();
        let _ = fs::remove_file(scene.house.path("places"));
        Ok(scene)
    }

    /// Starts the host; it counts its places, and kills itself at this one.
    fn start(&mut self, place: Option<&str>) -> Result<()> {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.house.path("log"))?;
        let mut command = self.house.command(failpoints()?);
        command.arg("run").env("MARVIN_TOKEN", &self.token).env("WARDROOM_CRASH_LOG", self.house.path("places"));
        if let Some(place) = place {
            command.env("WARDROOM_CRASH_AT", place);
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

    fn is_dead(&mut self) -> Result<bool> {
        self.host.as_mut().map_or(Ok(true), |host| Ok(host.try_wait()?.is_some()))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.house.path("log")).unwrap_or_default()
    }

    /// What the bot said in the thread of a command.
    fn answers(&self, command: &str) -> Vec<Post> {
        let posts = self.server.posts(&self.channel);
        posts.into_iter().filter(|post| post.user == self.bot.id() && post.root == command).collect()
    }

    fn has_answer(&self, command: &str, words: &str) -> bool {
        self.answers(command).iter().any(|post| post.message.contains(words))
    }

    /// The bot's emoji on a command.
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
                bail!("no `{what}` after {PATIENCE:?}; the log:\n{}", self.log());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Types a deployment, and waits until the host is dead or it was told. Gives the command, and whether it died.
    async fn deploys(&mut self, number: usize) -> Result<(String, bool)> {
        let command = self.alice.post(&self.channel, &format!("!deploy cms staging 1.0.{number}"));
        let begun = Instant::now();
        loop {
            if self.is_dead()? {
                return Ok((command, true));
            }
            if self.has_answer(&command, "deployed version") {
                // It may be about to.
                tokio::time::sleep(Duration::from_secs(1)).await;
                let dead = self.is_dead()?;
                return Ok((command, dead));
            }
            ensure!(begun.elapsed() < PATIENCE, "it neither dies nor answers; the log:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What people see of one command.
    async fn seen_once(&self, command: &str, number: usize) -> Result<()> {
        let deployed = format!("deployed version 1.0.{number} to staging");
        self.answer(command, &deployed).await?;
        let done = |scene: &Self| scene.emoji(command).iter().any(|emoji| emoji == "white_check_mark");
        self.until("white_check_mark", done).await?;
        // Whatever was said before has been dealt with when this is answered.
        let fence = self.alice.post(&self.channel, "!whoami");
        self.answer(&fence, "You are ").await?;
        let answers = self.answers(command);
        let words: Vec<&str> = answers.iter().map(|post| post.message.as_str()).collect();
        ensure!(answers.len() == 2, "a card and a closing line: {words:#?}");
        let card = answers.iter().find(|post| !post.message.contains(&deployed)).context("a card")?;
        ensure!(card.message.contains("succeeded"), "the card's last words: {}", card.message);
        ensure!(self.emoji(command).len() == 2, "two emoji: {:?}", self.emoji(command));
        let runs = fs::read_to_string(self.house.path("runs.txt"))?;
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

/// The places around reading and sending of a deployment that nobody disturbs.
async fn places() -> Result<Vec<String>> {
    let mut scene = Scene::open().await?;
    scene.start(None)?;
    let (command, died) = scene.deploys(0).await?;
    ensure!(!died, "it died by itself:\n{}", scene.log());
    scene.seen_once(&command, 0).await?;
    let mut counts = BTreeMap::<String, usize>::new();
    let mut places = Vec::new();
    for place in fs::read_to_string(scene.house.path("places"))?.lines() {
        let count = counts.entry(place.to_owned()).or_default();
        *count += 1;
        let reads = place.contains("receive") || place.contains("open");
        let sends =
            ["say card", "edit card", "say closing", "react", "commit sent"].iter().any(|word| place.contains(word));
        // The fence at the end is not part of it.
        if (reads && *count == 1) || sends {
            places.push(format!("{place}#{count}"));
        }
    }
    Ok(places)
}

/// Dies at a place of a deployment, and lives again. Gives whether it died there.
async fn dies_at(scene: &mut Scene, place: &str, number: usize) -> Result<bool> {
    scene.start(Some(place))?;
    // Where this place is not passed this time, it is as if it had died right after.
    let (command, died) = scene.deploys(number).await?;
    scene.kill();
    scene.start(None)?;
    let seen = scene.seen_once(&command, number).await;
    scene.kill();
    seen.with_context(|| format!("killed at {place}, died: {died}; the log:\n{}", scene.log()))?;
    Ok(died)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_around_any_message_people_see_one_of_each() -> Result<()> {
    let began = Instant::now();
    let places = places().await?;
    ensure!(places.len() >= 16, "too few places: {places:#?}");
    let mut channels = JoinSet::new();
    for channel in 0..CHANNELS {
        let mine: Vec<(usize, String)> = places.iter().cloned().enumerate().skip(channel).step_by(CHANNELS).collect();
        channels.spawn(async move {
            let mut scene = Scene::open().await?;
            let mut died = 0;
            for (number, place) in mine {
                died += usize::from(dies_at(&mut scene, &place, number).await?);
            }
            anyhow::Ok(died)
        });
    }
    let died: usize = channels.join_all().await.into_iter().collect::<Result<Vec<_>>>()?.into_iter().sum();
    let took = began.elapsed().as_secs();
    let _ = writeln!(std::io::stderr(), "a deployment on Mattermost: {died} of {} places in {took} s", places.len());
    ensure!(died + 6 >= places.len(), "a place is hardly ever missed: {died} of {}", places.len());
    Ok(())
}
