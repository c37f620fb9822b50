//! Who cannot be told from a program yet, and who is nobody any more.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::{
    people::{COMMAND, asking},
    rig::{Rig, until},
};

#[tokio::test]
async fn a_message_waits_until_its_author_is_known() -> Result<()> {
    let rig = Rig::new().await?;
    let host = rig.start().await?;
    let mut asked = vec![rig.alice.post(&rig.ops, "!whoami")];
    rig.each_once(&asked).await?;
    rig.server.faults(|faults| faults.users_away = true);
    asked.push(rig.bob.post(&rig.ops, "!whoami"));
    asked.push(rig.alice.post(&rig.ops, "!whoami"));
    tokio::time::sleep(Duration::from_millis(800)).await;
    ensure!(rig.bot.replies(&asked[1]).is_empty(), "heard as a person's");
    rig.server.faults(|faults| faults.users_away = false);
    rig.each_once(&asked).await?;
    rig.server.faults(|faults| faults.users_away = true);
    let carol = rig.server.person("carol");
    asked.push(carol.post(&rig.ops, "!whoami"));
    host.kill();
    let _host = rig.start().await?;
    tokio::time::sleep(Duration::from_millis(800)).await;
    ensure!(rig.bot.replies(&asked[3]).is_empty(), "heard as a person's when it was read back");
    rig.server.faults(|faults| faults.users_away = false);
    rig.each_once(&asked).await
}

#[tokio::test]
async fn a_thumb_waits_until_it_is_known_whose_it_is_and_a_programs_counts_never() -> Result<()> {
    let rig = Rig::new().await?;
    let (other, _) = rig.server.bot("other-bot");
    rig.server.put(&rig.ops, &other);
    let bob = rig.bob.id();
    let with_other = format!("\"{bob}\", \"{}\"]\ncommands", other.id());
    let config = rig.with_approvals().replace(&format!("\"{bob}\"]\ncommands"), &with_other);
    let _host = rig.start_with(&config).await?;
    rig.answer(&rig.alice.post(&rig.ops, "!whoami")).await?;
    rig.server.faults(|faults| faults.users_away = true);
    rig.alice.post(&rig.ops, COMMAND);
    let asks = asking(&rig, 1).await?;
    other.react(&asks.id, "+1");
    tokio::time::sleep(Duration::from_millis(800)).await;
    ensure!(rig.pipelines.runs().is_empty(), "a program approved while nobody knew that it is one");
    rig.server.faults(|faults| faults.users_away = false);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    ensure!(rig.pipelines.runs().is_empty(), "a program approved");
    rig.bob.react(&asks.id, "+1");
    until("it runs", || rig.pipelines.runs().len() == 1).await
}

#[tokio::test]
async fn a_thumb_that_waited_counts() -> Result<()> {
    let rig = Rig::new().await?;
    let _host = rig.start_with(&rig.with_approvals()).await?;
    rig.answer(&rig.alice.post(&rig.ops, "!whoami")).await?;
    rig.server.faults(|faults| faults.users_away = true);
    rig.alice.post(&rig.ops, COMMAND);
    let asks = asking(&rig, 1).await?;
    rig.bob.react(&asks.id, "+1");
    tokio::time::sleep(Duration::from_millis(500)).await;
    ensure!(rig.pipelines.runs().is_empty(), "it was counted before it was known whose it is");
    rig.server.faults(|faults| faults.users_away = false);
    until("it runs", || rig.pipelines.runs().len() == 1).await
}

#[tokio::test]
async fn who_has_no_account_any_more_says_nothing_and_holds_up_nobody() -> Result<()> {
    let rig = Rig::new().await?;
    let eve = rig.server.person("eve");
    rig.server.put(&rig.ops, &eve);
    eve.vanish();
    let host = rig.start().await?;
    let mut asked = vec![rig.alice.post(&rig.ops, "!whoami")];
    let mut unheard = vec![eve.post(&rig.ops, "!whoami")];
    asked.push(rig.alice.post(&rig.ops, "!whoami"));
    rig.each_once(&asked).await?;
    host.kill();
    unheard.push(eve.post(&rig.ops, "!whoami"));
    asked.push(rig.alice.post(&rig.ops, "!whoami"));
    let _host = rig.start().await?;
    asked.push(rig.bob.post(&rig.ops, "!whoami"));
    rig.each_once(&asked).await?;
    for post in unheard {
        ensure!(rig.bot.replies(&post).is_empty(), "answered: {:?}", rig.bot.replies(&post));
    }
    Ok(())
}

#[tokio::test]
async fn what_is_taken_back_while_it_is_read_is_not_done() -> Result<()> {
    let rig = Rig::new().await?;
    let host = rig.start().await?;
    rig.answer(&rig.alice.post(&rig.ops, "!whoami")).await?;
    host.kill();
    let command = rig.alice.post(&rig.ops, COMMAND);
    rig.server.faults(|faults| faults.slow_users = Duration::from_millis(1_500));
    let _host = rig.start().await?;
    // It is found, and who wrote it is being asked.
    tokio::time::sleep(Duration::from_millis(700)).await;
    rig.alice.delete(&command);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    rig.server.faults(|faults| faults.slow_users = Duration::ZERO);
    rig.answer(&rig.alice.post(&rig.ops, "!whoami")).await?;
    ensure!(rig.pipelines.runs().is_empty(), "{:?}", rig.pipelines.runs());
    Ok(())
}
