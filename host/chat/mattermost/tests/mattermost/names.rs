//! Tests of names: a name that a message brings is not used, and a handle belongs to the account that has it now.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use wardroom::store::Store as _;

use crate::{
    harness::{Harness, repository, until},
    people::{COMMAND, asking},
};

/// Returns a configuration in which Alice grants roles in chat.
fn with_grants(harness: &Harness) -> String {
    let guests = std::env::var_os("WARDROOM_GUESTS").map_or_else(|| repository().join("guests"), PathBuf::from);
    let (head, alice, guests) = (harness.table(&harness.server.url()), harness.alice.id(), guests.display());
    format!(
        r#"{head}
[people]
admins = ["{alice}"]
tell   = "eng/ops"

[role.deployer]
commands      = ["script-app"]
apps          = ["*"]
environments  = ["staging"]
grant_in_chat = true

[environment.staging]

[app.cms]
owners = ["{alice}"]

[app.cms.deploy.staging]
memory = true

[plugin.scripted]
module = "{guests}/scripted.wasm"

[plugin.auth]
module = "{guests}/auth.wasm"

[[plugin.auth.allow]]
call = ["access.grant", "access.revoke"]
role = ["deployer"]

[[plugin.auth.allow]]
call = "access.list"
"#
    )
}

/// Returns the fields of a post whose author chose another name for it.
fn under_the_name(name: &str) -> Value {
    json!({ "message": "hello", "props": { "from_webhook": "true", "override_username": name } })
}

/// Returns the ids of the people with a grant.
async fn granted(harness: &Harness) -> Result<Vec<String>> {
    Ok(harness.store.grants().await?.into_iter().map(|grant| grant.person.id).collect())
}

/// Alice types a command that grants a role to the person `name`. Returns the answers.
async fn grant(harness: &Harness, name: &str) -> Result<String> {
    let asked = harness.alice.post(&harness.ops, &format!("!auth {name} cms staging"));
    until("an answer", || !harness.bot.replies(&asked).is_empty()).await?;
    until("the job has ended", || harness.store.all_jobs().iter().all(|job| job.end.is_some())).await?;
    Ok(harness.bot.replies(&asked).into_iter().map(|post| post.message).collect::<Vec<_>>().join("\n"))
}

#[tokio::test]
async fn an_approver_is_mentioned_by_the_name_of_their_account() -> Result<()> {
    let harness = Harness::new().await?;
    harness.server.allow_username_override(true);
    let _host = harness.start_with(&harness.with_approvals()).await?;
    // The server gives `System` as the author of this notice, and the chosen name as the author of the next post.
    let carol = harness.server.person("carol");
    harness.bob.add(&harness.ops, &carol);
    harness.answer(&harness.alice.post(&harness.ops, "!whoami")).await?;
    harness.alice.post(&harness.ops, COMMAND);
    let asks = asking(&harness, 1).await?;
    ensure!(asks.message.contains("@bob") && !asks.message.contains("System"), "{}", asks.message);
    let name = "x\n@channel **read this**";
    harness.server.post_with(&harness.ops, &harness.bob, &under_the_name(name));
    harness.answer(&harness.alice.post(&harness.ops, "!whoami")).await?;
    harness.alice.post(&harness.ops, &COMMAND.replace("1.0", "1.1"));
    let asks = asking(&harness, 2).await?;
    ensure!(asks.message.contains("@bob") && !asks.message.contains("channel"), "{}", asks.message);
    Ok(())
}

#[tokio::test]
async fn a_chosen_name_is_no_handle() -> Result<()> {
    let harness = Harness::new().await?;
    harness.server.allow_username_override(true);
    let (dave, eve) = (harness.server.person("dave"), harness.server.person("eve"));
    harness.server.put(&harness.ops, &eve);
    let _host = harness.start_with(&with_grants(&harness)).await?;
    harness.server.post_with(&harness.ops, &eve, &under_the_name("dave"));
    harness.answer(&eve.post(&harness.ops, "!whoami")).await?;
    // Dave is not in the channel yet.
    let answer = grant(&harness, "@dave").await?;
    ensure!(answer.contains("There is no person `@dave`") && granted(&harness).await?.is_empty(), "{answer}");
    harness.server.put(&harness.ops, &dave);
    let answer = grant(&harness, "@Dave").await?;
    ensure!(granted(&harness).await? == [dave.id()], "{answer}");
    Ok(())
}

#[tokio::test]
async fn a_renamed_account_does_not_keep_its_handle() -> Result<()> {
    let harness = Harness::new().await?;
    let eve = harness.server.person("dave");
    harness.server.put(&harness.ops, &eve);
    let _host = harness.start_with(&with_grants(&harness)).await?;
    harness.answer(&eve.post(&harness.ops, "!whoami")).await?;
    harness.answer(&harness.alice.post(&harness.ops, "!can @dave whoami")).await?;
    eve.rename("eve");
    let answer = grant(&harness, "@dave").await?;
    ensure!(answer.contains("is the display name of") && granted(&harness).await?.is_empty(), "{answer}");
    let dave = harness.server.person("dave");
    harness.server.put(&harness.ops, &dave);
    let requests = harness.server.calls("GET", "/users/username");
    let answer = grant(&harness, "@dave").await?;
    ensure!(granted(&harness).await? == [dave.id()], "{answer}");
    ensure!(harness.server.calls("GET", "/users/username") == requests + 1, "one request for each command");
    // An id needs no request.
    let answer = grant(&harness, harness.bob.id()).await?;
    ensure!(granted(&harness).await?.len() == 2, "{answer}");
    ensure!(harness.server.calls("GET", "/users/username") == requests + 1);
    Ok(())
}

#[tokio::test]
async fn a_handle_that_cannot_be_looked_up_is_refused() -> Result<()> {
    let harness = Harness::new().await?;
    let _host = harness.start_with(&with_grants(&harness)).await?;
    harness.answer(&harness.alice.post(&harness.ops, "!can @bob whoami")).await?;
    harness.server.faults(|faults| faults.users_away = true);
    let answer = grant(&harness, "@bob").await?;
    ensure!(answer.contains("unknown whose handle `@bob` is") && granted(&harness).await?.is_empty(), "{answer}");
    let answer = grant(&harness, harness.bob.id()).await?;
    ensure!(granted(&harness).await? == [harness.bob.id()], "{answer}");
    Ok(())
}

#[tokio::test]
async fn a_mention_with_a_colon_is_the_person_and_a_display_name_is_accepted_where_one_member_has_it() -> Result<()> {
    let harness = Harness::new().await?;
    let _host = harness.start_with(&with_grants(&harness)).await?;
    harness.bob.set_nickname("Robert S.");
    let answer = grant(&harness, "@Bob:").await?;
    ensure!(granted(&harness).await? == [harness.bob.id().to_owned()], "{answer}");
    // A query accepts a display name. An action does not, because anybody can take a display name.
    let asked = harness.alice.post(&harness.ops, "!can \"Robert S.\" auth list");
    let answer = harness.answer(&asked).await?;
    ensure!(answer.message.starts_with(&format!("no: {}", harness.bob.id())), "{answer:?}");
    let answer = grant(&harness, "\"Robert S.\"").await?;
    ensure!(answer.contains("is the display name of") && answer.contains(harness.bob.id()), "{answer}");
    // Two members with one display name are two people.
    let eve = harness.server.person("eve");
    harness.server.put(&harness.ops, &eve);
    eve.set_nickname("Robert S.");
    let asked = harness.alice.post(&harness.ops, "!can \"Robert S.\" auth list");
    let answer = harness.answer(&asked).await?;
    ensure!(answer.message.contains("matches several people") && answer.message.contains(eve.id()), "{answer:?}");
    Ok(())
}
