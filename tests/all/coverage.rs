//! Runs every command and every plugin call as a person without the right: each is denied once and journaled once.
//!
//! Invariant: every command and call is denied, except those in the lists of exceptions, which have their reasons.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use wardroom::Engine;

use crate::{
    journal::Journal,
    running_host::{RunningHost, eventually},
    test_host::TestHost,
};

/// Commands that everybody may run.
const OPEN_COMMANDS: &[(&str, &str)] = &[
    ("help", "shows what the asker may run"),
    ("whoami", "shows the asker's own rights"),
    ("can", "shows rules, and no app that the asker may not see"),
    ("plugins", "shows the plugins of which the asker may run a command"),
    ("status", "shows accounts, systems and jobs that the asker has to do with"),
    ("stats", "counts the releases that the asker may see"),
    ("jobs", "shows the jobs that the asker may see"),
    ("job", "shows a job that the asker may see, and asks for the right to start it before it is answered"),
    ("logs", "shows the runs that the asker may see"),
    ("cancel", "asks for the right to start what is called off"),
    ("approve", "asks for the roles that the rule of the approval names"),
    ("deny", "asks for the roles that the rule of the approval names"),
    ("freeze", "shows what is frozen; to freeze something takes the right"),
];

/// Calls that check no right of the person.
const OPEN_CALLS: &[(&str, &str)] = &[
    ("chat.say", "words in the job's own thread need no rule"),
    ("chat.stage", "words on the job's own card need no rule"),
    ("clock.after", "a timer by itself does nothing; to wait for it is a call of its own"),
    ("clock.now", "the time is no secret"),
    ("log.write", "a line in the operator's log needs no rule"),
    ("settings.all", "the operator's words for this plugin need no rule"),
    ("access.list", "who may run a command that lists is shown what they may see, and nothing else is done"),
];

/// Returns a value for a parameter with this name.
fn example(parameter: &str) -> &'static str {
    match parameter {
        "APP" => "cms",
        "ENVIRONMENT" => "staging",
        "VERSION" => "1.0.2",
        "USER" => "operator",
        "WHAT" => "record",
        "WHO" => "me",
        "IN" => "in",
        "SPAN" => "1h",
        "SCRIPT" => "apps",
        _ => "help",
    }
}

const CONFIG: &str = r#"
[bot.marvin.console]
user = "operator"

[people]
admins = ["operator"]

[group.crew]
file = "crew.txt"

[role.crew]
members      = ["group:crew"]
commands     = ["script", "script-app", "auth", "auth revoke"]
apps         = ["*"]
environments = ["*"]

[role.deployer]
commands      = ["deploy"]
apps          = ["*"]
environments  = ["*"]
grant_in_chat = true

[environment.staging]
[environment.production]

[app.cms]
[app.cms.deploy.staging]
run        = ["./sample/deploy.sh", "cms", "staging", "{version}"]
parameters = { version = '[0-9.]+' }
"#;

/// Returns the tables of the built plugins, each with all grants.
fn plugins() -> Result<String> {
    let mut text = String::new();
    let mut files: Vec<_> = fs::read_dir(crate::test_host::guests())?.flatten().map(|entry| entry.path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|ending| ending == "wasm")) {
        let name = file.file_stem().and_then(|name| name.to_str()).context("a guest has a name")?;
        text.push_str(&format!(
            "\n[plugin.{name}]\nmodule = \"{}\"\nallow = [{{ call = \"*.*\", beyond = [\"parameter\"] }}]\n",
            file.display()
        ));
    }
    ensure!(text.matches("[plugin.").count() > 5, "there are guests to look at: {text}");
    Ok(text)
}

fn test_host() -> Result<TestHost> {
    let test_host = TestHost::new(&format!("{CONFIG}{}", plugins()?))?;
    test_host.write("crew.txt", "@erin:example.org\n")?;
    Ok(test_host)
}

/// Returns the usage line of every command, as `help` shows it to an admin.
fn usages(test_host: &TestHost) -> Result<Vec<String>> {
    let ran = test_host.wardroom(&["run"], "help\n")?;
    let usage = |line: &str| Some(line.strip_prefix("  ")?.split("  ").next()?.to_owned());
    let usages: Vec<String> = ran.out.lines().filter_map(usage).collect();
    ensure!(usages.len() > 15, "{}\n{}", ran.out, ran.err);
    Ok(usages)
}

/// Returns the name of a command and a complete line for it.
fn typed(usage: &str) -> (String, String) {
    let is_name = |word: &&str| word.starts_with(|first: char| first.is_ascii_lowercase());
    let name = usage.split(' ').take_while(is_name).collect::<Vec<_>>().join(" ");
    let needed = usage.split(' ').skip_while(is_name).filter(|word| !word.starts_with('[') && !word.ends_with(']'));
    let values: Vec<&str> = needed.map(|word| example(word.trim_end_matches("..."))).collect();
    (name.clone(), [name.as_str(), &values.join(" ")].join(" ").trim_end().to_owned())
}

fn lines(test_host: &TestHost) -> Result<Vec<(String, String)>> {
    let mut journal = Journal::open(&test_host.path("state"))?;
    let rows = journal.texts("select caller_id || '|' || refused || '|' || denials from line order by seq")?;
    let split = |row: String| row.split_once('|').map(|(person, rest)| (person.to_owned(), rest.to_owned()));
    Ok(rows.into_iter().filter_map(split).collect())
}

#[test]
fn every_command_is_denied_to_a_person_without_rights() -> Result<()> {
    let test_host = test_host()?;
    let commands: Vec<(String, String)> = usages(&test_host)?.iter().map(|usage| typed(usage)).collect();
    // Another person types each line, because repeated refusals are rate limited per person.
    let script: Vec<String> = commands
        .iter()
        .enumerate()
        .map(|(number, (_, line))| format!("/as @nobody{number}:example.org\n{line}\n"))
        .collect();
    let ran = test_host.wardroom(&["run"], script.concat())?;
    let lines = lines(&test_host)?;
    let open: BTreeSet<&str> = OPEN_COMMANDS.iter().map(|(name, _)| *name).collect();
    let mut wrong = Vec::new();
    for (number, (name, line)) in commands.iter().enumerate() {
        let person = format!("@nobody{number}:example.org");
        let left: Vec<&String> = lines.iter().filter(|(who, _)| *who == person).map(|(_, left)| left).collect();
        let denied = left.iter().filter(|left| left.starts_with("1|[\"you may not run `")).count();
        let expected = usize::from(!open.contains(name.as_str()));
        if left.len() != 1 || denied != expected {
            wrong.push(format!("`{line}` left {left:?}, and {expected} denial is expected"));
        }
    }
    let gone = open.iter().filter(|name| !commands.iter().any(|(known, _)| known == *name));
    wrong.extend(gone.map(|name| format!("there is no command `{name}`, which the list has")));
    ensure!(wrong.is_empty(), "{}\n{}\n{}", wrong.join("\n"), ran.out, ran.err);
    ensure!(Journal::open(&test_host.path("state"))?.count("select count(*) from job")? == 0, "a job was begun");
    ensure!(test_host.runs().is_empty());
    Ok(())
}

/// Waits until the stored text contains `words`.
fn holds(state: &Path, question: &'static str, count: i64) -> Result<()> {
    eventually(question, || Ok(Journal::open(state)?.count(question)? == count))
}

#[test]
fn every_call_is_denied_after_the_role_is_removed_during_a_wait() -> Result<()> {
    let test_host = test_host()?;
    let mut host = RunningHost::start(&test_host)?;
    host.say("/as @erin:example.org")?;
    host.wait_for("You now type")?;
    // The calls before the sleep run with the right, the calls after it without.
    host.say(
        "script-app cms staging 1.0.2 set:kept:yes later:3600000:script:script=now after:2500 sleep \
         apps rollbacks releases:cms:staging get:kept set:k:v delete:kept keys list call-off \
         trigger:cms/staging:1.0.2 later:3600000:script:script=now pipelines:ci describe:cms/staging \
         status:cms/staging:x output:cms/staging:x tests:cms/staging:x cancel-run:cms/staging:x answer:cms/staging:x \
         after:10 sleep",
    )?;
    holds(&test_host.path("state"), "select count(*) from entry where kind = 'wait'", 1)?;
    test_host.write("crew.txt", "# nobody is left\n")?;
    host.wait_for("Refused: catalog.apps")?;
    // A person without a right on any app may run the command, but not make its calls.
    test_host.write("crew.txt", "@erin:example.org\n")?;
    host.say("auth operator cms")?;
    host.wait_for("Refused: access.grant")?;
    host.say("auth revoke operator cms")?;
    host.wait_for("Refused: access.revoke")?;
    host.finish()?;
    let mut journal = Journal::open(&test_host.path("state"))?;
    let denied = journal.texts("select call from entry where kind = 'denied' order by seq")?;
    let open: BTreeSet<&str> = OPEN_CALLS.iter().map(|(name, _)| *name).collect();
    let mut wrong = Vec::new();
    let calls = Engine::builder().calls().map_err(anyhow::Error::msg)?;
    for row in &calls {
        let count = denied.iter().filter(|call| *call == row.name).count();
        let expected = usize::from(!open.contains(row.name));
        if count != expected {
            wrong.push(format!("{} was denied {count} times, and {expected} is expected", row.name));
        }
    }
    let gone = open.iter().filter(|name| !calls.iter().any(|call| call.name == **name));
    wrong.extend(gone.map(|name| format!("there is no call {name}, which the list has")));
    ensure!(wrong.is_empty(), "{}\n{denied:?}", wrong.join("\n"));
    let role = journal.count("select count(*) from entry where kind = 'denied' and rule like 'no role lets%'")?;
    let owner = journal.count(
        "select count(*) from entry where kind = 'denied' and rule like 'only admins and the owners of `cms`%'",
    )?;
    ensure!((role, owner) == (denied.len() as i64 - 2, 2), "{role} by role, {owner} by owner: {denied:?}");
    ensure!(journal.count("select count(*) from granted")? == 0 && test_host.runs().is_empty(), "something was done");
    Ok(())
}
