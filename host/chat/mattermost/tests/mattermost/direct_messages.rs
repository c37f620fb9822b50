//! Tests of the policy for direct messages.

use std::time::Duration;

use anyhow::{Result, ensure};
use wardroom_fake_mattermost::{Person, Post};

use crate::{
    harness::{Harness, until},
    people::COMMAND,
};

/// Returns the bot's refusals in a direct channel: its posts outside threads, because it posts everything else in
/// threads.
fn refusals(harness: &Harness, channel: &str) -> Vec<Post> {
    harness.bot.posts(channel).into_iter().filter(|post| post.root.is_empty()).collect()
}

/// Creates a person who is in no configured channel, and their direct channel with the bot.
fn stranger(harness: &Harness) -> (Person, String) {
    let eve = harness.server.person("eve");
    let dm = harness.server.direct(&harness.bot, &eve);
    (eve, dm)
}

#[tokio::test]
async fn a_non_member_is_refused_once_and_served_after_joining() -> Result<()> {
    let harness = Harness::new().await?;
    let (eve, dm) = stranger(&harness);
    let host = harness.start().await?;
    let mut ignored = vec![eve.post(&dm, "whoami")];
    until("the refusal is posted", || refusals(&harness, &dm).len() == 1).await?;
    ensure!(
        refusals(&harness, &dm)[0].message.contains("only from members of my channels"),
        "{:?}",
        refusals(&harness, &dm)
    );
    ignored.push(eve.post(&dm, "whoami"));
    tokio::time::sleep(Duration::from_millis(300)).await;
    host.kill();
    ignored.push(eve.post(&dm, "whoami"));
    let _host = harness.start().await?;
    harness.answer(&harness.bob.post(&harness.server.direct(&harness.bot, &harness.bob), "whoami")).await?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    harness.alice.add(&harness.ops, &eve);
    harness.answer(&eve.post(&dm, "whoami")).await?;
    for post in ignored {
        ensure!(harness.bot.replies(&post).is_empty(), "answered: {:?}", harness.bot.replies(&post));
    }
    ensure!(refusals(&harness, &dm).len() == 1, "{:?}", refusals(&harness, &dm));
    Ok(())
}

#[tokio::test]
async fn a_refused_message_is_not_handled_after_a_restart_when_its_author_is_a_member() -> Result<()> {
    let harness = Harness::new().await?;
    let (eve, dm) = stranger(&harness);
    let host = harness.start().await?;
    let ignored = eve.post(&dm, "whoami");
    until("the refusal is posted", || !refusals(&harness, &dm).is_empty()).await?;
    host.stop().await?;
    harness.server.put(&harness.ops, &eve);
    let meanwhile = eve.post(&dm, "whoami");
    let _host = harness.start().await?;
    harness.answer(&meanwhile).await?;
    ensure!(harness.bot.replies(&ignored).is_empty(), "answered: {:?}", harness.bot.replies(&ignored));
    Ok(())
}

#[tokio::test]
async fn a_person_who_left_the_channel_is_refused() -> Result<()> {
    let harness = Harness::new().await?;
    let dm = harness.server.direct(&harness.bot, &harness.bob);
    let host = harness.start().await?;
    harness.answer(&harness.bob.post(&dm, "whoami")).await?;
    host.kill();
    harness.server.remove(&harness.ops, &harness.bob);
    let meanwhile = harness.bob.post(&dm, "whoami");
    let _host = harness.start().await?;
    until("the refusal is posted", || refusals(&harness, &dm).len() == 1).await?;
    let after = harness.bob.post(&dm, "whoami");
    tokio::time::sleep(Duration::from_millis(500)).await;
    for post in [meanwhile, after] {
        ensure!(harness.bot.replies(&post).is_empty(), "answered: {:?}", harness.bot.replies(&post));
    }
    Ok(())
}

#[tokio::test]
async fn a_person_who_is_removed_from_the_channel_is_refused_at_once() -> Result<()> {
    let harness = Harness::new().await?;
    let dm = harness.server.direct(&harness.bot, &harness.bob);
    let _host = harness.start().await?;
    harness.answer(&harness.bob.post(&dm, "whoami")).await?;
    harness.server.remove(&harness.ops, &harness.bob);
    let after = harness.bob.post(&dm, "whoami");
    until("the refusal is posted", || refusals(&harness, &dm).len() == 1).await?;
    ensure!(harness.bot.replies(&after).is_empty(), "answered: {:?}", harness.bot.replies(&after));
    Ok(())
}

#[tokio::test]
async fn a_direct_message_waits_for_the_lookup_of_its_author_and_no_other_message_does() -> Result<()> {
    let harness = Harness::new().await?;
    let (eve, of_eve) = stranger(&harness);
    let of_bob = harness.server.direct(&harness.bot, &harness.bob);
    harness.server.faults(|faults| faults.members_away = true);
    let host = harness.start().await?;
    let mut asked = vec![harness.bob.post(&of_bob, "whoami")];
    let ignored = eve.post(&of_eve, "whoami");
    harness.answer(&harness.alice.post(&harness.ops, "!whoami")).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    ensure!(
        harness.bot.posts(&of_bob).is_empty() && harness.bot.posts(&of_eve).is_empty(),
        "a failed lookup counted as a result"
    );
    host.kill();
    asked.push(harness.bob.post(&of_bob, "whoami"));
    let _host = harness.start().await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    ensure!(harness.bot.posts(&of_bob).is_empty(), "{:?}", harness.bot.posts(&of_bob));
    harness.server.faults(|faults| faults.members_away = false);
    harness.each_once(&asked).await?;
    until("the refusal is posted", || refusals(&harness, &of_eve).len() == 1).await?;
    ensure!(harness.bot.replies(&ignored).is_empty(), "{:?}", harness.bot.replies(&ignored));
    Ok(())
}

#[tokio::test]
async fn a_channel_that_cannot_be_asked_is_no_reason_to_refuse_and_one_other_suffices() -> Result<()> {
    let harness = Harness::new().await?;
    let other = harness.server.channel("eng", "other");
    let carol = harness.server.person("carol");
    for who in [&harness.bot, &carol] {
        harness.server.put(&other, who);
    }
    let (eve, of_eve) = stranger(&harness);
    harness.server.faults(|faults| faults.forbidden = [harness.ops.clone()].into());
    let config = harness.table(&harness.server.url()).replace("\"eng/ops\"", "\"eng/ops\", \"eng/other\"");
    let _host = harness.start_with(&config).await?;
    let ignored = eve.post(&of_eve, "whoami");
    harness.answer(&carol.post(&harness.server.direct(&harness.bot, &carol), "whoami")).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    ensure!(
        harness.bot.posts(&of_eve).is_empty(),
        "a failed lookup counted as a result: {:?}",
        harness.bot.posts(&of_eve)
    );
    harness.server.faults(|faults| faults.forbidden.clear());
    until("the refusal is posted", || refusals(&harness, &of_eve).len() == 1).await?;
    ensure!(harness.bot.replies(&ignored).is_empty(), "{:?}", harness.bot.replies(&ignored));
    Ok(())
}

#[tokio::test]
async fn an_admin_needs_no_membership_and_a_program_gets_no_refusal() -> Result<()> {
    let harness = Harness::new().await?;
    let (other, _) = harness.server.bot("other-bot");
    let carol = harness.server.person("carol");
    let config = format!("{}[people]\nadmins = [\"{}\"]\n", harness.table(&harness.server.url()), carol.id());
    let _host = harness.start_with(&config).await?;
    let dm = harness.server.direct(&harness.bot, &other);
    other.post(&dm, "whoami");
    harness.answer(&carol.post(&harness.server.direct(&harness.bot, &carol), "whoami")).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    ensure!(harness.bot.posts(&dm).is_empty(), "{:?}", harness.bot.posts(&dm));
    Ok(())
}

#[tokio::test]
async fn the_policy_can_allow_everybody_or_nobody() -> Result<()> {
    let harness = Harness::new().await?;
    let (eve, of_eve) = stranger(&harness);
    let of_bob = harness.server.direct(&harness.bot, &harness.bob);
    let with = |policy: &str| format!("{}direct = \"{policy}\"\n", harness.table(&harness.server.url()));
    let host = harness.start_with(&with("everybody")).await?;
    harness.answer(&eve.post(&of_eve, "whoami")).await?;
    ensure!(harness.server.calls("GET", &format!("/channels/{}/members", harness.ops)) == 0, "a lookup without need");
    host.stop().await?;
    let _host = harness.start_with(&with("nobody")).await?;
    let ignored = harness.bob.post(&of_bob, "whoami");
    until("the refusal is posted", || refusals(&harness, &of_bob).len() == 1).await?;
    ensure!(refusals(&harness, &of_bob)[0].message.contains("do not answer direct messages"));
    harness.answer(&harness.bob.post(&harness.ops, "!whoami")).await?;
    ensure!(harness.bot.replies(&ignored).is_empty(), "{:?}", harness.bot.replies(&ignored));
    Ok(())
}

#[tokio::test]
async fn a_deletion_follows_the_same_policy() -> Result<()> {
    for leaves in [true, false] {
        let harness = Harness::new().await?;
        let dm = harness.server.direct(&harness.bot, &harness.bob);
        let config = harness.with_approvals();
        let host = harness.start_with(&config).await?;
        let command = harness.bob.post(&dm, COMMAND);
        until("a job", || harness.store.all_jobs().len() == 1 && !harness.bot.posts(&dm).is_empty()).await?;
        host.stop().await?;
        if leaves {
            harness.server.remove(&harness.ops, &harness.bob);
        }
        let _host = harness.start_with(&config).await?;
        harness.answer(&harness.alice.post(&harness.ops, "!whoami")).await?;
        harness.bob.delete(&command);
        let is_over = || harness.store.all_jobs().iter().all(|job| job.end.is_some());
        if leaves {
            tokio::time::sleep(Duration::from_millis(800)).await;
            ensure!(!is_over(), "a person who is in no channel cancelled the job");
            ensure!(
                refusals(&harness, &dm).iter().all(|post| !post.message.contains("members of my channels")),
                "refused without a new message"
            );
        } else {
            until("the job is cancelled", is_over).await?;
        }
    }
    Ok(())
}
