//! Tests hostile guests: each attack costs only one failed command, or one plugin that is not loaded.
//!
//! Each test runs a real host with a second, correct plugin, which must reply after the attack.
//! Invariant: after every attack only the test's own runs exist, and the host's memory has not grown.

mod cancel;
mod compiler;
pub(crate) mod guest;
mod memory;

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use crate::{journal::Journal, running_host::RunningHost, test_host::TestHost};

/// Maximum memory of the host in MiB: a debug build with one guest at its memory limit.
const MOST_MIB: u64 = 260;

/// Guests that load. Each has a separate test, here or next to the feature that it attacks.
const RUN: &[&str] = &[
    "amplify",
    "bomb",
    "cancels",
    "deep",
    "elsewhere",
    "endless",
    "flood",
    "foreign",
    "grants",
    "huge-answer",
    "ignores-cancel",
    "imitates",
    "keeps",
    "large",
    "no-answer",
    "not-text",
    "outside",
    "paint",
    "painted-summary",
    "quiet",
    "renames",
    "shout",
    "taken",
    "trap",
];

/// Guests that do not load, with the error for the operator.
const NOT_LOADED: &[(&str, &str)] = &[
    ("asks-in-describe", "`describe` failed: unknown import: `wardroom:plugin/clock@0.1.0#now` has not been defined"),
    (
        "bad-name",
        "`rm -rf` is not a valid name of a command: begin with a lower case letter, and use at most 32 lower case letters, digits \
         and dashes",
    ),
    ("bombs", "it cannot be compiled: "),
    ("born-large", "`describe` failed: it used more than 16 MiB of memory"),
    ("endless-list", "`describe` failed: list pointer/length out of bounds of memory"),
    ("grows-in-describe", "`describe` failed: it used more than 16 MiB of memory"),
    ("host-component", "it imports functions that this host does not provide: wasi:filesystem/preopens@0.2.0"),
    ("loops-in-describe", "`describe` failed: it used more than 500 ms of processor time"),
    ("many-commands", "it describes more than 64 commands or more than 64 settings"),
    ("no-command", "it has no command"),
    ("other-package", "it imports functions that this host does not provide: evil:net/socket@1.0.0.connect"),
    ("starts", "`describe` failed: it used more than 500 ms of processor time"),
    ("taken-alias", "its command `help` is already a command of the host"),
    (
        "two-targets",
        "command `attack`: the parameters `environment` and `word` both name the environment that the action changes; \
         mark the one that it only reads as `source`",
    ),
    ("unknown-function", "import interface `wardroom:plugin/log@0.1.0` is missing function `shout`"),
    ("unknown-interface", "module requires an import interface named `wardroom:plugin/teleport@0.1.0`"),
    (
        "wasi",
        "it imports functions that this host does not provide: wasi_snapshot_preview1.fd_write, \
         wasi_snapshot_preview1.path_open",
    ),
    ("wrong-world", "it does not export the interface `wardroom:plugin/commands`"),
];

const CONFIG: &str = r#"
[bot.marvin.console]
user = "operator"

[people]
admins = ["operator"]

[environment.staging]
[environment.production]

[app.cms]
title = "Content Management System"

[app.cms.deploy.staging]
run        = ["./sample/deploy.sh", "cms", "staging", "{version}"]
parameters = { version = '[0-9]+\.[0-9]+\.[0-9]+' }

[app.cms.deploy.production]
run        = ["./sample/deploy.sh", "cms", "production", "{version}"]
parameters = { version = '[0-9]+\.[0-9]+\.[0-9]+' }

[plugin.deploy]
module = "{guests}/deploy.wasm"
allow  = [{ call = ["pipelines.*", "catalog.*"] }]
"#;

/// The plugin under test, with every grant that an attack could use.
const EVIL: &str = r#"
[plugin.evil]
module = "evil.wasm"
allow  = [{ call = ["pipelines.*", "catalog.*", "store.*", "access.*"] }]
"#;

/// The output of a host whose guest was attacked with some lines.
struct Attack {
    test_host: TestHost,
    said: String,
    log: String,
}

impl Attack {
    /// Types lines to a host with this guest, then runs a command of the correct plugin.
    fn run(name: &str, limits: &str, lines: &[&str]) -> Result<Self> {
        Self::run_bytes(&guest::build(name)?, limits, lines)
    }

    fn run_bytes(bytes: &[u8], limits: &str, lines: &[&str]) -> Result<Self> {
        let test_host = TestHost::new(&format!("{CONFIG}{EVIL}{limits}"))?;
        fs::write(test_host.path("evil.wasm"), bytes)?;
        let mut host = RunningHost::start(&test_host)?;
        for line in lines {
            host.say(line)?;
        }
        host.say("where cms")?;
        host.wait_for("production: nothing yet")?;
        let peak = host.peak_mib()?;
        let log = host.log();
        let (status, said) = host.finish()?;
        ensure!(status.success(), "{status}: {log}");
        ensure!(peak < MOST_MIB, "the host had {peak} MiB");
        Ok(Self { test_host, said: said.join("\n"), log })
    }

    /// Checks that the output contains `words`.
    fn contains(&self, words: &str) -> Result<()> {
        ensure!(self.said.contains(words), "missing: `{words}` in:\n{}\n{}", short(&self.said), self.log);
        Ok(())
    }

    /// Checks that the output does not contain `words`.
    fn lacks(&self, words: &str) -> Result<()> {
        ensure!(!self.said.contains(words), "found: `{words}` in:\n{}", short(&self.said));
        Ok(())
    }

    /// Checks that no pipeline was started and no job is open.
    fn nothing_done(&self) -> Result<()> {
        ensure!(self.test_host.runs().is_empty(), "runs: {:?}", self.test_host.runs());
        let mut journal = Journal::open(&self.test_host.path("state"))?;
        ensure!(journal.count("select count(*) from entry where kind = 'intent'")? == 0, "{}", journal.listing()?);
        ensure!(journal.count("select count(*) from release")? == 0, "{}", journal.listing()?);
        ensure!(journal.listing()?.ends_with("waiting in the inbox 0, in the outbox 0\n"), "{}", journal.listing()?);
        Ok(())
    }
}

/// Removes indentation, so that the lines of a text can be compared.
fn short(text: &str) -> String {
    text.lines().map(|line| line.chars().take(300).chain(['\n']).collect::<String>()).collect()
}

#[test]
fn every_hostile_guest_has_a_test() -> Result<()> {
    let mut tried: Vec<String> =
        RUN.iter().copied().chain(NOT_LOADED.iter().map(|(name, _)| *name)).map(str::to_owned).collect();
    tried.sort();
    ensure!(tried == guest::names()?, "the test tried {tried:?}, but the folder has {:?}", guest::names()?);
    Ok(())
}

#[test]
fn an_invalid_plugin_is_not_loaded_and_the_reason_is_reported() -> Result<()> {
    let mut config = CONFIG.to_owned();
    let test_host = TestHost::new(CONFIG)?;
    let harmless = guest::harmless()?;
    let mut wanted: Vec<(String, &str)> = Vec::new();
    let mut bytes: Vec<(String, Vec<u8>)> = Vec::new();
    for (name, why) in NOT_LOADED {
        bytes.push(((*name).to_owned(), guest::build(name)?));
        wanted.push(((*name).to_owned(), why));
    }
    let made: [(&str, Vec<u8>, &str); 6] = [
        (
            "empty",
            Vec::new(),
            "the file is not a WebAssembly module or component: it does not begin with the bytes of a WebAssembly \
             header",
        ),
        (
            "noise",
            (0..4096_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect(),
            "the file is not a WebAssembly module or component: it does not begin with the bytes of a WebAssembly \
             header",
        ),
        (
            "half",
            harmless[..harmless.len() / 2].to_vec(),
            "the file is not a WebAssembly module or component: unexpected end-of-file",
        ),
        (
            "half-component",
            {
                let whole = guest::component(&harmless)?;
                whole[..whole.len() / 2].to_vec()
            },
            "the file is not a WebAssembly module or component: unexpected end-of-file",
        ),
        (
            "newer",
            guest::harmless_of("0.2.0")?,
            "it is built for wardroom:plugin@0.2.0, but this host has wardroom:plugin@0.1.0; rebuild it for this \
             version",
        ),
        ("bare", wat::parse_str("(module)")?, "it does not export the interface `wardroom:plugin/commands`"),
    ];
    for (name, made, why) in made {
        bytes.push((name.to_owned(), made));
        wanted.push((name.to_owned(), why));
    }
    for (name, bytes) in &bytes {
        fs::write(test_host.path(format!("{name}.wasm")), bytes)?;
        config.push_str(&format!("\n[plugin.{name}]\nmodule = \"{name}.wasm\"\nallow = [{{ call = [\"**\"] }}]\n"));
    }
    test_host.configure(&config)?;

    let checked = test_host.wardroom(&["check"], "")?;
    ensure!(checked.code == Some(2), "{checked:?}");
    for (name, why) in &wanted {
        let line = checked.err.lines().find(|line| line.contains(&format!("plugin {name} is not loaded: ")));
        let line = line.with_context(|| format!("{name} is not among the problems:\n{}", checked.err))?;
        ensure!(line.contains(why), "got: {line}\nexpected the reason: {why}");
        ensure!(!line.contains('\u{1b}'), "{line:?}");
    }
    let ran = test_host.wardroom(&["run"], "plugins\nattack\nwhere cms\n")?;
    ensure!(ran.code == Some(0), "{ran:?}");
    ensure!(ran.out.matches(": not loaded: ").count() == wanted.len(), "{}", ran.out);
    ensure!(ran.out.contains("Unknown command `attack`") || ran.out.contains("which is not loaded"), "{}", ran.out);
    ensure!(ran.out.contains("production: nothing yet"), "{}", ran.out);
    ensure!(test_host.runs().is_empty());
    Ok(())
}

#[test]
fn a_complete_component_is_accepted() -> Result<()> {
    for bytes in [guest::harmless()?, guest::component(&guest::harmless()?)?] {
        let attack = Attack::run_bytes(&bytes, "", &["attack", "peek"])?;
        attack.contains("attack: succeeded")?;
        ensure!(attack.said.lines().filter(|line| *line == "| fine").count() == 2, "{}", attack.said);
        attack.nothing_done()?;
    }
    Ok(())
}

#[test]
fn an_endless_loop_is_stopped_while_other_commands_are_answered() -> Result<()> {
    let test_host = TestHost::new(&format!("{CONFIG}{EVIL}limits = {{ cpu = \"4s\" }}\n"))?;
    fs::write(test_host.path("evil.wasm"), guest::build("endless")?)?;
    let mut host = RunningHost::start(&test_host)?;
    host.say("whoami")?;
    host.wait_for("You may type")?;
    // Start more loops than the machine has processors.
    for _ in 0..4 {
        host.say("attack &")?;
        host.say("peek &")?;
    }
    let asked = Instant::now();
    host.say("where cms &")?;
    host.wait_for("production: nothing yet")?;
    let took = asked.elapsed();
    ensure!(
        !host.said().iter().any(|line| line.contains("was stopped")),
        "the loops were over already: {:?}",
        host.said()
    );
    // The host promises one second. The test allows more, because the machine may be busy.
    ensure!(took < Duration::from_secs(3), "{took:?}");
    for _ in 0..8 {
        host.wait_for("was stopped: it used more than 4000 ms of processor time")?;
    }
    host.say("where cms")?;
    host.wait_for("production: nothing yet")?;
    let (status, _) = host.finish()?;
    ensure!(status.success());
    Ok(())
}

#[test]
fn deep_recursion_is_stopped() -> Result<()> {
    let attack = Attack::run("deep", "", &["attack", "attack"])?;
    attack.contains("`attack` was stopped: its function calls are nested too deeply.")?;
    attack.nothing_done()
}

#[test]
fn a_trap_is_a_failed_command() -> Result<()> {
    let attack = Attack::run("trap", "", &["attack", "peek"])?;
    attack.contains("`attack` crashed: wasm trap: wasm `unreachable` instruction executed.")?;
    attack.contains("`peek` crashed: wasm trap: integer divide by zero")?;
    attack.nothing_done()
}

#[test]
fn a_huge_reply_is_rejected() -> Result<()> {
    // Test one reply that exceeds the guest's memory, and one that does not.
    let attack = Attack::run("huge-answer", "", &["attack", "peek"])?;
    attack.contains("`attack` was stopped: it used more than 32 MiB of memory.")?;
    attack.nothing_done()?;
    let attack = Attack::run("huge-answer", "limits = { memory_mib = 64 }\n", &["attack", "peek"])?;
    attack.contains("`attack` was stopped: it passed more than 1048576 bytes to the host.")?;
    attack.contains("`peek` was stopped: it passed more than 1048576 bytes to the host")?;
    attack.lacks("aaaaaaaaaa")?;
    attack.nothing_done()
}

#[test]
fn invalid_text_and_a_missing_reply_are_failed_commands() -> Result<()> {
    for name in ["not-text", "outside", "no-answer"] {
        let attack = Attack::run(name, "", &["attack", "peek"])?;
        attack.contains("`attack` crashed: ")?;
        attack.contains("`peek` crashed: ")?;
        attack.nothing_done()?;
    }
    Ok(())
}

#[test]
fn a_flood_of_calls_is_stopped() -> Result<()> {
    let attack = Attack::run("flood", "", &["attack", "peek"])?;
    attack.contains("`attack` was stopped: it made more than 1000 host calls.")?;
    attack.contains("`peek` was stopped: it made more than 1000 host calls")?;
    attack.nothing_done()
}

#[test]
fn a_huge_argument_is_rejected() -> Result<()> {
    let attack = Attack::run("shout", "", &["attack", "peek"])?;
    attack.contains("`attack` was stopped: it passed more than 1048576 bytes to the host.")?;
    attack.contains("`peek` was stopped: it passed more than 1048576 bytes to the host")?;
    attack.nothing_done()
}

#[test]
fn a_list_with_one_large_item_repeated_many_times_is_rejected() -> Result<()> {
    let attack = Attack::run("amplify", "", &["attack"])?;
    attack.contains("`attack` was stopped: it passed more than 1048576 bytes to the host.")?;
    attack.nothing_done()
}

#[test]
fn an_effect_with_arguments_that_were_not_typed_is_denied() -> Result<()> {
    let attack = Attack::run("elsewhere", "", &["attack cms staging 1.0.2", "attack", "peek"])?;
    attack.contains("Refused: pipelines.trigger cms/staging version 1.0.0")?;
    attack.contains("Refused: pipelines.trigger cms/production version 1.0.2")?;
    attack.contains(
        "the command `attack cms staging 1.0.2` does not contain version `1.0.0`; \
         to allow this, an operator can add beyond = [\"version\"] to plugins.toml line 28",
    )?;
    attack.contains(
        "the command `attack cms staging 1.0.2` does not contain environment `production`; \
         to allow this, an operator can add beyond = [\"environment\"] to plugins.toml line 28",
    )?;
    attack.contains("the command `attack` does not contain app `cms`, environment `production`, version `1.0.2`;")?;
    attack.contains("`peek` is a query, and a query cannot call pipelines.trigger (kind `acts`)")?;
    attack.nothing_done()
}

#[test]
fn a_plugin_cannot_grant_a_role_that_was_not_typed() -> Result<()> {
    let attack = Attack::run("grants", "", &["attack cms staging 1.0.2", "attack", "peek"])?;
    attack.contains(
        "the command `attack` does not name both a person and an app; \
         a plugin can grant or revoke a role only for the person and the app in the command",
    )?;
    attack.contains("the command `attack cms staging 1.0.2` does not name both a person and an app;")?;
    attack.contains("`peek` is a query, and a query cannot call access.grant (kind `acts`)")?;
    ensure!(Journal::open(&attack.test_host.path("state"))?.count("select count(*) from granted")? == 0);
    attack.nothing_done()
}

#[test]
fn a_reply_after_a_denied_call_is_marked_with_the_denial() -> Result<()> {
    let attack = Attack::run("quiet", "", &["attack cms staging 1.0.2"])?;
    attack.contains("attack cms staging 1.0.2: succeeded with warnings")?;
    attack.contains("Refused: pipelines.trigger cms/production version 1.0.2")?;
    attack.nothing_done()
}

#[test]
fn a_query_cannot_store_or_wait_and_keys_have_a_length_limit() -> Result<()> {
    let attack = Attack::run("keeps", "", &["attack", "peek"])?;
    attack.contains("a key must have 1 to 512 bytes, but the given key has 513")?;
    attack.contains("`peek` is a query, and a query cannot call store.set (kind `keeps`)")?;
    attack.contains("`peek` is a query, and a query cannot call pipelines.wait (kind `waits`)")?;
    ensure!(Journal::open(&attack.test_host.path("state"))?.count("select count(*) from value")? == 0);
    attack.nothing_done()
}

#[test]
fn a_run_of_another_job_is_not_found() -> Result<()> {
    let test_host = TestHost::new(&format!("{CONFIG}{EVIL}"))?;
    fs::write(test_host.path("evil.wasm"), guest::build("foreign")?)?;
    let mut host = RunningHost::start(&test_host)?;
    host.say("deploy cms staging 1.0.2")?;
    host.wait_for("deployed version 1.0.2")?;
    let runs = test_host.runs();
    let [run] = runs.as_slice() else { anyhow::bail!("runs: {runs:?}") };
    host.say(&format!("attack --word={run}"))?;
    host.wait_for(&format!("this job has no run `{run}`"))?;
    host.say("attack --word=../../../etc/passwd")?;
    host.wait_for("this job has no run `../../../etc/passwd`")?;
    host.say("where cms")?;
    host.wait_for("staging: 1.0.2 since")?;
    let (status, _) = host.finish()?;
    ensure!(status.success());
    ensure!(test_host.runs() == runs);
    Ok(())
}

#[test]
fn control_characters_are_stripped_from_guest_text() -> Result<()> {
    for (name, lines) in [("paint", ["attack", "peek"]), ("painted-summary", ["help", "help attack"])] {
        let attack = Attack::run(name, "", &lines)?;
        for text in [&attack.said, &attack.log] {
            let odd = text.chars().find(|letter| (letter.is_control() && *letter != '\n') || *letter == '\u{202e}');
            ensure!(odd.is_none(), "{name}: {odd:?} in {text:?}");
        }
        attack.nothing_done()?;
    }
    Ok(())
}

#[test]
fn a_plugin_cannot_imitate_a_text_of_the_host() -> Result<()> {
    let attack = Attack::run("imitates", "", &["attack", "peek"])?;
    for imitated in ["requested by operator", "The plan:", "  1. pipelines.trigger", "Answer until"] {
        let shown: Vec<&str> = attack.said.lines().filter(|line| line.contains(imitated)).collect();
        // A message and a reply of the job, a message and a failure of the query.
        ensure!(shown.len() == 4, "{shown:?}");
        ensure!(shown.iter().all(|line| line.starts_with("| ")), "{shown:?}");
    }
    attack.contains("`peek` failed:\n| `attack` (job 7f3ak")?;
    attack.nothing_done()
}

#[test]
fn a_run_without_a_waiting_plugin_is_followed_to_its_end() -> Result<()> {
    let granted = r#"
[plugin.evil]
module = "evil.wasm"
allow  = [{ call = "pipelines.trigger", app = ["cms"], beyond = ["app", "environment", "version"] }]
"#;
    let test_host = TestHost::new(&format!("{CONFIG}{granted}"))?;
    fs::write(test_host.path("evil.wasm"), guest::build("elsewhere")?)?;
    let ran = test_host.wardroom(&["run"], "attack\nwhere cms\n")?;
    for environment in ["staging", "production"] {
        ensure!(
            ran.out.contains(&format!("The job's run of the pipeline `cms/{environment}` succeeded after")),
            "{}\n{}",
            ran.out,
            ran.err
        );
        ensure!(ran.out.contains(&format!("  {environment}: 1.0.")), "{}\n{}", ran.out, ran.err);
    }
    Ok(())
}

#[test]
fn a_plugin_cannot_take_over_a_command_of_another() -> Result<()> {
    // The plugin is first in the file, so that the order cannot protect `deploy`.
    let (before, after) = CONFIG.split_once("[plugin.deploy]\n").context("the plugin")?;
    let answer = |keys: &str| -> Result<String> {
        let test_host = TestHost::new(&format!("{before}{EVIL}[plugin.deploy]\n{keys}{after}"))?;
        fs::write(test_host.path("evil.wasm"), guest::build("taken")?)?;
        let ran = test_host.wardroom(&["run"], "history nonsense\n")?;
        Ok(format!("{}{}", ran.out, ran.err))
    };
    let said = answer("")?;
    ensure!(said.contains("Several plugins have the command `history`: evil, deploy."), "{said}");
    let said = answer("commands = [\"history\"]\n")?;
    ensure!(said.contains("Unknown app `nonsense`"), "{said}");
    // A command stays with its plugin while the plugin is not loaded.
    let said = answer("commands = [\"history\", \"nothing\"]\n")?;
    ensure!(said.contains("`history` is a command of plugin `deploy`, which is not loaded."), "{said}");
    Ok(())
}
