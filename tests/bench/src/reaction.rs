//! `first reaction`: the time from a person's message until another person's client receives the bot's first reaction.
//!
//! The bench uses a real Synapse without rate limits and a release build of the host. First a client without a bot
//! sends messages one after the other, which gives the bare send time and rate. Then commands are sent at a quarter of
//! that rate, each for a separate job. The median and the 99th percentile of the round trip are compared with those of
//! the bare send.
//! Invariant: each command gets one reaction; otherwise the bench fails.

use std::{
    cell::RefCell,
    collections::HashMap,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use wardroom_tests::{
    matrix_user::{MatrixUser, fresh, register},
    synapse::{Limits, Synapse},
};

use crate::{
    figure::{Against, Figure, Unit},
    scene::{self, Scene},
};

pub(crate) const NAME: &str = "first reaction, median";
const NAME_SLOWEST: &str = "first reaction, 99th percentile";

/// The number of bare messages, and of commands.
const MESSAGES: usize = 300;
/// The rate of the commands, as a share of the bare rate.
const SHARE: f64 = 0.25;
/// The maximum ratio to the bare send time. The homeserver stores the command, the host's sync returns it,
/// the host stores and handles it and sends the reaction, and the other person's sync returns that. For each command
/// the homeserver also stores four more events of the bot, and three clients sync them, so it has more load than with
/// the bare client.
const TIMES: f64 = 25.0;
/// Timeout of the whole bench. A slow machine gets its commands at a slow rate.
const PATIENCE: Duration = Duration::from_secs(300);

pub(crate) fn measure(scene: &Scene) -> Result<Vec<Figure>> {
    let program = scene.host_with_matrix()?;
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (bare, reactions) = tokio.block_on(run(program, &scene.guests.join("bench.wasm")))?;
    let figure = |name, share: f64| Figure {
        name,
        measured: percentile(&reactions, share),
        unit: Unit::Milliseconds,
        against: Against::Bare { measured: percentile(&bare, share), times: TIMES },
    };
    Ok(vec![figure(NAME, 0.5), figure(NAME_SLOWEST, 0.99)])
}

/// Returns the times of the bare sends and of the reactions, in milliseconds.
async fn run(program: &Path, module: &Path) -> Result<(Vec<f64>, Vec<f64>)> {
    let synapse = Synapse::start(Limits::None).await?;
    let (alice, bob) = (
        MatrixUser::new(&synapse.url(), &fresh("alice")).await?,
        MatrixUser::new(&synapse.url(), &fresh("bob")).await?,
    );
    let (room, alias) = alice.create_public_room().await?;
    bob.join(&room).await?;
    let password = fresh("marvin");
    let bot = register(&synapse.url(), &password).await?;

    let mut bare = Vec::with_capacity(MESSAGES);
    let begun = Instant::now();
    for number in 0..MESSAGES {
        let sent = Instant::now();
        alice.say(&room, &format!("chatter {number}")).await?;
        bare.push(milliseconds(sent.elapsed()));
    }
    let pause = begun.elapsed().div_f64(MESSAGES as f64 * SHARE);

    let folder = tempfile::tempdir()?;
    let text = format!(
        "[bot.marvin.matrix]\nhomeserver = \"{}\"\nuser = \"{bot}\"\npassword = {{ env = \"MARVIN_PASSWORD\" }}\n\
         rooms = [\"{alias}\"]\n\n[people]\nadmins = [\"{}\"]\n{}",
        synapse.url(),
        alice.id,
        scene::plugin("bench", module)
    );
    std::fs::write(folder.path().join("plugins.toml"), text)?;
    let _host = Host::start(program, folder.path(), &password)?;
    alice.wait_for_member(&room, &bot).await?;
    // The first command fills the code cache and opens all connections.
    let first = alice.say(&room, "!calls 1").await?;
    bob.wait(&room, "first reaction", |event| reacted_to(event, &bot) == Some(&first)).await?;

    let sent = async {
        let mut sent = Vec::with_capacity(MESSAGES);
        let mut tick = tokio::time::interval(pause);
        for _ in 0..MESSAGES {
            tick.tick().await;
            let at = Instant::now();
            sent.push((alice.say(&room, "!calls 1").await?, at));
        }
        anyhow::Ok(sent)
    };
    let seen: RefCell<HashMap<String, Instant>> = RefCell::default();
    let watch = async {
        let all = |event: &serde_json::Value| {
            let mut seen = seen.borrow_mut();
            if let Some(on) = reacted_to(event, &bot)
                && event["content"]["m.relates_to"]["key"] == "👀"
                && *on != first
            {
                seen.entry(on.to_owned()).or_insert_with(Instant::now);
            }
            seen.len() == MESSAGES
        };
        // A single wait times out before a slow machine has finished.
        while bob.wait(&room, "reactions to all commands", &all).await.is_err() {}
    };
    let (sent, ()) = tokio::time::timeout(PATIENCE, async { tokio::join!(sent, watch) })
        .await
        .map_err(|_| anyhow::anyhow!("{} of {MESSAGES} commands were reacted to", seen.borrow().len()))?;
    let seen = seen.into_inner();
    let mut reactions = Vec::with_capacity(MESSAGES);
    for (event, at) in sent? {
        let Some(when) = seen.get(&event) else { bail!("the bot did not react to a command") };
        reactions.push(milliseconds(when.saturating_duration_since(at)));
    }
    ensure!(reactions.len() == MESSAGES, "{} reactions", reactions.len());
    Ok((bare, reactions))
}

/// Returns the id of the event that a reaction of the bot is for.
fn reacted_to<'e>(event: &'e serde_json::Value, bot: &str) -> Option<&'e String> {
    let on = &event["content"]["m.relates_to"]["event_id"];
    match on {
        serde_json::Value::String(on) if event["type"] == "m.reaction" && event["sender"] == bot => Some(on),
        _ => None,
    }
}

fn milliseconds(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}

/// Returns the value that is greater than the given share of all values.
fn percentile(values: &[f64], share: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let place = ((values.len() as f64 * share).ceil() as usize).clamp(1, values.len().max(1)) - 1;
    values.get(place).copied().unwrap_or(f64::NAN)
}

/// A running host. Dropping the value kills the process.
struct Host(Child);

impl Host {
    fn start(program: &Path, folder: &Path, password: &str) -> Result<Self> {
        let log = std::fs::File::create(folder.join("log"))?;
        let mut command = Command::new(program);
        command.args(["--config", "plugins.toml", "run"]).current_dir(folder).env("MARVIN_PASSWORD", password);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(Self(command.spawn().with_context(|| format!("the host `{}` does not start", program.display()))?))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_99th_percentile_is_near_the_end() {
        let values: Vec<f64> = (1..=300).map(f64::from).collect();
        assert_eq!((percentile(&values, 0.5), percentile(&values, 0.99)), (150.0, 297.0));
        assert!(percentile(&[], 0.5).is_nan());
    }
}
