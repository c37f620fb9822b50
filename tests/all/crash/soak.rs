//! Runs two hundred jobs at once on a host that is killed repeatedly.
//!
//! Invariant: a printed seed determines all random choices. Half of the runs wait at a gate. A few of them continue in
//! each session and the rest, at least [`FEWEST_OPEN`], after the last kill, so that jobs are open at every kill.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io::Write as _,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use wardroom::{model::Outcome, store::JobOutcome};

use super::{
    random::Random,
    session::{Session, run_session, run_session_with},
    stored_state::stored_state,
};
use crate::{journal::Journal, test_host::TestHost};

/// The number of apps, each with all environments.
const APPS: usize = 18;
const ENVIRONMENTS: usize = 10;
/// The number of further jobs that queue for the first deployment locks.
const IN_LINE: usize = 20;
const KILLS: usize = 30;
/// Maximum duration of a session in milliseconds. The shortest sessions end before a job resumes.
const LONGEST: usize = 900;

/// Maximum number of runs that are let through the gate in one session.
const MOST_THROUGH: usize = 4;
/// The number of runs that wait at the gate until the last kill is over.
const FEWEST_OPEN: usize = 10;

/// A script that appends its arguments to `started`, and waits at the gate for some versions.
const SCRIPT: &str = "#!/bin/sh
echo \"$1 $2\" >>started
case $3 in
gate) read -r _ <gate ;;
*) sleep \"$3\" ;;
esac
";

/// Returns the configuration and the number of runs that wait at the gate.
fn config(random: &mut Random) -> (String, usize) {
    let mut gated = 0;
    let mut text = "[bot.marvin.console]\nuser = \"operator\"\n\n[people]\nadmins = [\"operator\"]\n".to_owned();
    for environment in 0..ENVIRONMENTS {
        text.push_str(&format!("\n[environment.e{environment}]\n"));
    }
    for app in 0..APPS {
        text.push_str(&format!("\n[app.a{app}]\n"));
        for environment in 0..ENVIRONMENTS {
            // A run for whose lock other jobs wait is quick.
            let first = app * ENVIRONMENTS + environment < IN_LINE;
            let how = match random.below(2) {
                0 if !first => {
                    gated += 1;
                    "gate".to_owned()
                }
                _ => format!("{}.{}", random.below(3), random.below(10)),
            };
            text.push_str(&format!(
                "[app.a{app}.deploy.e{environment}]\nrun = [\"./work.sh\", \"a{app}/e{environment}\", \"{{version}}\", \"{how}\"]\n\
                 parameters = {{ version = '[0-9.]+' }}\n"
            ));
        }
    }
    text.push_str(
        "\n[plugin.deploy]\nmodule = \"{guests}/deploy.wasm\"\nallow = [{ call = [\"pipelines.*\", \"catalog.*\"] }]\n",
    );
    (text, gated)
}

/// Returns all commands, each with the line that its run writes.
fn commands() -> Vec<(String, String)> {
    let places = || (0..APPS * ENVIRONMENTS).map(|place| (place / ENVIRONMENTS, place % ENVIRONMENTS));
    let mut all = Vec::new();
    for (version, rest) in [("1.0", APPS * ENVIRONMENTS), ("2.0", IN_LINE)] {
        for (app, environment) in places().take(rest) {
            let command = format!("deploy a{app} e{environment} {version} --wait");
            all.push((command, format!("a{app}/e{environment} {version}")));
        }
    }
    all
}

/// Returns the number of commands in the inbox.
fn taken(test_host: &TestHost) -> Result<usize> {
    let journal = Journal::open(&test_host.path("state"));
    Ok(journal.and_then(|mut journal| journal.count("select count(*) from inbox")).unwrap_or_default().try_into()?)
}

/// Opens a named pipe from which each waiting run reads a line.
fn gate(test_host: &TestHost) -> Result<File> {
    let path = test_host.path("gate");
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU)?;
    // Open the pipe for reading and writing, so that opening does not block. A run continues when it reads a line.
    Ok(OpenOptions::new().read(true).write(true).open(path)?)
}

#[test]
fn two_hundred_jobs_survive_thirty_kills() -> Result<()> {
    let began = Instant::now();
    let mut random = Random::new();
    let (config, gated) = config(&mut random);
    let test_host = TestHost::new(&config)?;
    test_host.script("work.sh", SCRIPT)?;
    let mut may_continue = gated.checked_sub(FEWEST_OPEN).context("enough runs wait at the gate")?;
    let mut gate = gate(&test_host)?;

    let mut sessions: Vec<Session> = Vec::new();
    for _ in 0..KILLS {
        let dies = Duration::from_millis(random.below(LONGEST) as u64);
        let first = sessions.is_empty();
        let through = vec![b'\n'; random.below(MOST_THROUGH + 1).min(may_continue)];
        may_continue -= through.len();
        let session = run_session_with(&test_host, None, |input| {
            if first {
                // Type all commands in the first session: a later host resumes open jobs before it reads its input.
                input.say(&commands().into_iter().map(|(command, _)| format!("{command} &\n")).collect::<String>())?;
                input.wait_for("all commands in the inbox", || Ok(taken(&test_host)? == commands().len()))?;
            }
            let born = Instant::now();
            gate.write_all(&through)?;
            input.wait_for("the crash", || Ok(born.elapsed() >= dies))?;
            input.kill()
        })?;
        ensure!(session.crashed(), "the host was killed while jobs were running: {session:#?}");
        session.has_no_internal_error()?;
        sessions.push(session);
    }
    let open = Journal::open(&test_host.path("state"))?.count("select count(*) from job where outcome is null")?;
    gate.write_all(&[b'\n'; 400])?;
    let last = run_session(&test_host, "", None)?;
    last.ended_cleanly()?;
    sessions.push(last);

    let took = began.elapsed().as_secs();
    let _ = writeln!(std::io::stderr(), "the soak: {KILLS} kills, {open} jobs open after the last, {took} s");
    ensure!(usize::try_from(open)? >= FEWEST_OPEN, "jobs were open at each kill: {open}");
    check(&test_host, &sessions)
}

fn check(test_host: &TestHost, sessions: &[Session]) -> Result<()> {
    let state = stored_state(test_host)?;
    state.all_finished()?;
    state.announced_once(sessions)?;
    let wanted: BTreeSet<String> = commands().into_iter().map(|(_, what)| what).collect();
    let started = fs::read_to_string(test_host.path("started"))?;
    let mut starts: BTreeMap<&str, usize> = BTreeMap::new();
    for line in started.lines() {
        *starts.entry(line).or_default() += 1;
    }
    let twice: Vec<_> = starts.iter().filter(|(_, count)| **count != 1).collect();
    ensure!(twice.is_empty(), "pipeline runs were started more than once: {twice:?}");
    ensure!(starts.keys().map(|what| (*what).to_owned()).collect::<BTreeSet<_>>() == wanted, "{starts:?}");

    ensure!(state.jobs.len() == wanted.len(), "each command starts one job: {} jobs", state.jobs.len());
    for job in &state.jobs {
        let end = job.end.as_ref().context("the job is finished")?;
        ensure!(end.outcome == JobOutcome::Succeeded, "{}: {end:?}", job.line);
        let releases = state.releases_of(&job.id);
        ensure!(releases.len() == 1 && releases[0].outcome == Outcome::Succeeded, "{}: {releases:?}", job.line);
    }
    ensure!(state.releases.len() == wanted.len(), "{} releases", state.releases.len());
    Ok(())
}
