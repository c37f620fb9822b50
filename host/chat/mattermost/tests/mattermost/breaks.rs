//! A connection that breaks in every way: nothing is lost, and nothing is done twice.

use std::time::Duration;

use anyhow::{Result, ensure};
use wardroom_fake_mattermost::Age;

use crate::rig::{Rig, until};

#[tokio::test]
async fn a_command_is_answered_in_its_thread() -> Result<()> {
    let rig = Rig::new().await?;
    let _host = rig.start().await?;
    let asked = rig.alice.post(&rig.ops, "!whoami");
    let answer = rig.answer(&asked).await?;
    ensure!(answer.message.contains("alice") && answer.message.contains(rig.alice.id()), "{answer:?}");
    ensure!(answer.props.contains_key("wardroom_key") && answer.props["disable_group_highlight"] == true, "{answer:?}");
    let within = rig.alice.reply(&asked, "@ops-bot: whoami");
    until("an answer in the same thread", || rig.bot.replies(&asked).len() == 2).await?;
    ensure!(rig.bot.replies(&within).is_empty(), "a thread below a thread");
    Ok(())
}

#[tokio::test]
async fn a_cut_connection_is_taken_up_where_it_broke() -> Result<()> {
    let rig = Rig::new().await?;
    let _host = rig.start().await?;
    let mut asked = vec![rig.alice.post(&rig.ops, "!whoami")];
    rig.each_once(&asked).await?;
    let (_, taken_up) = rig.server.connections();
    for _ in 0..3 {
        rig.server.cut();
        asked.push(rig.alice.post(&rig.ops, "!whoami"));
        rig.each_once(&asked).await?;
    }
    ensure!(rig.server.connections().1 > taken_up, "no connection was taken up: {:?}", rig.server.connections());
    Ok(())
}

#[tokio::test]
async fn a_restarted_server_is_met_again_and_read_back() -> Result<()> {
    let rig = Rig::new().await?;
    let _host = rig.start().await?;
    let mut asked = vec![rig.alice.post(&rig.ops, "!whoami")];
    rig.each_once(&asked).await?;
    rig.server.faults(|faults| faults.down = true);
    rig.server.restart();
    asked.push(rig.alice.post(&rig.ops, "!whoami"));
    tokio::time::sleep(Duration::from_millis(700)).await;
    rig.server.faults(|faults| faults.down = false);
    rig.each_once(&asked).await
}

#[tokio::test]
async fn a_connection_on_which_nothing_passes_is_given_up() -> Result<()> {
    let rig = Rig::new().await?;
    let _host = rig.start().await?;
    let mut asked = vec![rig.alice.post(&rig.ops, "!whoami")];
    rig.each_once(&asked).await?;
    rig.server.freeze();
    asked.push(rig.alice.post(&rig.ops, "!whoami"));
    rig.each_once(&asked).await?;
    rig.server.faults(|faults| faults.deaf = true);
    rig.server.cut();
    asked.push(rig.alice.post(&rig.ops, "!whoami"));
    tokio::time::sleep(Duration::from_secs(2)).await;
    rig.server.faults(|faults| faults.deaf = false);
    rig.each_once(&asked).await
}

#[tokio::test]
async fn events_that_come_twice_late_and_unknown_change_nothing() -> Result<()> {
    let rig = Rig::new().await?;
    rig.server.faults(|faults| (faults.twice, faults.swapped, faults.strange) = (true, true, true));
    let _host = rig.start().await?;
    let asked: Vec<String> = (0..20).map(|_| rig.alice.post(&rig.ops, "!whoami")).collect();
    rig.each_once(&asked).await
}

#[tokio::test]
async fn an_answer_whose_sending_nobody_confirmed_is_there_once() -> Result<()> {
    let rig = Rig::new().await?;
    let _host = rig.start().await?;
    rig.server.faults(|faults| faults.lost_answers = 3);
    let mut asked: Vec<String> = (0..5).map(|_| rig.alice.post(&rig.ops, "!whoami")).collect();
    rig.each_once(&asked).await?;
    // And where the server does not remember what it made.
    rig.server.faults(|faults| faults.lost_answers = 1);
    asked.push(rig.alice.post(&rig.ops, "!whoami"));
    until("it is stored", || rig.bot.replies(&asked[5]).len() == 1).await?;
    rig.server.restart();
    rig.each_once(&asked).await?;
    // And where it takes its time.
    rig.server.faults(|faults| faults.slow_posts = Duration::from_millis(400));
    asked.push(rig.alice.post(&rig.ops, "!whoami"));
    tokio::time::sleep(Duration::from_millis(200)).await;
    rig.server.cut();
    rig.each_once(&asked).await
}

#[tokio::test]
async fn a_server_that_limits_or_fails_is_waited_for() -> Result<()> {
    let rig = Rig::new().await?;
    rig.server.faults(|faults| (faults.limited, faults.retry_after) = (2, 1));
    let _host = rig.start().await?;
    let mut asked = vec![rig.alice.post(&rig.ops, "!whoami")];
    rig.each_once(&asked).await?;
    rig.server.faults(|faults| (faults.limited, faults.broken_posts) = (1, 2));
    asked.push(rig.alice.post(&rig.ops, "!whoami"));
    rig.each_once(&asked).await
}

#[tokio::test]
async fn a_proxy_that_drops_the_header_is_answered_by_a_challenge() -> Result<()> {
    let rig = Rig::new().await?;
    rig.server.faults(|faults| faults.no_header = true);
    let _host = rig.start().await?;
    let mut asked = vec![rig.alice.post(&rig.ops, "!whoami")];
    rig.each_once(&asked).await?;
    rig.server.cut();
    asked.push(rig.alice.post(&rig.ops, "!whoami"));
    rig.each_once(&asked).await?;
    ensure!(rig.server.connections().1 == 0, "such a connection is never taken up");
    Ok(())
}

#[tokio::test]
async fn a_server_of_many_years_ago_is_served_the_same() -> Result<()> {
    let rig = Rig::of(Age::Old).await?;
    let host = rig.start().await?;
    let mut asked = vec![rig.alice.post(&rig.ops, "!whoami")];
    rig.each_once(&asked).await?;
    rig.server.cut();
    asked.push(rig.alice.post(&rig.ops, "!whoami"));
    rig.each_once(&asked).await?;
    host.kill();
    asked.push(rig.alice.post(&rig.ops, "!whoami"));
    let _host = rig.start().await?;
    rig.each_once(&asked).await
}
