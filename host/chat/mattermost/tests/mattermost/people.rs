//! Who is who, what they say by emoji, and what an operator is told.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use wardroom::config::read;
use wardroom_fake_mattermost::Post;

use crate::rig::{Rig, until};

pub(crate) const COMMAND: &str = "!drill-place cms production 1.0 trigger:cms/production:1.0 wait";

/// The message that asks for approval.
pub(crate) async fn asking(rig: &Rig, count: usize) -> Result<Post> {
    let asks = || -> Vec<Post> {
        rig.bot.posts(&rig.ops).into_iter().filter(|post| post.message.contains("Asked for by")).collect()
    };
    until("a message that asks", || asks().len() >= count).await?;
    asks().pop().context("a message that asks")
}

#[tokio::test]
async fn a_thumb_of_another_person_approves_and_calls_them_by_name() -> Result<()> {
    let rig = Rig::new().await?;
    let _host = rig.start_with(&rig.with_approvals()).await?;
    rig.alice.post(&rig.ops, COMMAND);
    let asks = asking(&rig, 1).await?;
    ensure!(asks.message.contains("@bob"), "{}", asks.message);
    rig.alice.react(&asks.id, "+1");
    tokio::time::sleep(Duration::from_millis(400)).await;
    ensure!(rig.pipelines.runs().is_empty(), "whoever asked approved");
    rig.bob.react(&asks.id, "thumbsup_medium_skin_tone");
    until("it runs", || rig.pipelines.runs().len() == 1).await
}

#[tokio::test]
async fn what_was_said_and_taken_back_while_nobody_was_there_counts() -> Result<()> {
    let rig = Rig::new().await?;
    let config = rig.with_approvals().replace("count = 1", "count = 2");
    let carol = rig.server.person("carol");
    rig.server.put(&rig.ops, &carol);
    let bob = rig.bob.id();
    let config = config.replace(&format!("\"{bob}\"]\ncommands"), &format!("\"{bob}\", \"{}\"]\ncommands", carol.id()));
    let host = rig.start_with(&config).await?;
    rig.alice.post(&rig.ops, COMMAND);
    let asks = asking(&rig, 1).await?;
    let changed = |words: &'static str| {
        let (rig, id) = (&rig, asks.id.clone());
        move || rig.server.posts(&rig.ops).iter().any(|post| post.id == id && post.message.contains(words))
    };
    rig.bob.react(&asks.id, "+1");
    until("one approval is counted", || {
        rig.server.posts(&rig.ops).iter().any(|post| post.id == asks.id && post.edits > 0)
    })
    .await?;
    host.kill();
    rig.bob.unreact(&asks.id, "+1");
    carol.react(&asks.id, "+1");
    let host = rig.start_with(&config).await?;
    until("carol's is counted", changed("carol")).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    ensure!(rig.pipelines.runs().is_empty(), "what was taken back still counts");
    host.kill();
    // Given again, it is a new one.
    rig.bob.react(&asks.id, "+1");
    let _host = rig.start_with(&config).await?;
    until("it runs", || rig.pipelines.runs().len() == 1).await
}

#[tokio::test]
async fn a_reaction_is_taken_back_and_given_again_as_it_happens() -> Result<()> {
    let rig = Rig::new().await?;
    let config = rig.with_approvals().replace("count = 1", "count = 2");
    let carol = rig.server.person("carol");
    rig.server.put(&rig.ops, &carol);
    let bob = rig.bob.id();
    let config = config.replace(&format!("\"{bob}\"]\ncommands"), &format!("\"{bob}\", \"{}\"]\ncommands", carol.id()));
    let _host = rig.start_with(&config).await?;
    rig.alice.post(&rig.ops, COMMAND);
    let asks = asking(&rig, 1).await?;
    let edits = || rig.server.posts(&rig.ops).iter().find(|post| post.id == asks.id).map_or(0, |post| post.edits);
    rig.bob.react(&asks.id, "+1");
    until("it is counted", || edits() == 1).await?;
    rig.bob.unreact(&asks.id, "+1");
    until("it is not any more", || edits() == 2).await?;
    carol.react(&asks.id, "+1");
    until("the other one is", || edits() == 3).await?;
    ensure!(rig.pipelines.runs().is_empty(), "one of two is enough");
    tokio::time::sleep(Duration::from_millis(5)).await;
    rig.bob.react(&asks.id, "+1");
    until("it runs", || rig.pipelines.runs().len() == 1).await
}

#[tokio::test]
async fn a_command_that_is_removed_is_called_off() -> Result<()> {
    let rig = Rig::new().await?;
    let _host = rig.start_with(&rig.with_approvals()).await?;
    let command = rig.alice.post(&rig.ops, COMMAND);
    asking(&rig, 1).await?;
    rig.alice.delete(&command);
    until("it is over", || rig.store.all_jobs().iter().all(|job| job.end.is_some())).await?;
    ensure!(rig.pipelines.runs().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_command_that_nobody_knows_who_removed_goes_on() -> Result<()> {
    let rig = Rig::new().await?;
    let host = rig.start_with(&rig.with_approvals()).await?;
    let command = rig.alice.post(&rig.ops, COMMAND);
    asking(&rig, 1).await?;
    let is_open = || rig.store.all_jobs().iter().all(|job| job.end.is_none());
    rig.server.purge(&command);
    tokio::time::sleep(Duration::from_millis(700)).await;
    ensure!(is_open(), "a moderator called it off");
    host.kill();
    // It is found once more, as it is read back.
    let _host = rig.start_with(&rig.with_approvals()).await?;
    rig.answer(&rig.alice.post(&rig.ops, "!whoami")).await?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    ensure!(is_open(), "a moderator called it off");
    Ok(())
}

#[tokio::test]
async fn a_revoked_token_ends_the_account_and_names_where_it_is_kept() -> Result<()> {
    let rig = Rig::new().await?;
    let host = rig.start().await?;
    rig.answer(&rig.alice.post(&rig.ops, "!whoami")).await?;
    rig.server.revoke(&rig.token);
    let ended = host.end().await?;
    let why = format!("{:#}", ended.expect_err("it cannot go on"));
    ensure!(why.contains("does not know the token") && why.contains("file = ") && why.contains("token"), "{why}");
    ensure!(!why.contains(&rig.token), "{why}");
    Ok(())
}

#[tokio::test]
async fn a_proxy_that_wants_a_login_of_its_own_does_not_end_the_account() -> Result<()> {
    let rig = Rig::new().await?;
    let _host = rig.start().await?;
    let mut asked = vec![rig.alice.post(&rig.ops, "!whoami")];
    rig.each_once(&asked).await?;
    rig.server.faults(|faults| faults.guarded = true);
    rig.server.cut();
    asked.push(rig.alice.post(&rig.ops, "!whoami"));
    tokio::time::sleep(Duration::from_millis(700)).await;
    rig.server.faults(|faults| faults.guarded = false);
    rig.each_once(&asked).await
}

#[tokio::test]
async fn a_token_that_was_replaced_in_its_file_is_taken_up() -> Result<()> {
    let rig = Rig::new().await?;
    let _host = rig.start().await?;
    let mut asked = vec![rig.alice.post(&rig.ops, "!whoami")];
    rig.each_once(&asked).await?;
    std::fs::write(rig.token_file(), rig.server.token(&rig.bot))?;
    rig.server.revoke(&rig.token);
    rig.server.cut();
    asked.push(rig.alice.post(&rig.ops, "!whoami"));
    rig.each_once(&asked).await
}

#[tokio::test]
async fn check_says_who_is_who_and_what_to_write() -> Result<()> {
    let rig = Rig::new().await?;
    let file = tempfile::tempdir()?;
    std::fs::write(file.path().join("token"), &rig.token)?;
    let path = file.path().join("plugins.toml");
    std::fs::write(&path, rig.table(&rig.server.url()))?;
    let config = read(&path, &rig.registry()).map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
    let chat = config.bots.iter().flat_map(|bot| bot.chats.iter()).next().context("an account")?.clone();
    let found = chat.probe(&[rig.alice.id().into(), "@dave:example.org".into(), "operator".into()]).await;
    let found = found.map_err(|wrong| anyhow::anyhow!("{wrong:?}"))?.join("\n");
    ensure!(found.contains("direct messages are handled where their author is an admin or in a channel"), "{found}");
    ensure!(found.contains("@ops-bot") && found.contains("in the channel eng/ops"), "{found}");
    ensure!(found.contains(&format!("{} is @alice", rig.alice.id())) && !found.contains("dave"), "{found}");
    rig.bob.leave();
    let people = ["@alice".to_owned(), rig.bob.id().to_owned(), "@nobody".to_owned()];
    let wrong = chat.probe(&people).await.expect_err("names are no ids").join("\n");
    ensure!(wrong.contains(&format!("write the id instead: \"{}\"", rig.alice.id())), "{wrong}");
    ensure!(wrong.contains("deactivated") && wrong.contains("nobody called @nobody"), "{wrong}");
    rig.server.remove(&rig.ops, &rig.bot);
    let wrong = chat.probe(&[]).await.expect_err("not in the channel").join("\n");
    ensure!(wrong.contains("not in the channel eng/ops") && wrong.contains("/invite @ops-bot"), "{wrong}");
    rig.server.revoke(&rig.token);
    let wrong = chat.probe(&[]).await.expect_err("no token").join("\n");
    ensure!(wrong.contains("does not know the token") && !wrong.contains(&rig.token), "{wrong}");
    Ok(())
}

#[tokio::test]
async fn a_name_is_no_right() -> Result<()> {
    let rig = Rig::new().await?;
    let _host = rig.start_with(&rig.with_approvals()).await?;
    // Somebody takes the name that an admin had.
    let eve = rig.server.person("eve");
    rig.server.put(&rig.ops, &eve);
    rig.alice.rename("alice2");
    eve.rename("alice");
    let asked = eve.post(&rig.ops, COMMAND);
    let answer = rig.answer(&asked).await?;
    ensure!(answer.message.contains("may not") && rig.store.all_jobs().is_empty(), "{answer:?}");
    Ok(())
}
