//! Tests two identities in one host: one for staging and open to everybody, one for production and restricted.

use anyhow::Result;
use wardroom::store::Store as _;

use crate::test_workspace::{TestWorkspace, account};

const CONFIG: &str = r##"
[bot.marvin]
environments = ["staging"]
[bot.marvin.memory]
rooms = ["ops", "lobby"]

[bot.bender]
prefix       = "?"
environments = ["production"]
[bot.bender.memory]
rooms = ["ops", "vault"]

[people]
admins = ["alice"]
tell   = "vault"

[role.visitor]
members      = ["everyone"]
commands     = ["deploy", "where"]
apps         = ["*"]
environments = ["staging"]

[role.deployer]
members       = ["bob"]
commands      = ["deploy", "where"]
apps          = ["*"]
environments  = ["staging", "production"]
grant_in_chat = true

[environment.staging]
[environment.production]
approval = { count = 1, from = "deployer", within = "5m" }

[app.cms]
room = "vault"
[app.cms.deploy.staging]
memory     = true
parameters = { version = "[0-9.]+" }
[app.cms.deploy.production]
memory     = true
parameters = { version = "[0-9.]+" }

[plugin.deploy]
module = "{guests}/deploy.wasm"
[[plugin.deploy.allow]]
call        = "pipelines.trigger"
environment = ["staging", "production"]
[[plugin.deploy.allow]]
call = ["pipelines.wait", "catalog.*"]

[plugin.auth]
module = "{guests}/auth.wasm"
[[plugin.auth.allow]]
call = "access.*"
"##;

const NOTIFY: &str = r#"
[[notify]]
on           = ["success"]
environments = ["production"]
room         = "vault"
text         = "{title} ({app}) in {environment}: {outcome} after {took}, asked by {person}"

[[notify]]
on   = ["approval", "rights", "not-approved", "cancelled", "failure"]
room = "lobby"
"#;

fn has(said: &[String], words: &str) -> bool {
    said.iter().any(|line| line.contains(words))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_identity_answers_its_own_lines_and_acts_in_its_own_environments() -> Result<()> {
    let workspace = TestWorkspace::new()?;
    let open = workspace.open(CONFIG, None).await?;
    open.say("dave", "ops", "!deploy cms staging 1.0.0").await?;
    assert!(
        has(&workspace.said("marvin"), "ops: | cms: deployed version 1.0.0 to staging"),
        "{:?}",
        workspace.said("marvin")
    );
    assert!(workspace.said("bender").is_empty(), "it was not spoken to");
    // The refusal names the identity that may touch the environment.
    open.say("bob", "ops", "!deploy cms production 1.0.0").await?;
    let refused = "ops: bot `marvin` may not change environment `production`, only `staging`; use bot `bender`";
    assert!(has(&workspace.said("marvin"), refused), "{:?}", workspace.said("marvin"));
    open.say("bob", "ops", "bender: deploy cms staging 1.0.0").await?;
    let refused = "bot `bender` may not change environment `staging`, only `production`; use bot `marvin`";
    assert!(has(&workspace.said("bender"), refused), "{:?}", workspace.said("bender"));
    open.say("bob", "ops", "?whoami").await?;
    assert!(has(&workspace.said("bender"), "You are bob (bob). The bot is bender."), "{:?}", workspace.said("bender"));
    assert_eq!(workspace.pipelines.runs().len(), 1, "nothing else ran");
    open.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_one_identity_is_no_command_for_another() -> Result<()> {
    let workspace = TestWorkspace::new()?;
    let open = workspace.open(CONFIG, None).await?;
    // A bot's message is ignored even if an operator's text in it begins like a command.
    open.say(&account("bender"), "ops", "!deploy cms staging 1.0.0").await?;
    open.say(&account("bender"), "ops", "marvin: whoami").await?;
    open.say(&account("marvin"), "ops", "?whoami").await?;
    assert!(workspace.said("marvin").is_empty() && workspace.said("bender").is_empty());
    assert!(workspace.pipelines.runs().is_empty() && workspace.store.all_lines().is_empty());
    open.close().await
}

#[test]
fn rooms_of_an_absent_identity_are_reported() -> Result<()> {
    let workspace = TestWorkspace::new()?;
    assert_eq!(workspace.rooms_of_absent(CONFIG, "marvin")?, ["vault"]);
    let config = format!("{CONFIG}{NOTIFY}");
    assert_eq!(workspace.rooms_of_absent(&config, "bender")?, ["lobby"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_is_asked_for_in_the_apps_room_by_an_identity_in_it() -> Result<()> {
    let workspace = TestWorkspace::new()?;
    let open = workspace.open(CONFIG, None).await?;
    open.say("alice", "ops", "?deploy cms production 1.0.0").await?;
    let said = workspace.said("bender");
    assert!(said.iter().any(|line| line.starts_with("vault: ") && line.contains("approve")), "{said:?}");
    open.say("bob", "vault", "?approve").await?;
    open.settle().await?;
    assert!(
        has(&workspace.said("bender"), "ops: | cms: deployed version 1.0.0 to production"),
        "{:?}",
        workspace.said("bender")
    );
    open.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_through_one_identity_does_not_count_through_another() -> Result<()> {
    let workspace = TestWorkspace::new()?;
    let open = workspace.open(CONFIG, None).await?;
    workspace.members("marvin", "ops", &["alice", "carol"]);
    open.say("alice", "ops", "!auth carol cms staging").await?;
    // A grant is announced in a room that only the other identity has joined.
    assert!(has(&workspace.said("bender"), "vault: Rights: alice"), "{:?}", workspace.said("marvin"));
    open.say("carol", "ops", "!whoami").await?;
    assert!(has(&workspace.said("marvin"), "Role deployer, granted by alice"), "{:?}", workspace.said("marvin"));
    open.say("carol", "ops", "?whoami").await?;
    assert!(has(&workspace.said("bender"), "You are carol"), "{:?}", workspace.said("bender"));
    assert!(!has(&workspace.said("bender"), "Role deployer"), "{:?}", workspace.said("bender"));
    open.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_for_all_environments_covers_those_of_its_identity_only() -> Result<()> {
    let workspace = TestWorkspace::new()?;
    let open = workspace.open(CONFIG, None).await?;
    workspace.members("marvin", "ops", &["alice", "carol"]);
    open.say("alice", "ops", "!auth carol cms").await?;
    open.say("bob", "vault", "?approve").await?;
    open.say("alice", "ops", "?deploy cms production 1.0.0").await?;
    let job = workspace.store.jobs(&Default::default()).await?.into_iter().find(|job| job.command == "deploy");
    let id = job.map(|job| job.id).unwrap_or_default();
    for words in [format!("!approve {id}"), format!("?approve {id}"), format!("?cancel {id}"), format!("!cancel {id}")]
    {
        open.say("carol", "ops", &words).await?;
    }
    assert!(workspace.pipelines.runs().is_empty(), "{:?} {:?}", workspace.said("marvin"), workspace.said("bender"));
    let open_job = workspace.store.job(&id).await?.is_some_and(|job| job.end.is_none());
    assert!(open_job, "the job waits for an approval: {:?} {:?}", workspace.said("marvin"), workspace.said("bender"));
    open.say("bob", "vault", &format!("?approve {id}")).await?;
    assert_eq!(workspace.pipelines.runs().len(), 1, "{:?}", workspace.said("bender"));
    open.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_to_one_identity_is_not_matched_by_listeners_of_another() -> Result<()> {
    let listen = "[[listen]]\npattern = 'cms'\ncommand = \"where cms\"\n";
    let workspace = TestWorkspace::new()?;
    let open = workspace.open(&format!("{CONFIG}{listen}"), None).await?;
    // The other identity receives the message first, because it comes first by name.
    open.say("bob", "ops", "!where cms").await?;
    open.say("bob", "ops", "marvin: where cms").await?;
    let answers = workspace.said("marvin").iter().filter(|line| line.contains("staging: nothing yet")).count();
    assert_eq!((answers, workspace.said("bender").len()), (2, 0), "{:?}", workspace.said("bender"));
    open.say("bob", "ops", "and what of cms?").await?;
    let all = [workspace.said("marvin"), workspace.said("bender")].concat();
    assert_eq!(all.iter().filter(|line| line.contains("nothing yet")).count(), 3, "once: {all:?}");
    open.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_that_runs_alone_leaves_the_jobs_of_others() -> Result<()> {
    let workspace = TestWorkspace::new()?;
    let open = workspace.open(CONFIG, None).await?;
    open.say("alice", "ops", "?deploy cms production 1.0.0").await?;
    open.close().await?;
    let before = workspace.said("bender").len();
    let open = workspace.open(CONFIG, Some("marvin")).await?;
    open.say("bob", "ops", "!deploy cms production 1.0.0").await?;
    assert!(has(&workspace.said("marvin"), "use bot `bender`"));
    open.say("bob", "ops", "?approve").await?;
    open.settle().await?;
    assert_eq!(workspace.said("bender").len(), before, "it is not there");
    open.close().await?;
    assert!(workspace.pipelines.runs().is_empty());
    let open = workspace.open(CONFIG, Some("bender")).await?;
    open.say("bob", "ops", "?approve").await?;
    open.settle().await?;
    assert_eq!(workspace.pipelines.runs().len(), 1, "{:?}", workspace.said("bender"));
    open.close().await
}

#[test]
fn identities_that_would_answer_the_same_line_are_a_problem() -> Result<()> {
    let workspace = TestWorkspace::new()?;
    let problems = workspace.problems(&CONFIG.replace("prefix       = \"?\"", "prefix = \"!\""));
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let line = "[bot.marvin] and [bot.bender] would both answer the same line in `ops`";
    assert!(lines.len() == 1 && lines[0].contains(line) && lines[0].contains("prefix = \"?\""), "{lines:?}");
    // Two identities in separate rooms may have the same prefix.
    let apart = CONFIG.replace("prefix       = \"?\"", "prefix = \"!\"").replace("[\"ops\", \"vault\"]", "[\"vault\"]");
    assert!(workspace.problems(&apart).is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_is_sent_by_an_identity_in_its_room() -> Result<()> {
    let config = format!("{CONFIG}{NOTIFY}");
    let workspace = TestWorkspace::new()?;
    let open = workspace.open(&config, None).await?;
    open.say("alice", "ops", "!deploy cms staging 1.0.0").await?;
    assert!(!has(&workspace.said("bender"), "cms (cms)"), "that is not production");
    open.say("alice", "ops", "?deploy cms production 1.0.0").await?;
    let said = workspace.said("marvin");
    assert!(has(&said, "lobby: deploy cms production 1.0.0: waits for approval, 0 of 1 (deployer)"), "{said:?}");
    open.say("bob", "vault", "?approve").await?;
    let said = workspace.said("bender");
    assert!(
        has(&said, "vault: cms (cms) in production: succeeded after less than a second, asked by alice"),
        "{said:?}"
    );
    open.say("alice", "ops", "?deploy cms production 1.0.1").await?;
    open.say("bob", "vault", "?deny not today {job}").await?;
    let said = workspace.said("marvin");
    assert!(said.iter().any(|line| line.starts_with("lobby: ") && line.contains("not today {job}")), "{said:?}");
    open.close().await
}

#[test]
fn a_notice_that_no_identity_can_send_is_a_problem() -> Result<()> {
    let workspace = TestWorkspace::new()?;
    let wrong = "[[notify]]\non = [\"succes\"]\nenvironments = [\"prodution\"]\ntext = \"{titel}\"\n";
    let problems = workspace.problems(&format!("{CONFIG}{wrong}"));
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    for words in
        ["`succes` is not an event", "no environment `prodution`", "`{titel}` is not a placeholder", "has no `room`"]
    {
        assert!(lines.iter().any(|line| line.contains(words)), "{words}: {lines:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn people_without_a_role_get_a_limited_number_of_answers() -> Result<()> {
    let workspace = TestWorkspace::new()?;
    let open = workspace.open(CONFIG, None).await?;
    let count = || workspace.said("marvin").iter().filter(|line| line.contains("For more about a command")).count();
    for _ in 0..30 {
        open.say("mallory", "ops", "!help").await?;
    }
    assert_eq!(count(), 8, "{:?}", workspace.said("marvin"));
    for _ in 0..30 {
        open.say("bob", "ops", "!help").await?;
    }
    assert_eq!(count(), 38, "a member of a role gets every answer");
    open.close().await
}
