//! Tests accounts at an identity provider: `link`, the roles of its groups, their end, and approvals by one person with
//! two ids.
//!
//! Not here: the checks of an ID token (`wardroom-oidc`).

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::runtime::Runtime;
use wardroom::{Timestamp, store::Store as _};
use wardroom_fake_oidc::Server;

use crate::{
    running_host::RunningHost,
    test_host::TestHost,
    test_workspace::{Open, TestWorkspace, message},
};

const CONFIG: &str = r##"
[bot.marvin]
environments = ["staging", "production"]
[bot.marvin.memory]
rooms = ["ops", "vault", "dm"]

[people]
admins = ["alice"]
tell   = "vault"

[machine.ci]
ids = ["ci-account"]

[identity.corp]
issuer    = "{issuer}"
client_id = "wardroom"

[group.sre]
identity = "corp"
claim    = "team-sre"

[role.deployer]
members      = ["group:sre", "bob2"]
commands     = ["deploy"]
apps         = ["*"]
environments = ["staging", "production"]

[environment.staging]
[environment.production]
approval = { count = 1, from = "deployer", within = "5m" }

[app.cms]
room = "ops"
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
"##;

struct World {
    provider: Server,
    workspace: TestWorkspace,
}

impl World {
    async fn new() -> Result<Self> {
        Ok(Self { provider: Server::start().await?, workspace: TestWorkspace::new()? })
    }

    async fn open(&self) -> Result<Open<'_>> {
        self.workspace.open(&CONFIG.replace("{issuer}", self.provider.issuer()), None).await
    }

    /// Waits until the bot has said these words `times` times. Returns the last of these messages.
    async fn until(&self, words: &str, times: usize) -> Result<String> {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let said = self.workspace.said("marvin");
            let mut found: Vec<String> = said.iter().filter(|line| line.contains(words)).cloned().collect();
            if found.len() >= times {
                return found.pop().context("at least one");
            }
            ensure!(Instant::now() < until, "timed out waiting for `{words}`: {said:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn last(&self) -> String {
        self.workspace.said("marvin").pop().unwrap_or_default()
    }

    /// Links the account of a person, and waits for the answer.
    async fn link(&self, open: &Open<'_>, person: &str, subject: &str) -> Result<()> {
        let before = self.workspace.said("marvin").iter().filter(|line| line.contains("is linked")).count();
        direct(open, person, "link").await?;
        let code = code(&self.last())?;
        ensure!(self.provider.log_in(&code, subject, &["team-sre", "team-other"]), "{code}");
        self.until("is linked", before + 1).await.map(drop)
    }

    fn runs(&self) -> usize {
        self.workspace.pipelines.runs().len()
    }
}

async fn direct(open: &Open<'_>, person: &str, words: &str) -> Result<()> {
    let message = |event| {
        let mut message = message(event, person, words);
        message.direct = true;
        message
    };
    open.receive("dm", message).await
}

/// Returns the code in the answer to `link`.
fn code(answer: &str) -> Result<String> {
    let after = answer.split_once("type the code ").with_context(|| answer.to_owned())?.1;
    let word = after.split_whitespace().next().context("a word")?;
    Ok(word.trim_matches('`').to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_linked_account_gives_the_roles_of_its_groups_until_the_link_ends() -> Result<()> {
    let world = World::new().await?;
    let open = world.open().await?;
    open.say("bob", "ops", "!deploy cms staging 1.0.0").await?;
    ensure!(world.last().contains("the command needs the role `deployer`"), "{}", world.last());
    // 1. The code is shown only in a direct message, and once.
    open.say("bob", "ops", "!link").await?;
    ensure!(world.last().contains("Type it in a direct message to the bot."), "{}", world.last());
    direct(&open, "bob", "link").await?;
    let answer = world.last();
    let page = format!("dm: Open {}/activate and type the code ", world.provider.issuer());
    ensure!(answer.starts_with(&page) && answer.contains("within 10 min"), "{answer}");
    let code = code(&answer)?;
    direct(&open, "bob", "link").await?;
    ensure!(world.last().contains("You have already asked for a code."), "{}", world.last());
    // 2. The account is linked, and the change of rights is reported.
    ensure!(world.provider.log_in(&code, "subject-1", &["team-sre", "team-other"]));
    let linked = world.until("is linked", 1).await?;
    ensure!(linked.starts_with("dm: Account subject-1 at `corp` is linked, with the groups sre, until 20"), "{linked}");
    let told = world.until("vault: Rights: ", 1).await?;
    ensure!(told.contains("bob linked the account subject-1 at `corp`, with the groups sre, until 20"), "{told}");
    open.say("bob", "ops", "!deploy cms staging 1.0.0").await?;
    ensure!(world.runs() == 1, "{:?}", world.workspace.said("marvin"));
    open.say("bob", "ops", "!whoami").await?;
    ensure!(world.last().contains("Linked account subject-1 at corp: groups sre, until 20"), "{}", world.last());
    // 3. Only groups that the configuration names are stored, and the code is nowhere.
    let links = world.workspace.store.identity_links().await?;
    ensure!(links.len() == 1 && links[0].groups == ["team-sre"], "{links:?}");
    let lines = format!("{:?}", world.workspace.store.all_lines());
    ensure!(lines.contains("link") && !lines.contains(&code), "{lines}");
    // 4. The link outlives a restart.
    open.close().await?;
    let open = world.open().await?;
    open.say("bob", "ops", "!deploy cms staging 1.0.1").await?;
    ensure!(world.runs() == 2, "{:?}", world.workspace.said("marvin"));
    // 5. The link ends, and the role with it.
    world.workspace.clock.set(Timestamp::now() + Duration::from_secs(24 * 3600 + 60));
    open.say("bob", "ops", "!deploy cms staging 1.0.2").await?;
    ensure!(world.runs() == 2 && world.last().contains("the command needs the role `deployer`"), "{}", world.last());
    open.say("bob", "ops", "!whoami").await?;
    ensure!(world.last().contains("The link to account subject-1 at corp ended at 20"), "{}", world.last());
    open.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_id_of_the_same_account_is_no_second_person() -> Result<()> {
    let world = World::new().await?;
    let open = world.open().await?;
    world.link(&open, "bob", "subject-1").await?;
    world.link(&open, "bob2", "subject-1").await?;
    world.link(&open, "carol", "subject-2").await?;
    open.say("bob", "ops", "!deploy cms production 1.0.0").await?;
    open.say("bob2", "ops", "!approve").await?;
    ensure!(world.last().contains("yourself, so somebody else has to approve it"), "{}", world.last());
    // The rule does not depend on a link that its person can end: `bob2` keeps the role by its id.
    direct(&open, "bob2", "unlink").await?;
    open.say("bob2", "ops", "!approve").await?;
    ensure!(world.last().contains("yourself, so somebody else has to approve it"), "{}", world.last());
    ensure!(world.runs() == 0);
    open.say("carol", "ops", "!approve").await?;
    open.settle().await?;
    ensure!(world.runs() == 1, "{:?}", world.workspace.said("marvin"));
    open.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_ids_of_one_account_are_one_approval() -> Result<()> {
    let world = World::new().await?;
    let config = CONFIG.replace("{issuer}", world.provider.issuer()).replace("count = 1", "count = 2");
    let open = world.workspace.open(&config, None).await?;
    world.link(&open, "bob", "subject-1").await?;
    world.link(&open, "bob3", "subject-1").await?;
    world.link(&open, "carol", "subject-2").await?;
    open.say("alice", "ops", "!deploy cms production 1.0.0").await?;
    open.say("bob", "ops", "!approve").await?;
    open.say("bob3", "ops", "!approve").await?;
    ensure!(world.last().contains("you have already approved"), "{}", world.last());
    ensure!(world.runs() == 0);
    open.say("carol", "ops", "!approve").await?;
    open.settle().await?;
    ensure!(world.runs() == 1, "{:?}", world.workspace.said("marvin"));
    open.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn unlinking_and_another_account_end_the_roles_at_once() -> Result<()> {
    let world = World::new().await?;
    let open = world.open().await?;
    direct(&open, "bob", "unlink").await?;
    ensure!(world.last().contains("You have no linked account at `corp`."), "{}", world.last());
    world.link(&open, "bob", "subject-1").await?;
    direct(&open, "bob", "unlink").await?;
    world.until("Rights: bob unlinked the account at `corp`", 1).await?;
    world.until("Your account at `corp` is no longer linked.", 1).await?;
    open.say("bob", "ops", "!deploy cms staging 1.0.0").await?;
    ensure!(world.runs() == 0, "{}", world.last());
    // A person has one account of a provider. The new one has no group of the configuration.
    world.link(&open, "bob", "subject-1").await?;
    direct(&open, "bob", "link").await?;
    ensure!(world.provider.log_in(&code(&world.last())?, "subject-9", &["team-other"]));
    world.until("Account subject-9 at `corp` is linked, with no group of the configuration", 1).await?;
    open.say("bob", "ops", "!deploy cms staging 1.0.0").await?;
    ensure!(world.runs() == 0, "{}", world.last());
    open.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_login_links_nothing_and_can_be_repeated() -> Result<()> {
    let world = World::new().await?;
    let open = world.open().await?;
    world.provider.set(|behaviour| behaviour.status = Some(503));
    direct(&open, "bob", "link").await?;
    ensure!(world.last().contains("The account was not linked: http://127.0.0.1:"), "{}", world.last());
    ensure!(world.last().contains("is unavailable (503). Try again."), "{}", world.last());
    world.provider.set(|behaviour| (behaviour.status, behaviour.refusal) = (None, Some("access_denied")));
    direct(&open, "bob", "link").await?;
    let denied = world.until("The account was not linked: the login was denied.", 1).await?;
    ensure!(denied.ends_with("link` to try again."), "{denied}");
    ensure!(world.workspace.store.identity_links().await?.is_empty());
    world.provider.set(|behaviour| behaviour.refusal = None);
    world.link(&open, "bob", "subject-1").await?;
    // An outage later does not end a link early, and gives nobody a new one.
    world.provider.set(|behaviour| behaviour.status = Some(503));
    open.say("bob", "ops", "!deploy cms staging 1.0.0").await?;
    ensure!(world.runs() == 1, "{}", world.last());
    direct(&open, "ci-account", "link").await?;
    ensure!(world.last().contains("A machine has no account at an identity provider."), "{}", world.last());
    open.close().await
}

#[test]
fn groups_of_providers_are_checked() -> Result<()> {
    let workspace = TestWorkspace::new()?;
    let config = CONFIG.replace("{issuer}", "https://id.example.org");
    ensure!(workspace.problems(&config).is_empty(), "{:?}", workspace.problems(&config));
    let messages = |from: &str, to: &str| {
        let problems = workspace.problems(&config.replace(from, to)).into_iter();
        problems.map(|problem| (problem.message, problem.fix.unwrap_or_default())).collect::<Vec<_>>()
    };
    let group = "identity = \"corp\"\nclaim    = \"team-sre\"";
    for (keys, message, fix) in [
        ("identity = \"crop\"\nclaim = \"x\"", "there is no [identity.crop]", "identity = \"corp\""),
        ("identity = \"other\"\nclaim = \"x\"", "there is no [identity.other]", "[identity.other]"),
        ("identity = \"corp\"\nclaim = \"\"", "`group.sre.claim` is empty", "claim = \"team-sre\""),
        (
            "identity = \"corp\"\nclaim = \"x\"\nfile = \"x\"",
            "`group.sre.file` is not allowed with `identity`",
            "nothing; remove the key",
        ),
    ] {
        assert_eq!(messages(group, keys), [(message.to_owned(), fix.to_owned())], "{keys}");
    }
    for keys in ["claim = \"x\"", "identity = \"corp\""] {
        assert_eq!(messages(group, keys).len(), 1, "{keys}");
    }
    Ok(())
}

/// The configuration of a whole host.
const HOST: &str = r#"
[bot.marvin.console]
user = "operator"

[identity.corp]
issuer    = "{issuer}"
client_id = "wardroom"

[group.sre]
identity = "corp"
claim    = "team-sre"

[role.deployer]
members      = ["group:sre"]
commands     = ["deploy"]
apps         = ["cms"]
environments = ["staging"]

[environment.staging]

[app.cms.deploy.staging]
run        = ["./show.sh", "{version}"]
parameters = { version = '[0-9]+\.[0-9]+\.[0-9]+' }

[plugin.deploy]
module = "{guests}/deploy.wasm"
allow  = [{ call = ["pipelines.*", "catalog.*"] }]
"#;

#[test]
fn a_whole_host_links_an_account_and_keeps_the_code_to_the_direct_message() -> Result<()> {
    let runtime = Runtime::new()?;
    let provider = runtime.block_on(Server::start())?;
    let files = TestHost::new(&HOST.replace("{issuer}", provider.issuer()))?;
    files.script("show.sh", "#!/bin/sh\n")?;
    let checked = files.wardroom(&["check"], "")?;
    ensure!(checked.code == Some(0), "{} {}", checked.out, checked.err);
    ensure!(provider.requests("discovery") == 0, "`check` does not connect");
    let checked = files.wardroom(&["check", "--connect"], "")?;
    let line = "identity.corp: the device flow is available, keys: 3";
    ensure!(checked.out.contains(line), "{} {}", checked.out, checked.err);
    let mut host = RunningHost::start(&files)?;
    host.say("link")?;
    let code = code(&host.wait_for("type the code")?)?;
    ensure!(provider.log_in(&code, "subject-1", &["team-sre"]));
    host.wait_for("is linked, with the groups sre, until")?;
    host.say("whoami")?;
    host.wait_for("Role deployer")?;
    host.say("deploy cms staging 1.0.0")?;
    host.wait_for("succeeded")?;
    let log = host.log();
    let (status, _) = host.finish()?;
    ensure!(status.success() && !log.contains(&code) && !log.contains("device-code"), "{log}");
    for entry in std::fs::read_dir(files.path("state"))?.flatten().filter(|entry| entry.path().is_file()) {
        let bytes = std::fs::read(entry.path())?;
        for text in [code.as_str(), "device-code", "access-token-4711", "eyJ"] {
            let is_in = bytes.windows(text.len()).any(|window| window == text.as_bytes());
            ensure!(!is_in, "`{text}` is in {}", entry.path().display());
        }
    }
    let verified = files.wardroom(&["journal", "verify"], "")?;
    ensure!(verified.code == Some(0), "{} {}", verified.out, verified.err);
    Ok(())
}
