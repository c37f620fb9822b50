//! `first sign on Mattermost`: the time from a person's command until the server has published the bot's 👀.
//!
//! The Mattermost server of the tests, and a release build of the host in one channel. The server keeps everything in
//! memory, so a bare post takes less time than on a real server, and the limit is a time instead of a ratio. The bare
//! posts, which come before and after the commands, are printed beside it.
//! Invariant: each command gets a sign; otherwise the bench fails.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use wardroom_fake_mattermost::{Person, Server};

use crate::{
    figure::{Against, Figure, Unit, milliseconds, percentile},
    host::Host,
    scene::{self, Scene},
};

pub(crate) const NAME: &str = "first sign on Mattermost, median";

/// The figures: their names, the share of the values below the printed one, and the maximum in milliseconds.
const FIGURES: [(&str, &str, f64, f64); 2] = [
    (NAME, "bare post on Mattermost, median", 0.5, 15.0),
    ("first sign on Mattermost, 99th percentile", "bare post on Mattermost, 99th percentile", 0.99, 50.0),
];
/// The number of commands, and of bare posts.
const MESSAGES: usize = 300;
/// The number of commands before the measured ones.
const WARM_UP: usize = 20;
/// The time between two commands.
const PAUSE: Duration = Duration::from_millis(25);
/// Timeout for a sign, long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn measure(scene: &Scene) -> Result<Vec<Figure>> {
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (bare, signs) = tokio.block_on(run(scene.host_with_chat()?, &scene.guests.join("bench.wasm")))?;
    let figure = |name, values: &[f64], share, limit| Figure {
        name,
        measured: percentile(values, share),
        unit: Unit::Milliseconds,
        against: Against::Limit(limit),
    };
    let figures = FIGURES.iter().flat_map(|(name, bare_name, share, limit)| {
        [figure(*name, &signs, *share, *limit), figure(*bare_name, &bare, *share, *limit)]
    });
    Ok(figures.collect())
}

/// Returns the times of the bare posts and of the signs, in milliseconds.
async fn run(program: &Path, module: &Path) -> Result<(Vec<f64>, Vec<f64>)> {
    let server = Server::start().await?;
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    let (bot, token) = server.bot("marvin");
    let [ops, talk] = ["ops", "talk"].map(|name| server.channel("company", name));
    for (channel, members) in [(&ops, [&alice, &bob, &bot].as_slice()), (&talk, &[&alice, &bob])] {
        members.iter().for_each(|member| server.put(channel, member));
    }
    let folder = tempfile::tempdir()?;
    let text = format!(
        "[bot.marvin.mattermost]\nurl = \"{}\"\ntoken = {{ env = \"{}\" }}\nrooms = [\"company/ops\"]\n\n\
         [people]\nadmins = [\"{}\"]\n{}",
        server.url(),
        Host::SECRET,
        alice.id(),
        scene::plugin("bench", module),
    );
    std::fs::write(folder.path().join("plugins.toml"), text)?;
    let host = Host::start(program, folder.path(), &token)?;
    host.ready()?;
    let connected = async {
        while !server.is_connected() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, connected).await.context("the bot does not connect")?;
    let client = Client::new(&server, &alice);
    for _ in 0..WARM_UP {
        client.sign(&server, &bot, &ops).await?;
    }
    let mut bare = client.bare_posts(&talk).await?;
    let mut signs = Vec::with_capacity(MESSAGES);
    for _ in 0..MESSAGES {
        signs.push(client.sign(&server, &bot, &ops).await?);
        tokio::time::sleep(PAUSE).await;
    }
    bare.extend(client.bare_posts(&talk).await?);
    Ok((bare, signs))
}

/// A person's client, which posts over HTTP.
struct Client {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Client {
    fn new(server: &Server, person: &Person) -> Self {
        let url = format!("{}/api/v4/posts", server.url());
        Self { http: reqwest::Client::new(), url, token: server.token(person) }
    }

    /// Posts a message. Returns the id of the post.
    async fn post(&self, channel: &str, message: &str) -> Result<String> {
        let body = json!({ "channel_id": channel, "message": message });
        let response = self.http.post(&self.url).bearer_auth(&self.token).json(&body).send().await?;
        let post: Value = response.error_for_status()?.json().await?;
        post["id"].as_str().map(str::to_owned).context("a post without an id")
    }

    /// Returns the times of half of the bare posts, in milliseconds.
    async fn bare_posts(&self, channel: &str) -> Result<Vec<f64>> {
        let mut times = Vec::with_capacity(MESSAGES / 2);
        for number in 0..MESSAGES / 2 {
            let sent = Instant::now();
            self.post(channel, &format!("chatter {number}")).await?;
            times.push(milliseconds(sent.elapsed()));
        }
        Ok(times)
    }

    /// Posts a command, and waits until it has the bot's sign. Returns the time in between, in milliseconds.
    async fn sign(&self, server: &Server, bot: &Person, channel: &str) -> Result<f64> {
        let mut changes = server.changes();
        let sent = Instant::now();
        let command = self.post(channel, "!calls 1").await?;
        let signed = async {
            loop {
                let reactions = server.post(&command).context("the server lost a post")?.reactions;
                if reactions.iter().any(|reaction| reaction.user == bot.id() && reaction.emoji == "eyes") {
                    return anyhow::Ok(sent.elapsed());
                }
                changes.changed().await?;
            }
        };
        let time = tokio::time::timeout(PATIENCE, signed).await.context("a command got no sign in time")??;
        ensure!(server.is_connected(), "the connection of the bot broke");
        Ok(milliseconds(time))
    }
}
