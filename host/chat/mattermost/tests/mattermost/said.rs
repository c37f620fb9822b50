//! What the bot says: threads, cards that change, files, and what a server does not take.

use anyhow::{Context as _, Result, ensure};
use wardroom::{
    message::Position,
    port::{
        Outcome, Store as _,
        memory::MemoryPipelines,
        store::{OutboxRow, Purpose, Write},
    },
    reply::Text,
};

use crate::rig::{Rig, until};

/// Something in the outbox, as a job would say it.
async fn say(rig: &Rig, key: &str, thread: Option<&str>, text: Text) -> Result<()> {
    let row = OutboxRow {
        key: key.into(),
        bot: "marvin".into(),
        network: "mattermost".into(),
        room: rig.ops.clone(),
        thread: thread.map(str::to_owned),
        purpose: Purpose::Message,
        text,
    };
    rig.store.commit(vec![Write::Say(row)]).await?;
    Ok(())
}

#[tokio::test]
async fn what_does_not_fit_is_a_file_with_an_excerpt() -> Result<()> {
    let rig = Rig::new().await?;
    let lines: Vec<String> = (0..3000).map(|line| format!("line {line} *of* many, @channel")).collect();
    say(&rig, "long", None, Text::lines(lines.join("\n"))).await?;
    let _host = rig.start().await?;
    let said = rig.until_said(&rig.ops, 1).await?;
    let post = said.first().context("a message")?;
    ensure!(post.message.chars().count() < 16_383 && post.message.contains("is in the file"), "{}", post.message);
    ensure!(post.message.contains("line 0 ") && post.message.contains("line 2999 "), "{}", post.message);
    let file = rig.server.file(post.files.first().context("a file")?).context("its words")?;
    ensure!(file == lines.join("\n"), "{} bytes", file.len());
    Ok(())
}

#[tokio::test]
async fn a_server_that_takes_less_or_no_files_gets_what_it_takes() -> Result<()> {
    let rig = Rig::new().await?;
    // It says nothing of its length, and takes less than servers do.
    rig.server.faults(|faults| (faults.longest, faults.hides_longest) = (1500, true));
    say(&rig, "long", None, Text::lines("word ".repeat(700))).await?;
    let host = rig.start().await?;
    let said = rig.until_said(&rig.ops, 1).await?;
    ensure!(said[0].message.chars().count() <= 1500 && !said[0].files.is_empty(), "{said:?}");
    host.kill();
    rig.server.faults(|faults| faults.no_files = true);
    say(&rig, "longer", None, Text::lines("word ".repeat(2000))).await?;
    let _host = rig.start().await?;
    let said = rig.until_said(&rig.ops, 2).await?;
    ensure!(said[1].files.is_empty() && said[1].message.contains("more bytes"), "{said:?}");
    Ok(())
}

#[tokio::test]
async fn words_are_no_markup_and_a_thread_that_is_gone_is_no_reason_to_be_silent() -> Result<()> {
    let rig = Rig::new().await?;
    let root = rig.alice.post(&rig.ops, "small talk");
    rig.alice.delete(&root);
    say(&rig, "k", Some(&root), Text::lines("**@here** [good](https://evil.example.org)")).await?;
    let _host = rig.start().await?;
    let said = rig.until_said(&rig.ops, 1).await?;
    ensure!(said[0].root.is_empty(), "{said:?}");
    ensure!(said[0].message == "\\*\\*@\u{200b}here\\*\\* \\[good\\](https://evil.example.org)", "{said:?}");
    Ok(())
}

#[tokio::test]
async fn a_card_is_one_message_that_changes_and_keeps_its_key() -> Result<()> {
    let mut rig = Rig::new().await?;
    rig.pipelines = MemoryPipelines::new(None);
    let config = rig.with_approvals().replace("approval = { count = 1, from = \"deployer\", within = \"5m\" }", "");
    let _host = rig.start_with(&config).await?;
    let asked = rig.alice.post(&rig.ops, "!drill-place cms production 1.0 trigger:cms/production:1.0 wait");
    until("a card", || rig.bot.posts(&rig.ops).iter().any(|post| post.message.contains("cms"))).await?;
    until("a run", || !rig.pipelines.runs().is_empty()).await?;
    rig.pipelines.end(Outcome::Succeeded);
    let edited = || rig.bot.posts(&rig.ops).iter().any(|post| post.edits > 0 && post.message.contains("cms"));
    until("a card that changed", edited).await?;
    let ended = || {
        rig.server.posts(&rig.ops).iter().any(|post| post.reactions.iter().any(|one| one.emoji == "white_check_mark"))
    };
    until("the mark of its end", ended).await?;
    let posts = rig.server.posts(&rig.ops);
    let card = posts.iter().find(|post| post.edits > 0).context("a card")?;
    ensure!(card.props.contains_key("wardroom_key") && card.props["mentionHighlightDisabled"] == true, "{card:?}");
    let command = posts.iter().find(|post| post.id == asked).context("the command")?;
    ensure!(command.reactions.iter().any(|one| one.emoji == "eyes" && one.user == rig.bot.id()), "{command:?}");
    ensure!(rig.pipelines.runs().len() == 1, "{:?}", rig.pipelines.runs());
    Ok(())
}

#[tokio::test]
async fn a_host_whose_mark_is_older_reads_on_from_it() -> Result<()> {
    let rig = Rig::new().await?;
    let host = rig.start().await?;
    rig.answer(&rig.alice.post(&rig.ops, "!whoami")).await?;
    let mark = rig.store.mark("marvin", "mattermost", &rig.ops).await?.context("a mark")?;
    let position = Position { event: mark.event, at: mark.at };
    let last = rig.server.posts(&rig.ops).iter().map(|post| post.create_at).max().context("a post")?;
    ensure!(position.event.is_some() && position.at.as_millisecond() <= last, "{position:?}");
    host.stop().await
}
