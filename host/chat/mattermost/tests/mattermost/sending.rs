//! Tests of sent messages: threads, edited cards, files, and limits of the server.

use anyhow::{Context as _, Result, ensure};
use wardroom::{
    adapter::{MemoryPipelines, Position},
    base::Text,
    model::Outcome,
    store::{OutboxKind, OutboxRow, Store as _, Write},
};

use crate::harness::{Harness, until};

/// Puts a message into the outbox, as a job does.
async fn say(harness: &Harness, key: &str, thread: Option<&str>, text: Text) -> Result<()> {
    let row = OutboxRow {
        key: key.into(),
        bot: "marvin".into(),
        network: "mattermost".into(),
        room: harness.ops.clone(),
        thread: thread.map(str::to_owned),
        purpose: OutboxKind::Message,
        text,
    };
    harness.store.commit(vec![Write::Send(row)]).await?;
    Ok(())
}

#[tokio::test]
async fn a_text_that_does_not_fit_is_sent_as_a_file_with_an_excerpt() -> Result<()> {
    let harness = Harness::new().await?;
    let lines: Vec<String> = (0..3000).map(|line| format!("line {line} *of* many, @channel")).collect();
    say(&harness, "long", None, Text::lines(lines.join("\n"))).await?;
    let _host = harness.start().await?;
    let posts = harness.until_posted(&harness.ops, 1).await?;
    let post = posts.first().context("a message")?;
    ensure!(
        post.message.chars().count() < 16_383 && post.message.contains("shortened; the attached file has all"),
        "{}",
        post.message
    );
    ensure!(post.message.contains("line 0 ") && post.message.contains("line 2999 "), "{}", post.message);
    let file = harness.server.file(post.files.first().context("a file")?).context("its content")?;
    ensure!(file == lines.join("\n"), "{} bytes", file.len());
    Ok(())
}

#[tokio::test]
async fn a_message_is_shortened_where_the_server_accepts_less_or_no_files() -> Result<()> {
    let harness = Harness::new().await?;
    // The server does not report its limit, which is lower than usual.
    harness.server.faults(|faults| (faults.longest, faults.hides_longest) = (1500, true));
    say(&harness, "long", None, Text::lines("word ".repeat(700))).await?;
    let host = harness.start().await?;
    let posts = harness.until_posted(&harness.ops, 1).await?;
    ensure!(posts[0].message.chars().count() <= 1500 && !posts[0].files.is_empty(), "{posts:?}");
    host.kill();
    // Attachments are forbidden, too large or switched off; the file store fails; a post with a file is forbidden.
    for (index, status) in [403, 413, 501, 500, 0].into_iter().enumerate() {
        harness.server.faults(|faults| (faults.refuses_files, faults.refuses_posts_with_files) = (status, status == 0));
        say(&harness, &format!("longer {status}"), None, Text::lines("word ".repeat(2000))).await?;
        say(&harness, &format!("next {status}"), None, Text::lines("next")).await?;
        let host = harness.start().await?;
        let posts = harness.until_posted(&harness.ops, 3 + 2 * index).await?;
        let cut = &posts[1 + 2 * index];
        ensure!(cut.files.is_empty() && cut.message.contains("more bytes"), "{status}: {cut:?}");
        ensure!(cut.message.contains("The attached file with the whole text is missing"), "{cut:?}");
        ensure!(cut.message.chars().count() <= 1500, "{status}: {cut:?}");
        ensure!(posts[2 + 2 * index].message == "next", "{status}: {posts:?}");
        host.kill();
    }
    Ok(())
}

#[tokio::test]
async fn text_is_escaped_and_sent_to_the_channel_where_its_thread_is_gone() -> Result<()> {
    let harness = Harness::new().await?;
    let root = harness.alice.post(&harness.ops, "small talk");
    harness.alice.delete(&root);
    say(&harness, "k", Some(&root), Text::lines("**@here** [good](https://evil.example.org)")).await?;
    let _host = harness.start().await?;
    let posts = harness.until_posted(&harness.ops, 1).await?;
    ensure!(posts[0].root.is_empty(), "{posts:?}");
    ensure!(posts[0].message == "\\*\\*@\u{200b}here\\*\\* \\[good\\](https://evil.example.org)", "{posts:?}");
    Ok(())
}

#[tokio::test]
async fn a_card_is_one_message_that_is_edited_and_keeps_its_key() -> Result<()> {
    let mut harness = Harness::new().await?;
    harness.pipelines = MemoryPipelines::new(None);
    let config = harness.with_approvals().replace("approval = { count = 1, from = \"deployer\", within = \"5m\" }", "");
    let _host = harness.start_with(&config).await?;
    let asked = harness.alice.post(&harness.ops, "!script-app cms production 1.0 trigger:cms/production:1.0 wait");
    until("a card", || harness.bot.posts(&harness.ops).iter().any(|post| post.message.contains("cms"))).await?;
    until("a run", || !harness.pipelines.runs().is_empty()).await?;
    harness.pipelines.end(Outcome::Succeeded);
    let closed =
        || harness.bot.posts(&harness.ops).iter().any(|post| post.edits > 0 && !post.message.contains("running"));
    until("the closing line in the place of the card", closed).await?;
    let posts = harness.server.posts(&harness.ops);
    let card = posts.iter().find(|post| post.edits > 0).context("a card")?;
    ensure!(card.props.contains_key("wardroom_key") && card.props["mentionHighlightDisabled"] == true, "{card:?}");
    let command = posts.iter().find(|post| post.id == asked).context("the command")?;
    ensure!(command.reactions.iter().any(|one| one.emoji == "eyes" && one.user == harness.bot.id()), "{command:?}");
    ensure!(command.reactions.len() == 1, "the closing line says the outcome: {command:?}");
    ensure!(harness.pipelines.runs().len() == 1, "{:?}", harness.pipelines.runs());
    Ok(())
}

#[tokio::test]
async fn the_cursor_is_the_newest_post() -> Result<()> {
    let harness = Harness::new().await?;
    let host = harness.start().await?;
    harness.answer(&harness.alice.post(&harness.ops, "!whoami")).await?;
    let cursor = harness.store.cursor("marvin", "mattermost", &harness.ops).await?.context("a cursor")?;
    let position = Position { event: cursor.event, at: cursor.at };
    let last = harness.server.posts(&harness.ops).iter().map(|post| post.create_at).max().context("a post")?;
    ensure!(position.event.is_some() && position.at.as_millisecond() <= last, "{position:?}");
    host.stop().await
}
