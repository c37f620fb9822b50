//! Tests jobs that started with an earlier file of their plugin: with a `plugins.lock`, they continue only if the lock
//! file accepts the earlier file. Also tests which commands the lock file keeps for a plugin that is not loaded.
//!
//! Not here: the lock file itself (the story `lock`).

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    hostile::guest,
    journal::Journal,
    running_host::RunningHost,
    test_host::{TestHost, guests},
};

const CONFIG: &str = r#"
[bot.marvin.console]
user = "operator"

[people]
admins = ["operator"]

[plugin.scripted]
module = "mine.wasm"
allow  = [{ call = ["jobs.*", "pipelines.trigger"], beyond = ["parameter"] }, { call = ["pipelines.*", "catalog.*", "store.*"] }]
"#;

/// Creates a host whose database has a scheduled command, which is due, and whose plugin file has changed since.
/// `arguments` are further arguments of `wardroom plugin lock` after the change.
fn changed(arguments: &[&str]) -> Result<TestHost> {
    let test_host = TestHost::new(CONFIG)?;
    test_host.copy_in(&guests().join("scripted.wasm"), "mine.wasm")?;
    lock(&test_host, &[])?;
    let ran =
        test_host.wardroom(&["run", "--locked"], "script later:600000:script:script=later:60000:script:script=now")?;
    ensure!(ran.out.contains("left"), "{} {}", ran.out, ran.err);
    // A custom section changes the digest, and nothing else.
    OpenOptions::new().append(true).open(test_host.path("mine.wasm"))?.write_all(b"\0\x08\x06added!x")?;
    lock(&test_host, arguments)?;
    let due = Journal::tamper(
        &test_host.path("state"),
        "update job set wake = '2000-01-01T00:00:00.000000000Z' where phase = 'later'",
    )?;
    ensure!(due == 1, "{due} commands are scheduled");
    Ok(test_host)
}

fn lock(test_host: &TestHost, arguments: &[&str]) -> Result<()> {
    let ran = test_host.wardroom(&[&["plugin", "lock"], arguments].concat(), "")?;
    ensure!(ran.code == Some(0), "{}", ran.err);
    Ok(())
}

fn start(test_host: &TestHost) -> Result<RunningHost> {
    let mut command = test_host.command(crate::test_host::binary()?);
    command.args(["run", "--locked"]);
    RunningHost::of(test_host, command)
}

#[test]
fn a_job_whose_file_the_lock_does_not_accept_is_held() -> Result<()> {
    let test_host = changed(&[])?;
    let mut host = start(&test_host)?;
    let line = host.wait_for("is held: plugins.lock does not accept the file with the digest sha256:")?;
    ensure!(line.contains("`accepted` of [plugin.scripted] in plugins.lock"), "{line}");
    let (status, said) = host.finish()?;
    ensure!(status.success(), "{said:?}");
    let mut journal = Journal::open(&test_host.path("state"))?;
    ensure!(journal.count("select count(*) from job")? == 2, "the held job has scheduled nothing");
    Ok(())
}

#[test]
fn a_job_with_an_accepted_file_continues_and_schedules_jobs_with_the_current_file() -> Result<()> {
    let test_host = changed(&["--accept-old"])?;
    let mut host = start(&test_host)?;
    host.wait_for("left")?;
    let (status, said) = host.finish()?;
    ensure!(status.success(), "{said:?}");
    let mut journal = Journal::open(&test_host.path("state"))?;
    let digests = journal.texts("select digest from job order by seq")?;
    let (old, new) = (digests.first().context("the first job")?, digests.last().context("the last job")?);
    ensure!(digests.len() == 3 && digests[1] == *old && new != old, "{digests:?}");
    let locked = std::fs::read_to_string(test_host.path("plugins.lock"))?;
    ensure!(locked.contains(&format!("digest = \"{new}\"")) && locked.contains(&format!("    \"{old}\",")), "{locked}");
    Ok(())
}

#[test]
fn a_revoked_file_neither_runs_nor_is_locked() -> Result<()> {
    let test_host = changed(&["--accept-old"])?;
    let path = test_host.path("plugins.lock");
    let revoked = std::fs::read_to_string(&path)?.replace("accepted = [", "revoked = [");
    std::fs::write(&path, revoked)?;
    let mut host = start(&test_host)?;
    host.wait_for("is held: plugins.lock revokes the file with the digest sha256:")?;
    host.kill()?;
    // The operator restores the revoked file by mistake.
    test_host.copy_in(&guests().join("scripted.wasm"), "mine.wasm")?;
    let ran = test_host.wardroom(&["plugin", "lock"], "")?;
    ensure!(ran.code == Some(1) && ran.err.contains("plugin scripted: plugins.lock revokes the file"), "{}", ran.err);
    Ok(())
}

#[test]
fn a_plugin_that_is_not_loaded_keeps_its_aliases() -> Result<()> {
    const BOT: &str = "[bot.marvin.console]\nuser = \"operator\"\n[people]\nadmins = [\"operator\"]\n";
    let table = |name: &str| format!("[plugin.{name}]\nmodule = \"{name}.wasm\"\n");
    let test_host = TestHost::new(BOT)?;
    fs::write(test_host.path("other.wasm"), guest::build("renames")?)?;
    fs::write(test_host.path("evil.wasm"), guest::build("taken")?)?;
    // `plugin lock` refuses two plugins with the same command, so lock each of them alone.
    let mut locked = String::new();
    for name in ["other", "evil"] {
        test_host.configure(&format!("{BOT}{}", table(name)))?;
        lock(&test_host, &[])?;
        locked.push_str(&fs::read_to_string(test_host.path("plugins.lock"))?);
        fs::remove_file(test_host.path("plugins.lock"))?;
    }
    test_host.write("plugins.lock", &locked)?;
    test_host.configure(&format!("{BOT}{}{}", table("other"), table("evil")))?;
    // The second time, the file of the plugin with the alias is missing.
    for _ in 0..2 {
        let ran = test_host.wardroom(&["run"], "history\n")?;
        ensure!(ran.out.contains("Several plugins have the command `history`: other, evil."), "{}{}", ran.out, ran.err);
        let _ = fs::remove_file(test_host.path("other.wasm"));
    }
    Ok(())
}
