//! The answers to lines that begin with the prefix and are none of the bot's commands.

use anyhow::{Result, ensure};
use wardroom::adapter::Incoming;

use crate::test_workspace::{TestWorkspace, message};

fn config(key: &str) -> String {
    format!("[bot.marvin]\n{key}\n[bot.marvin.memory]\nrooms = [\"ops\"]\n[people]\nadmins = [\"alice\"]\n")
}

/// Types an unknown command, a query and an unknown command in a direct message. Returns the number of the bot's messages
/// and reactions after each of them.
async fn answers(key: &str) -> Result<[(usize, usize); 3]> {
    let workspace = TestWorkspace::new()?;
    let open = workspace.open(&config(key), None).await?;
    let mut counts = [(0, 0); 3];
    for (number, (line, direct)) in
        [("!play music", false), ("!whoami", false), ("play music", true)].into_iter().enumerate()
    {
        open.receive("ops", |event| {
            let mut incoming: Incoming = message(event, "alice", line);
            incoming.direct = direct;
            incoming
        })
        .await?;
        counts[number] = (workspace.said("marvin").len(), workspace.reactions("marvin").len());
    }
    open.close().await?;
    Ok(counts)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_can_silence_the_answers_to_unknown_commands() -> Result<()> {
    ensure!(answers("").await? == [(1, 0), (2, 0), (3, 0)], "each line is answered by default");
    ensure!(answers("unknown = \"react\"").await? == [(0, 1), (1, 1), (2, 1)], "a reaction in the room");
    ensure!(answers("unknown = \"ignore\"").await? == [(0, 0), (1, 0), (2, 0)], "nothing in the room");
    ensure!(answers("reactions = \"all\"").await? == [(1, 1), (2, 1), (3, 2)], "a reaction and an answer");
    Ok(())
}

#[test]
fn a_choice_that_does_not_exist_is_a_problem_with_the_line_to_write() -> Result<()> {
    let workspace = TestWorkspace::new()?;
    for (key, hint) in [
        ("unknown = \"silent\"", "unknown = \"answer\""),
        ("reactions = \"off\"", "reactions = \"seen\""),
        ("card_after = \"2h\"", "card_after"),
    ] {
        let problems = workspace.problems(&config(key));
        ensure!(problems.len() == 1 && problems[0].to_string().contains(hint), "{key}: {problems:?}");
    }
    Ok(())
}
