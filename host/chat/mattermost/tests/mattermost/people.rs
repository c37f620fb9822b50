//! Tests of approvals by reaction, deleted commands, tokens, and `wardroom check --connect`.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use wardroom_fake_mattermost::{Person, Post};

use crate::harness::{Harness, cache, until};

pub(crate) const COMMAND: &str = "!script-app cms production 1.0 trigger:cms/production:1.0 wait";

/// Waits until at least `count` messages of the bot ask for an approval. Returns the last one.
pub(crate) async fn asking(harness: &Harness, count: usize) -> Result<Post> {
    let asks = || -> Vec<Post> {
        harness
            .bot
            .posts(&harness.ops)
            .into_iter()
            .filter(|post| post.message.contains("The approval is required by"))
            .collect()
    };
    until("a message that requests an approval", || asks().len() >= count).await?;
    asks().pop().context("a message that requests an approval")
}

#[tokio::test]
async fn another_person_approves_by_reaction_and_is_mentioned_by_name() -> Result<()> {
    let harness = Harness::new().await?;
    let _host = harness.start_with(&harness.with_approvals()).await?;
    harness.alice.post(&harness.ops, COMMAND);
    let asks = asking(&harness, 1).await?;
    ensure!(asks.message.contains("@bob"), "{}", asks.message);
    harness.alice.react(&asks.id, "+1");
    tokio::time::sleep(Duration::from_millis(400)).await;
    ensure!(harness.pipelines.runs().is_empty(), "the person who asked approved");
    harness.bob.react(&asks.id, "thumbsup_medium_skin_tone");
    until("it runs", || harness.pipelines.runs().len() == 1).await
}

#[tokio::test]
async fn reactions_given_and_withdrawn_while_no_host_runs_count() -> Result<()> {
    let harness = Harness::new().await?;
    let (config, carol) = with_two_approvals(&harness);
    let host = harness.start_with(&config).await?;
    harness.alice.post(&harness.ops, COMMAND);
    let asks = asking(&harness, 1).await?;
    let changed = |text: &'static str| {
        let (harness, id) = (&harness, asks.id.clone());
        move || harness.server.posts(&harness.ops).iter().any(|post| post.id == id && post.message.contains(text))
    };
    harness.bob.react(&asks.id, "+1");
    until("one approval is counted", || {
        harness.server.posts(&harness.ops).iter().any(|post| post.id == asks.id && post.edits > 0)
    })
    .await?;
    host.kill();
    harness.bob.unreact(&asks.id, "+1");
    carol.react(&asks.id, "+1");
    let host = harness.start_with(&config).await?;
    until("carol's is counted", changed("carol")).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    ensure!(harness.pipelines.runs().is_empty(), "a withdrawn reaction still counts");
    host.kill();
    // A reaction that is added again is a new one.
    harness.bob.react(&asks.id, "+1");
    let _host = harness.start_with(&config).await?;
    until("it runs", || harness.pipelines.runs().len() == 1).await
}

/// Returns a configuration in which two people of the channel must approve, and the second of them besides Bob.
fn with_two_approvals(harness: &Harness) -> (String, Person) {
    let config = harness.with_approvals().replace("count = 1", "count = 2");
    let carol = harness.server.person("carol");
    harness.server.put(&harness.ops, &carol);
    let bob = harness.bob.id();
    let config = config.replace(&format!("\"{bob}\"]\ncommands"), &format!("\"{bob}\", \"{}\"]\ncommands", carol.id()));
    (config, carol)
}

#[tokio::test]
async fn live_reactions_are_withdrawn_and_given_again() -> Result<()> {
    let harness = Harness::new().await?;
    let (config, carol) = with_two_approvals(&harness);
    let _host = harness.start_with(&config).await?;
    harness.alice.post(&harness.ops, COMMAND);
    let asks = asking(&harness, 1).await?;
    let edits =
        || harness.server.posts(&harness.ops).iter().find(|post| post.id == asks.id).map_or(0, |post| post.edits);
    harness.bob.react(&asks.id, "+1");
    until("it is counted", || edits() == 1).await?;
    harness.bob.unreact(&asks.id, "+1");
    until("it is no longer counted", || edits() == 2).await?;
    carol.react(&asks.id, "+1");
    until("the other one is counted", || edits() == 3).await?;
    ensure!(harness.pipelines.runs().is_empty(), "one approval of two is not enough");
    tokio::time::sleep(Duration::from_millis(5)).await;
    harness.bob.react(&asks.id, "+1");
    until("it runs", || harness.pipelines.runs().len() == 1).await
}

#[tokio::test]
async fn a_reaction_that_is_removed_while_the_bot_is_not_in_the_channel_does_not_count() -> Result<()> {
    let harness = Harness::new().await?;
    let (config, carol) = with_two_approvals(&harness);
    let _host = harness.start_with(&config).await?;
    harness.alice.post(&harness.ops, COMMAND);
    let asks = asking(&harness, 1).await?;
    let edits =
        || harness.server.posts(&harness.ops).iter().find(|post| post.id == asks.id).map_or(0, |post| post.edits);
    harness.bob.react(&asks.id, "+1");
    until("it is counted", || edits() == 1).await?;
    harness.server.remove(&harness.ops, &harness.bot);
    harness.bob.unreact(&asks.id, "+1");
    harness.alice.add(&harness.ops, &harness.bot);
    until("it is no longer counted", || edits() == 2).await?;
    // The same applies to a reaction that is removed after the bot returned.
    tokio::time::sleep(Duration::from_millis(5)).await;
    harness.bob.react(&asks.id, "+1");
    until("it is counted again", || edits() == 3).await?;
    harness.server.remove(&harness.ops, &harness.bot);
    harness.alice.add(&harness.ops, &harness.bot);
    let asked = harness.alice.post(&harness.ops, "!whoami");
    harness.answer(&asked).await?;
    harness.bob.unreact(&asks.id, "+1");
    until("it is no longer counted", || edits() == 4).await?;
    carol.react(&asks.id, "+1");
    until("the other one is counted", || edits() == 5).await?;
    ensure!(harness.pipelines.runs().is_empty(), "one approval of two is not enough");
    Ok(())
}

#[tokio::test]
async fn a_deleted_command_is_cancelled() -> Result<()> {
    let harness = Harness::new().await?;
    let _host = harness.start_with(&harness.with_approvals()).await?;
    let command = harness.alice.post(&harness.ops, COMMAND);
    asking(&harness, 1).await?;
    harness.alice.delete(&command);
    until("it is over", || harness.store.all_jobs().iter().all(|job| job.end.is_some())).await?;
    ensure!(harness.pipelines.runs().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_command_goes_on_where_the_server_does_not_tell_who_deleted_it() -> Result<()> {
    let harness = Harness::new().await?;
    let host = harness.start_with(&harness.with_approvals()).await?;
    let command = harness.alice.post(&harness.ops, COMMAND);
    asking(&harness, 1).await?;
    let is_open = || harness.store.all_jobs().iter().all(|job| job.end.is_none());
    harness.server.purge(&command);
    tokio::time::sleep(Duration::from_millis(700)).await;
    ensure!(is_open(), "the deletion by a moderator cancelled the job");
    host.kill();
    // The backfill finds the deletion again.
    let _host = harness.start_with(&harness.with_approvals()).await?;
    harness.answer(&harness.alice.post(&harness.ops, "!whoami")).await?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    ensure!(is_open(), "the deletion by a moderator cancelled the job");
    Ok(())
}

#[tokio::test]
async fn a_revoked_token_stops_the_account_and_its_place_is_named() -> Result<()> {
    let harness = Harness::new().await?;
    let host = harness.start().await?;
    harness.answer(&harness.alice.post(&harness.ops, "!whoami")).await?;
    harness.server.revoke(&harness.token);
    let ended = host.end().await?;
    let why = format!("{:#}", ended.expect_err("it cannot go on"));
    ensure!(why.contains("rejected the access token") && why.contains("file = ") && why.contains("token"), "{why}");
    ensure!(!why.contains(&harness.token), "{why}");
    Ok(())
}

#[tokio::test]
async fn the_login_of_a_proxy_does_not_stop_the_account() -> Result<()> {
    let harness = Harness::new().await?;
    let _host = harness.start().await?;
    let mut asked = vec![harness.alice.post(&harness.ops, "!whoami")];
    harness.each_once(&asked).await?;
    harness.server.faults(|faults| faults.guarded = true);
    harness.server.cut();
    asked.push(harness.alice.post(&harness.ops, "!whoami"));
    tokio::time::sleep(Duration::from_millis(700)).await;
    harness.server.faults(|faults| faults.guarded = false);
    harness.each_once(&asked).await
}

#[tokio::test]
async fn a_token_that_was_replaced_in_its_file_is_used() -> Result<()> {
    let harness = Harness::new().await?;
    let _host = harness.start().await?;
    let mut asked = vec![harness.alice.post(&harness.ops, "!whoami")];
    harness.each_once(&asked).await?;
    std::fs::write(harness.token_file(), harness.server.token(&harness.bot))?;
    harness.server.revoke(&harness.token);
    harness.server.cut();
    asked.push(harness.alice.post(&harness.ops, "!whoami"));
    harness.each_once(&asked).await
}

#[tokio::test]
async fn check_names_accounts_and_what_to_write() -> Result<()> {
    let harness = Harness::new().await?;
    let file = tempfile::tempdir()?;
    std::fs::write(file.path().join("token"), &harness.token)?;
    let path = file.path().join("plugins.toml");
    // Runs the check with these people as admins.
    let probe = async |people: &[&str]| -> Result<Vec<Result<String, String>>> {
        let table = harness.table(&harness.server.url());
        std::fs::write(&path, format!("{table}[people]\nadmins = {people:?}\n"))?;
        let builder = harness.builder();
        let config = builder.read(&path)?;
        Ok(builder.cache(cache()).review(config).await?.probe().await)
    };
    let failed = async |people: &[&str]| -> Result<String> {
        Ok(probe(people).await?.into_iter().filter_map(Result::err).collect::<Vec<_>>().join("\n"))
    };
    let found = probe(&[harness.alice.id(), "@dave:example.org", "operator"]).await?;
    let found = found.into_iter().collect::<Result<Vec<_>, _>>().map_err(anyhow::Error::msg)?.join("\n");
    ensure!(found.contains("direct messages are handled if their author is an admin or in a channel"), "{found}");
    ensure!(found.contains("@ops-bot") && found.contains("in the channel eng/ops"), "{found}");
    ensure!(found.contains(&format!("{} is @alice", harness.alice.id())) && !found.contains("dave"), "{found}");
    harness.bob.leave();
    let wrong = failed(&["@alice", harness.bob.id(), "@nobody"]).await?;
    ensure!(wrong.contains(&format!("write the id instead: \"{}\"", harness.alice.id())), "{wrong}");
    ensure!(wrong.contains("deactivated") && wrong.contains("no account with the name `@nobody`"), "{wrong}");
    harness.server.remove(&harness.ops, &harness.bot);
    let wrong = failed(&[]).await?;
    ensure!(wrong.contains("not in the channel eng/ops") && wrong.contains("/invite @ops-bot"), "{wrong}");
    harness.server.revoke(&harness.token);
    let wrong = failed(&[]).await?;
    ensure!(wrong.contains("rejected the access token") && !wrong.contains(&harness.token), "{wrong}");
    Ok(())
}

#[tokio::test]
async fn a_name_gives_no_right() -> Result<()> {
    let harness = Harness::new().await?;
    let _host = harness.start_with(&harness.with_approvals()).await?;
    // Another account takes the name that an admin had.
    let eve = harness.server.person("eve");
    harness.server.put(&harness.ops, &eve);
    harness.alice.rename("alice2");
    eve.rename("alice");
    let asked = eve.post(&harness.ops, COMMAND);
    let answer = harness.answer(&asked).await?;
    ensure!(answer.message.contains("may not") && harness.store.all_jobs().is_empty(), "{answer:?}");
    Ok(())
}
