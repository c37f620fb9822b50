//! Every command that the host suggests can be typed as it is printed.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use wardroom::{adapter::Incoming, model::Outcome};

use crate::test_workspace::{TestWorkspace, message};

const CONFIG: &str = r#"
[bot.marvin]
prefix = "!"

[bot.marvin.memory]
rooms = ["ops"]

[people]
admins = ["alice"]

[role.deployer]
members      = ["bob", "carol"]
commands     = ["deploy", "rollback", "where", "freeze", "unfreeze"]
apps         = ["*"]
environments = ["staging", "production"]

[environment.staging]

[environment.production]
approval = { count = 1, from = "deployer", within = "5m" }

[app.cms.deploy.staging]
memory     = true
parameters = { version = "[0-9.]+" }

[app.cms.deploy.production]
memory     = true
parameters = { version = "[0-9.]+" }

[[alias]]
typed   = "ship VERSION"
command = "deploy cms staging {VERSION}"

[plugin.deploy]
module = "{guests}/deploy.wasm"

[[plugin.deploy.allow]]
call        = "pipelines.trigger"
environment = ["staging", "production"]

[[plugin.deploy.allow]]
call = ["pipelines.wait", "catalog.*"]

[plugin.rollback]
module = "{guests}/rollback.wasm"

[[plugin.rollback.allow]]
call        = "pipelines.trigger"
environment = ["staging", "production"]
beyond      = ["version"]

[[plugin.rollback.allow]]
call = ["pipelines.wait", "catalog.*"]
"#;

/// Returns the commands that a text suggests: each begins with the prefix, and ends with its backquote or line.
fn suggested(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in text.lines() {
        for (at, _) in line.match_indices('!') {
            let rest = &line[at..];
            if rest[1..].starts_with(char::is_alphabetic) {
                let end = if line[..at].ends_with('`') { rest.find('`') } else { None };
                found.push(rest[..end.unwrap_or(rest.len())].trim().to_owned());
            }
        }
    }
    found
}

/// Returns whether a line names a value that the person must fill in, such as `VERSION`.
fn has_placeholder(line: &str) -> bool {
    let is_placeholder = |word: &str| word.len() > 1 && word.chars().all(|letter| letter.is_ascii_uppercase());
    line.split_whitespace().any(|word| is_placeholder(word.trim_matches(['[', ']', '.'])))
}

/// Types lines that the host answers with suggestions, and then each suggestion as it is printed. Returns the
/// suggestions.
async fn type_suggestions(outcome: Outcome, lines: &[(&str, &str)]) -> Result<BTreeSet<String>> {
    let workspace = TestWorkspace::with_runs(outcome)?;
    let open = workspace.open(CONFIG, None).await?;
    for (person, line) in lines {
        open.say(person, "ops", line).await?;
    }
    let said = workspace.said("marvin");
    let suggestions: BTreeSet<String> = said.iter().flat_map(|text| suggested(text)).collect();
    for line in suggestions.iter().filter(|line| !has_placeholder(line)) {
        let before = workspace.said("marvin").len();
        open.say("carol", "ops", line).await?;
        let answers = workspace.said("marvin").split_off(before);
        ensure!(!answers.is_empty(), "`{line}` is not answered");
        let is_refused = |answer: &String| answer.contains("Unknown ") || answer.contains("Try:");
        ensure!(!answers.iter().any(is_refused), "`{line}` is answered: {answers:?}");
    }
    open.close().await?;
    Ok(suggestions)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_suggested_command_can_be_typed_as_it_is_printed() -> Result<()> {
    let typed = [
        ("bob", "!please deploy cms staging 1.0.2"),
        ("bob", "!deploy cms 1.0.2 to staging"),
        ("bob", "!deploy cms stagin 1.0.2"),
        ("bob", "!dploy cms staging 1.0.2"),
        ("bob", "!deploy cms staging 1.0.2 #x --dry-run"),
        ("bob", "!ship"),
        ("alice", "!nonsense"),
        ("alice", "!help"),
        ("alice", "!help deploy"),
        ("alice", "!deploy cms staging 1.0.1"),
        ("alice", "!deploy cms staging 1.0.2"),
        ("alice", "!deploy cms production 1.0.2"),
        ("carol", "!job"),
        ("carol", "!job 7f3ak what"),
        ("carol", "!unfreeze staging"),
    ];
    let suggestions = type_suggestions(Outcome::Succeeded, &typed).await?;
    for known in ["!help", "!deploy cms staging 1.0.2", "!rollback cms staging"] {
        ensure!(suggestions.contains(known), "`{known}` is not in {suggestions:?}");
    }
    ensure!(suggestions.iter().any(|line| line.starts_with("!approve ")), "{suggestions:?}");
    let typed = [("alice", "!deploy cms staging 1.0.3"), ("alice", "!rollback cms staging")];
    let suggestions = type_suggestions(Outcome::Failed, &typed).await?;
    ensure!(suggestions.contains("!deploy cms staging 1.0.3"), "{suggestions:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_to_a_message_about_a_job_needs_neither_a_prefix_nor_an_id() -> Result<()> {
    let workspace = TestWorkspace::new()?;
    let open = workspace.open(CONFIG, None).await?;
    for version in ["1.0.1", "1.0.2"] {
        open.say("alice", "ops", &format!("!deploy cms production {version}")).await?;
    }
    // Two jobs wait, so only the relation of the message says which one is meant.
    let asked: Vec<String> = workspace.events("marvin", "`deploy cms production 1.0.1`");
    ensure!(asked.len() == 1, "{:?}", workspace.said("marvin"));
    let reply = |words: &str, on: &str| {
        let (words, on) = (words.to_owned(), on.to_owned());
        move |event: String| {
            let mut incoming: Incoming = message(event, "bob", &words);
            incoming.reply_to = Some(on.clone());
            incoming
        }
    };
    let before = workspace.said("marvin").len();
    open.receive("ops", reply("I approve of this", &asked[0])).await?;
    open.receive("ops", reply("approve", "another-message")).await?;
    ensure!(workspace.said("marvin").len() == before, "talk is not answered: {:?}", workspace.said("marvin"));
    open.receive("ops", reply("approve", &asked[0])).await?;
    // The job has ended, so a second approval does not count for the other job.
    open.receive("ops", reply("approve", &asked[0])).await?;
    let said = workspace.said("marvin");
    let deployed = |version: &str| said.iter().any(|text| text.contains(&format!("deployed version {version}")));
    ensure!(deployed("1.0.1") && !deployed("1.0.2"), "{said:?}");
    open.close().await
}
