//! Whose direct messages are heard: by the rooms that they are in, now.

use std::time::Duration;

use anyhow::{Result, ensure};
use wardroom_fake_mattermost::{Person, Post};

use crate::{
    people::COMMAND,
    rig::{Rig, until},
};

/// What the bot said in a channel and not in a thread: there alone are people turned away.
fn refusals(rig: &Rig, channel: &str) -> Vec<Post> {
    rig.bot.posts(channel).into_iter().filter(|post| post.root.is_empty()).collect()
}

/// Somebody who is in no room of the bot's, and the channel where they write to it.
fn stranger(rig: &Rig) -> (Person, String) {
    let eve = rig.server.person("eve");
    let dm = rig.server.direct(&rig.bot, &eve);
    (eve, dm)
}

#[tokio::test]
async fn who_is_in_no_room_is_told_so_once_and_heard_as_soon_as_they_are() -> Result<()> {
    let rig = Rig::new().await?;
    let (eve, dm) = stranger(&rig);
    let host = rig.start().await?;
    let mut unheard = vec![eve.post(&dm, "whoami")];
    until("it is told", || refusals(&rig, &dm).len() == 1).await?;
    ensure!(refusals(&rig, &dm)[0].message.contains("members of my rooms only"), "{:?}", refusals(&rig, &dm));
    unheard.push(eve.post(&dm, "whoami"));
    tokio::time::sleep(Duration::from_millis(300)).await;
    host.kill();
    unheard.push(eve.post(&dm, "whoami"));
    let _host = rig.start().await?;
    rig.answer(&rig.bob.post(&rig.server.direct(&rig.bot, &rig.bob), "whoami")).await?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    rig.alice.add(&rig.ops, &eve);
    rig.answer(&eve.post(&dm, "whoami")).await?;
    for post in unheard {
        ensure!(rig.bot.replies(&post).is_empty(), "answered: {:?}", rig.bot.replies(&post));
    }
    ensure!(refusals(&rig, &dm).len() == 1, "{:?}", refusals(&rig, &dm));
    Ok(())
}

#[tokio::test]
async fn what_was_left_is_not_done_after_a_restart_when_its_author_may_write_then() -> Result<()> {
    let rig = Rig::new().await?;
    let (eve, dm) = stranger(&rig);
    let host = rig.start().await?;
    let unheard = eve.post(&dm, "whoami");
    until("it is told", || !refusals(&rig, &dm).is_empty()).await?;
    host.stop().await?;
    rig.server.put(&rig.ops, &eve);
    let meanwhile = eve.post(&dm, "whoami");
    let _host = rig.start().await?;
    rig.answer(&meanwhile).await?;
    ensure!(rig.bot.replies(&unheard).is_empty(), "answered: {:?}", rig.bot.replies(&unheard));
    Ok(())
}

#[tokio::test]
async fn who_left_the_room_is_not_heard_alone_any_more() -> Result<()> {
    let rig = Rig::new().await?;
    let dm = rig.server.direct(&rig.bot, &rig.bob);
    let host = rig.start().await?;
    rig.answer(&rig.bob.post(&dm, "whoami")).await?;
    host.kill();
    rig.server.remove(&rig.ops, &rig.bob);
    let meanwhile = rig.bob.post(&dm, "whoami");
    let _host = rig.start().await?;
    until("it is told", || refusals(&rig, &dm).len() == 1).await?;
    let after = rig.bob.post(&dm, "whoami");
    tokio::time::sleep(Duration::from_millis(500)).await;
    for post in [meanwhile, after] {
        ensure!(rig.bot.replies(&post).is_empty(), "answered: {:?}", rig.bot.replies(&post));
    }
    Ok(())
}

#[tokio::test]
async fn who_is_put_out_of_the_room_is_not_heard_alone_from_then_on() -> Result<()> {
    let rig = Rig::new().await?;
    let dm = rig.server.direct(&rig.bot, &rig.bob);
    let _host = rig.start().await?;
    rig.answer(&rig.bob.post(&dm, "whoami")).await?;
    rig.server.remove(&rig.ops, &rig.bob);
    let after = rig.bob.post(&dm, "whoami");
    until("it is told", || refusals(&rig, &dm).len() == 1).await?;
    ensure!(rig.bot.replies(&after).is_empty(), "answered: {:?}", rig.bot.replies(&after));
    Ok(())
}

#[tokio::test]
async fn where_it_cannot_be_looked_up_a_direct_message_waits_and_no_other_does() -> Result<()> {
    let rig = Rig::new().await?;
    let (eve, of_eve) = stranger(&rig);
    let of_bob = rig.server.direct(&rig.bot, &rig.bob);
    rig.server.faults(|faults| faults.members_away = true);
    let host = rig.start().await?;
    let mut asked = vec![rig.bob.post(&of_bob, "whoami")];
    let unheard = eve.post(&of_eve, "whoami");
    rig.answer(&rig.alice.post(&rig.ops, "!whoami")).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    ensure!(rig.bot.posts(&of_bob).is_empty() && rig.bot.posts(&of_eve).is_empty(), "it was taken for an answer");
    host.kill();
    asked.push(rig.bob.post(&of_bob, "whoami"));
    let _host = rig.start().await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    ensure!(rig.bot.posts(&of_bob).is_empty(), "{:?}", rig.bot.posts(&of_bob));
    rig.server.faults(|faults| faults.members_away = false);
    rig.each_once(&asked).await?;
    until("it is told", || refusals(&rig, &of_eve).len() == 1).await?;
    ensure!(rig.bot.replies(&unheard).is_empty(), "{:?}", rig.bot.replies(&unheard));
    Ok(())
}

#[tokio::test]
async fn a_room_that_cannot_be_read_is_no_reason_to_turn_away_and_another_is_enough() -> Result<()> {
    let rig = Rig::new().await?;
    let other = rig.server.channel("eng", "other");
    let carol = rig.server.person("carol");
    for who in [&rig.bot, &carol] {
        rig.server.put(&other, who);
    }
    let (eve, of_eve) = stranger(&rig);
    rig.server.faults(|faults| faults.forbidden = [rig.ops.clone()].into());
    let config = rig.table(&rig.server.url()).replace("\"eng/ops\"", "\"eng/ops\", \"eng/other\"");
    let _host = rig.start_with(&config).await?;
    let unheard = eve.post(&of_eve, "whoami");
    rig.answer(&carol.post(&rig.server.direct(&rig.bot, &carol), "whoami")).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    ensure!(rig.bot.posts(&of_eve).is_empty(), "it was taken for an answer: {:?}", rig.bot.posts(&of_eve));
    rig.server.faults(|faults| faults.forbidden.clear());
    until("it is told", || refusals(&rig, &of_eve).len() == 1).await?;
    ensure!(rig.bot.replies(&unheard).is_empty(), "{:?}", rig.bot.replies(&unheard));
    Ok(())
}

#[tokio::test]
async fn an_admin_is_heard_without_a_room_and_another_program_is_told_nothing() -> Result<()> {
    let rig = Rig::new().await?;
    let (other, _) = rig.server.bot("other-bot");
    let carol = rig.server.person("carol");
    let config = format!("{}[people]\nadmins = [\"{}\"]\n", rig.table(&rig.server.url()), carol.id());
    let _host = rig.start_with(&config).await?;
    let dm = rig.server.direct(&rig.bot, &other);
    other.post(&dm, "whoami");
    rig.answer(&carol.post(&rig.server.direct(&rig.bot, &carol), "whoami")).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    ensure!(rig.bot.posts(&dm).is_empty(), "{:?}", rig.bot.posts(&dm));
    Ok(())
}

#[tokio::test]
async fn the_configuration_may_let_in_everybody_or_nobody() -> Result<()> {
    let rig = Rig::new().await?;
    let (eve, of_eve) = stranger(&rig);
    let of_bob = rig.server.direct(&rig.bot, &rig.bob);
    let with = |word: &str| format!("{}direct = \"{word}\"\n", rig.table(&rig.server.url()));
    let host = rig.start_with(&with("everybody")).await?;
    rig.answer(&eve.post(&of_eve, "whoami")).await?;
    ensure!(rig.server.calls("GET", &format!("/channels/{}/members", rig.ops)) == 0, "asked for nothing");
    host.stop().await?;
    let _host = rig.start_with(&with("nobody")).await?;
    let unheard = rig.bob.post(&of_bob, "whoami");
    until("it is told", || refusals(&rig, &of_bob).len() == 1).await?;
    ensure!(refusals(&rig, &of_bob)[0].message.contains("do not answer direct messages"));
    rig.answer(&rig.bob.post(&rig.ops, "!whoami")).await?;
    ensure!(rig.bot.replies(&unheard).is_empty(), "{:?}", rig.bot.replies(&unheard));
    Ok(())
}

#[tokio::test]
async fn what_is_removed_passes_the_same_door() -> Result<()> {
    for leaves in [true, false] {
        let rig = Rig::new().await?;
        let dm = rig.server.direct(&rig.bot, &rig.bob);
        let config = rig.with_approvals();
        let host = rig.start_with(&config).await?;
        let command = rig.bob.post(&dm, COMMAND);
        until("a job", || rig.store.all_jobs().len() == 1 && !rig.bot.posts(&dm).is_empty()).await?;
        host.stop().await?;
        if leaves {
            rig.server.remove(&rig.ops, &rig.bob);
        }
        let _host = rig.start_with(&config).await?;
        rig.answer(&rig.alice.post(&rig.ops, "!whoami")).await?;
        rig.bob.delete(&command);
        let is_over = || rig.store.all_jobs().iter().all(|job| job.end.is_some());
        if leaves {
            tokio::time::sleep(Duration::from_millis(800)).await;
            ensure!(!is_over(), "somebody who is in no room called it off");
            ensure!(
                refusals(&rig, &dm).iter().all(|post| !post.message.contains("members of my rooms")),
                "told for nothing new"
            );
        } else {
            until("it is called off", is_over).await?;
        }
    }
    Ok(())
}
