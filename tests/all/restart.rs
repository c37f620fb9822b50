//! Tests crashes at chosen times, full disks and dead supervisors: no effect is lost or done twice, and an unknown
//! outcome is reported.
//!
//! Not here: a crash at each write, send and start (`crash`), a homeserver that stops (`live_matrix`), and crashes of
//! only the supervisor (the tests of `exec`).

use std::{fs, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};

use crate::{
    journal::Journal,
    running_host::{RunningHost, eventually},
    test_host::TestHost,
};

/// The script of a pipeline that counts its starts and runs until the file `go` exists.
const SLOW: &str = "#!/bin/sh
echo \"step: $1\"
echo started >> started
until [ -e go ]; do sleep 0.02; done
";

const CONFIG: &str = r#"
[bot.marvin.console]
user = "operator"

[people]
admins = ["operator"]

[environment.slow]
[environment.quick]

[app.it]
title = "It"

[app.it.deploy.slow]
run        = ["./slow.sh", "{version}"]
parameters = { version = '[0-9.]+' }

[app.it.deploy.quick]
run        = ["/bin/echo", "{version}"]
parameters = { version = '[0-9.]+' }

[plugin.deploy]
module = "{guests}/deploy.wasm"
allow  = [{ call = ["pipelines.*", "catalog.*"] }]
"#;

fn test_host() -> Result<TestHost> {
    let test_host = TestHost::new(CONFIG)?;
    test_host.script("slow.sh", SLOW)?;
    Ok(test_host)
}

fn journal(test_host: &TestHost) -> Result<Journal> {
    Journal::open(&test_host.path("state"))
}

/// Returns the number of starts of the slow pipeline.
fn starts(test_host: &TestHost) -> usize {
    fs::read_to_string(test_host.path("started")).unwrap_or_default().lines().count()
}

/// Returns the number of lines that contain `words`.
fn count(said: &[String], words: &str) -> usize {
    said.iter().filter(|line| line.contains(words)).count()
}

/// Types a deployment that does not end, and kills the host while it runs.
fn kill_in_the_middle(test_host: &TestHost) -> Result<()> {
    let mut host = RunningHost::start(test_host)?;
    host.say("deploy it slow 1.0")?;
    eventually("the run's start", || Ok(starts(test_host) == 1))?;
    eventually("the plugin's wait", || {
        Ok(journal(test_host)?.count("select count(*) from entry where kind = 'wait'")? == 1)
    })?;
    let said = host.kill()?;
    ensure!(said.is_empty(), "{said:?}");
    Ok(())
}

#[test]
fn a_run_survives_its_host_and_the_next_host_reports_its_end() -> Result<()> {
    let test_host = test_host()?;
    kill_in_the_middle(&test_host)?;
    let mut host = RunningHost::start(&test_host)?;
    host.wait_for_log("a job resumes after a restart")?;
    fs::write(test_host.path("go"), "")?;
    host.wait_for("It: deployed version 1.0 to slow in")?;
    host.say("history it")?;
    host.wait_for("slow: 1.0 succeeded in")?;
    let (status, said) = host.finish()?;
    ensure!(status.success());
    ensure!(count(&said, "[") == 1 && count(&said, "deploy it slow 1.0: succeeded") == 1, "one card: {said:?}");
    ensure!(count(&said, "It: deployed") == 1, "one closing line: {said:?}");
    ensure!(starts(&test_host) == 1 && test_host.runs().len() == 1, "started once: {:?}", test_host.runs());
    let mut journal = journal(&test_host)?;
    ensure!(journal.count("select count(*) from job")? == 1, "the message was handled once");
    ensure!(journal.count("select count(*) from job where outcome is null")? == 0);
    ensure!(journal.texts("select outcome from release")? == ["succeeded"]);
    ensure!(journal.listing()?.ends_with("waiting in the inbox 0, in the outbox 0\n"), "{}", journal.listing()?);

    // The start after that reports nothing.
    let quiet = test_host.wardroom(&["run"], "")?;
    ensure!(quiet.out.is_empty() && quiet.code == Some(0), "{quiet:?}");
    Ok(())
}

#[test]
fn the_end_of_a_run_during_downtime_is_reported() -> Result<()> {
    let test_host = test_host()?;
    kill_in_the_middle(&test_host)?;
    fs::write(test_host.path("go"), "")?;
    eventually("the run's end", || {
        Ok(test_host
            .runs()
            .first()
            .is_some_and(|run| test_host.path("state/runs").join(run).join("verdict.json").exists()))
    })?;
    let ran = test_host.wardroom(&["run"], "where it\n")?;
    let lines: Vec<&str> = ran.out.lines().collect();
    let ended = lines.iter().position(|line| line.contains("It: deployed version 1.0")).context("how it ended")?;
    let answer = lines.iter().position(|line| line.contains("slow: 1.0 since")).context("the answer")?;
    ensure!(ended < answer, "what was found comes to rest before the first line is read: {lines:?}");
    ensure!(starts(&test_host) == 1);
    Ok(())
}

#[test]
fn an_interrupted_run_ends_as_unknown() -> Result<()> {
    let test_host = test_host()?;
    kill_in_the_middle(&test_host)?;
    let run = test_host.runs().first().context("a run")?.clone();
    let processes = test_host.processes()?;
    ensure!(!processes.is_empty(), "nothing runs");
    for process in processes {
        match rustix::process::kill_process(process, rustix::process::Signal::KILL) {
            // The kernel ends the program with its supervisor.
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => return Err(error.into()),
        }
    }
    ensure!(!test_host.path("state/runs").join(&run).join("verdict.json").exists());
    let ran = test_host.wardroom(&["run"], "history it\n")?;
    ensure!(ran.out.contains("It: the outcome of version 1.0 to slow is unknown: interrupted."), "{}", ran.out);
    ensure!(ran.out.contains("1.0 has an unknown outcome"), "{}", ran.out);
    ensure!(journal(&test_host)?.texts("select outcome from release")? == ["unknown"]);
    ensure!(starts(&test_host) == 1);
    Ok(())
}

#[test]
fn a_received_query_is_answered_once_after_a_restart() -> Result<()> {
    let config = format!(
        "{CONFIG}\n[plugin.peeker]\nmodule = \"peeker.wasm\"\nallow = [{{ call = [\"pipelines.*\"] }}]\nlimits = {{ cpu = \"60s\", wall = \"60s\" }}\n"
    );
    let test_host = test_host()?;
    test_host.configure(&config)?;
    fs::write(test_host.path("peeker.wasm"), crate::hostile::guest::build("endless")?)?;
    let mut host = RunningHost::start(&test_host)?;
    host.say("peek")?;
    eventually("the message in the inbox", || {
        let open = Journal::open(&test_host.path("state"));
        Ok(open.is_ok_and(|mut journal| {
            journal.count("select count(*) from inbox where done = 0").is_ok_and(|count| count == 1)
        }))
    })
    .with_context(|| host.log())?;
    ensure!(host.kill()?.is_empty());
    // The plugin's file is repaired before the restart.
    fs::write(test_host.path("peeker.wasm"), crate::hostile::guest::harmless()?)?;
    let ran = test_host.wardroom(&["run"], "whoami\n")?;
    ensure!(ran.out.lines().next() == Some("| fine"), "{}", ran.out);
    ensure!(ran.out.matches("fine").count() == 1);
    let again = test_host.wardroom(&["run"], "")?;
    ensure!(again.out.is_empty(), "{again:?}");
    ensure!(journal(&test_host)?.count("select count(*) from line where command = 'peek'")? == 1);
    Ok(())
}

#[test]
fn a_received_command_runs_once_whenever_the_host_is_killed() -> Result<()> {
    for delay in [0, 5, 10, 15, 20, 25, 30, 40, 50, 60, 80, 100, 130, 160, 200] {
        let test_host = test_host()?;
        fs::write(test_host.path("go"), "")?;
        let mut host = RunningHost::start(&test_host)?;
        // The random time is within the command, not within the start of the host.
        host.say("whoami")?;
        host.wait_for("You may type")?;
        host.say("deploy it slow 1.0")?;
        std::thread::sleep(Duration::from_millis(delay));
        let before = host.kill()?;
        let taken = journal(&test_host)?.count("select count(*) from inbox where text like 'deploy%'")?;
        let ran = test_host.wardroom(&["run"], "")?;
        ensure!(ran.code == Some(0), "{ran:?}");

        let mut journal = journal(&test_host)?;
        let listing = journal.listing()?;
        let about = format!(
            "killed after {delay} ms:\n{}\n--- restart\n{}\n--- journal\n{listing}",
            before.join("\n"),
            ran.out
        );
        ensure!(journal.count("select count(*) from job")? == taken, "a job for each message: {about}");
        ensure!(journal.count("select count(*) from job where outcome is null")? == 0, "{about}");
        ensure!(listing.ends_with("waiting in the inbox 0, in the outbox 0\n"), "{about}");
        ensure!(
            starts(&test_host) == usize::try_from(taken)? && test_host.runs().len() == starts(&test_host),
            "{about}"
        );
        ensure!(journal.count("select count(*) from release where outcome = 'succeeded'")? == taken, "{about}");
        if taken == 1 {
            let printed = [before.as_slice(), &ran.out.lines().map(str::to_owned).collect::<Vec<_>>()].concat();
            let closings = count(&printed, "It: deployed version 1.0 to slow");
            // A console cannot look up sent lines, so a line right before the kill may be printed again.
            ensure!((1..=2).contains(&closings), "{about}");
        }
    }
    Ok(())
}

#[test]
fn a_host_stops_at_once_on_sigterm_and_its_run_continues() -> Result<()> {
    let test_host = test_host()?;
    let mut host = RunningHost::start(&test_host)?;
    host.say("deploy it slow 1.0")?;
    eventually("the run's start", || Ok(starts(&test_host) == 1))?;
    let (status, took, _) = host.terminate()?;
    ensure!(status.code() == Some(0), "{status}");
    ensure!(took < Duration::from_secs(10), "{took:?}");
    fs::write(test_host.path("go"), "")?;
    let ran = test_host.wardroom(&["run"], "")?;
    ensure!(ran.out.contains("It: deployed version 1.0 to slow in"), "{}", ran.out);
    ensure!(starts(&test_host) == 1);

    let mut idle = RunningHost::start(&test_host)?;
    idle.say("whoami")?;
    idle.wait_for("You may type")?;
    let (status, took, _) = idle.terminate()?;
    ensure!(status.code() == Some(0) && took < Duration::from_secs(5), "{status} {took:?}");
    Ok(())
}

#[test]
fn a_second_host_on_the_same_state_folder_is_refused() -> Result<()> {
    let test_host = test_host()?;
    let mut first = RunningHost::start(&test_host)?;
    first.say("whoami")?;
    first.wait_for("You may type")?;
    let second = test_host.wardroom(&["run"], "deploy it quick 1.0\n")?;
    ensure!(second.code == Some(1), "{second:?}");
    ensure!(second.out.is_empty(), "{second:?}");
    let folder = fs::canonicalize(test_host.path("state"))?;
    let message = format!(
        "another host uses the folder `{}`; stop that host, or set another `url` in `[store]`",
        folder.display()
    );
    ensure!(second.err.contains(&message), "{}\nand not: {message}", second.err);
    // Read-only commands do not disturb the host.
    ensure!(test_host.wardroom(&["audit"], "")?.code == Some(0));
    first.say("deploy it quick 1.0")?;
    first.wait_for("It: deployed version 1.0 to quick")?;
    first.finish()?;
    ensure!(test_host.wardroom(&["run"], "")?.code == Some(0), "the folder is free again");
    Ok(())
}

#[test]
fn a_hundred_concurrent_commands_are_all_answered() -> Result<()> {
    let test_host = test_host()?;
    let mut typed = String::new();
    for number in 0..50 {
        typed.push_str(&format!("deploy it quick 1.{number} --wait &\nwhere it &\n"));
    }
    let ran = test_host.wardroom(&["run"], typed)?;
    ensure!(ran.code == Some(0), "{ran:?}");
    for number in 0..50 {
        let closing = format!("It: deployed version 1.{number} to quick in");
        ensure!(ran.out.matches(&closing).count() == 1, "{closing}:\n{}", ran.out);
    }
    ensure!(ran.out.lines().filter(|line| line.starts_with("|   quick: ")).count() == 50, "{}", ran.out);
    ensure!(test_host.runs().len() == 50);
    let mut journal = journal(&test_host)?;
    ensure!(journal.count("select count(*) from release where outcome = 'succeeded'")? == 50);
    ensure!(journal.listing()?.ends_with("waiting in the inbox 0, in the outbox 0\n"));
    Ok(())
}

/// Starts a host whose state folder is a separate small file system. Also returns the path of that file system from
/// outside.
pub(crate) fn on_a_small_disk(test_host: &TestHost, mount: &str) -> Result<(RunningHost, std::path::PathBuf)> {
    let mut command: Command = test_host.command("unshare");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["--mount", "sh", "-ec", &format!("{mount}\nexec wardroom run")]);
    let host = RunningHost::of(test_host, command)?;
    let state = format!("/proc/{}/cwd/state", host.id().as_raw_nonzero());
    Ok((host, state.into()))
}

#[test]
fn no_run_starts_on_a_full_disk_and_commands_work_again_afterwards() -> Result<()> {
    let test_host = test_host()?;
    fs::write(test_host.path("go"), "")?;
    let (mut host, state) = on_a_small_disk(&test_host, "mount -t tmpfs -o size=4m,mode=0700 none state")?;
    host.say("whoami")?;
    host.wait_for("You may type")?;

    let filler = state.join("filler");
    let full = fs::write(&filler, vec![0_u8; 8 << 20]);
    ensure!(full.is_err(), "the write fails, because the disk is full");
    host.say("deploy it slow 1.0")?;
    host.wait_for_log("cannot store received messages in the inbox")?;
    ensure!(starts(&test_host) == 0 && host.said().iter().all(|line| !line.contains("deployed")));
    ensure!(!host.log().contains("panicked"), "{}", host.log());

    fs::remove_file(&filler)?;
    host.wait_for("It: deployed version 1.0 to slow")?;
    ensure!(starts(&test_host) == 1);
    let (status, _) = host.finish()?;
    ensure!(status.success());
    Ok(())
}

#[test]
fn a_read_only_disk_is_reported_at_the_start() -> Result<()> {
    let test_host = test_host()?;
    let (host, _) = on_a_small_disk(&test_host, "mount -t tmpfs -o ro,mode=0700 none state")?;
    let (code, log) = host.log_when_ended()?;
    ensure!(code == Some(1), "{code:?}: {log}");
    ensure!(log.matches("Read-only file system").count() == 1, "{log}");
    ensure!(log.contains("cannot be used: Read-only file system"), "{log}");
    ensure!(!log.contains("panicked"), "{log}");
    ensure!(starts(&test_host) == 0);
    Ok(())
}

#[test]
fn a_full_disk_is_reported_at_the_start() -> Result<()> {
    let test_host = test_host()?;
    let (host, _) = on_a_small_disk(
        &test_host,
        "mount -t tmpfs -o size=16k,mode=0700 none state\nhead -c 16384 /dev/zero >state/filler || true",
    )?;
    let (code, log) = host.log_when_ended()?;
    ensure!(code == Some(1), "{code:?}: {log}");
    ensure!(log.contains("full") || log.contains("No space left"), "{log}");
    ensure!(!log.contains("panicked"), "{log}");
    Ok(())
}
