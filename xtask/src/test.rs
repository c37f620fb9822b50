//! `cargo xtask test`: installs missing programs, builds everything and runs the tests.
//!
//! Invariant: a missing program, a failed build and an ignored test are failures. The whole workspace is built with one
//! set of features. A separate set per package would compile the heavy dependencies several times.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::slowest::{self, Slowest};
use crate::step::{Steps, seconds};
use crate::{guests, openbao, process, synapse, workspace};

/// One line of the summary.
struct Row {
    what: String,
    took: Duration,
    counts: Counts,
    error: Option<String>,
}

/// The results of test programs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    passed: usize,
    failed: usize,
    ignored: usize,
}

/// Environment variables for the tests. Each value is a path.
type Paths = Vec<(&'static str, PathBuf)>;

/// The arguments of `cargo xtask test`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection<'a> {
    /// If set, only tests whose name contains the text run.
    filter: Option<&'a str>,
    /// `--all`: tests that normally sample many combinations run all of them.
    all: bool,
}

impl<'a> Selection<'a> {
    /// Parses `[--all] [FILTER]`. Returns `None` for other arguments.
    pub(crate) fn parse(arguments: &[&'a str]) -> Option<Self> {
        let mut selection = Self::default();
        for argument in arguments {
            match *argument {
                "--all" => selection.all = true,
                filter if !filter.starts_with('-') && selection.filter.is_none() => selection.filter = Some(filter),
                _ => return None,
            }
        }
        Some(selection)
    }
}

pub(crate) fn run(selection: &Selection<'_>) -> Result<()> {
    let started = Instant::now();
    let mut steps = Steps::new(PREPARATIONS.len() + 4);
    let mut rows = Vec::new();
    let mut paths: Paths = vec![("WARDROOM_GUESTS", workspace::guests())];

    for (what, variable, prepare) in PREPARATIONS {
        let (outcome, took) = steps.timed(what, prepare);
        let error = outcome.as_ref().err().map(|error| format!("{error:#}"));
        paths.extend(variable.zip(outcome.ok()));
        rows.push(Row { what: (*what).to_owned(), took, counts: Counts::default(), error });
    }
    let mut slowest = Slowest::default();
    let whole = || -> Result<Command> {
        let mut cargo = workspace::cargo()?;
        cargo.arg("test").args(workspace::WHOLE).envs(paths.iter().cloned());
        Ok(cargo)
    };
    let guests = || -> Result<Command> {
        let mut cargo = workspace::guests_cargo()?;
        cargo.arg("test");
        Ok(cargo)
    };
    for (what, cargo) in [("the workspace", whole()), ("guests", guests())] {
        let cargo = cargo.map(|cargo| with(cargo, &["--tests", "--config", slowest::RUNNER], selection));
        rows.push(tested(&mut steps, what, cargo, &mut slowest));
    }
    // Run examples in the documentation without the runner, because with a runner they would share one process.
    for (what, cargo) in [("the documentation", whole()), ("the documentation of guests", guests())] {
        let cargo = cargo.map(|cargo| with(cargo, &["--doc"], selection));
        rows.push(tested(&mut steps, what, cargo, &mut slowest));
    }
    let (table, failed) = summary(&rows, started.elapsed());
    std::io::stdout().write_all((slowest.table() + &table).as_bytes())?;
    if failed > 0 {
        bail!("{failed} tests or steps failed");
    }
    Ok(())
}

/// The name of the step, the variable that passes its result to the tests, and the function that runs it.
type Preparation = (&'static str, Option<&'static str>, fn() -> Result<PathBuf>);

/// Steps before the tests.
const PREPARATIONS: &[Preparation] = &[
    ("installing Synapse", Some("WARDROOM_SYNAPSE_VENV"), synapse::install),
    ("installing OpenBao", Some("WARDROOM_OPENBAO"), openbao::install),
    ("building the guests", None, || guests::build(None).map(|()| workspace::guests())),
    ("building the quick host", Some("WARDROOM_BIN_QUICK"), || host("wardroom-quick", &["--package", "wardroom-cli"])),
    ("building the full host", Some("WARDROOM_BIN"), || {
        let everything: Vec<&str> = workspace::WHOLE.iter().copied().chain(["--bins", "--examples"]).collect();
        host("wardroom-full", &everything)
    }),
    // Both were built with the full host.
    ("finding the host with crash points", Some("WARDROOM_FAILPOINTS"), || built("debug/failpoints")),
    ("finding the embedding example", Some("WARDROOM_EMBED"), || built("debug/examples/embed")),
];

/// Returns the path of a program that an earlier step built.
fn built(name: &str) -> Result<PathBuf> {
    let program = workspace::target()?.join(name);
    if program.is_file() { Ok(program) } else { bail!("{} is missing; its build failed", program.display()) }
}

/// Builds the host and copies it to `name`, because the next build of the package replaces it.
fn host(name: &str, what: &[&str]) -> Result<PathBuf> {
    process::run(workspace::cargo()?.arg("build").args(what))?;
    let built = workspace::target()?.join("debug/wardroom");
    let copy = workspace::target()?.join(name);
    replace(&built, &copy).with_context(|| format!("cannot copy {} to {}", built.display(), copy.display()))?;
    Ok(copy)
}

/// Replaces `copy` by a rename, because the file of a running program cannot be overwritten.
fn replace(built: &Path, copy: &Path) -> std::io::Result<()> {
    let temporary = copy.with_extension("tmp");
    fs::copy(built, &temporary)?;
    fs::rename(&temporary, copy)
}

fn with(mut cargo: Command, arguments: &[&str], selection: &Selection<'_>) -> Command {
    cargo.args(arguments).arg("--no-fail-fast").args(selection.filter);
    if selection.all {
        cargo.env("WARDROOM_TEST_ALL", "1");
    }
    cargo
}

fn tested(steps: &mut Steps, package: &str, cargo: Result<Command>, slowest: &mut Slowest) -> Row {
    let mut counts = Counts::default();
    let (outcome, took) = steps.timed(&format!("testing {package}"), || {
        let succeeded = process::watch(&mut cargo?, |line| {
            counts.add(line);
            slowest.add(line);
        })?;
        match (succeeded, counts) {
            (_, Counts { ignored: 1.., .. }) => bail!("{} tests are ignored", counts.ignored),
            (true, _) => Ok(()),
            (false, Counts { failed: 0, .. }) => {
                bail!("the build failed, or a test program stopped before its tests ended")
            }
            (false, _) => bail!("{} tests failed", counts.failed),
        }
    });
    let error = outcome.err().map(|error| format!("{error:#}"));
    Row { what: package.to_owned(), took, counts, error }
}

impl Counts {
    /// Adds a line such as `test result: ok. 6 passed; 0 failed; 0 ignored; ...`.
    fn add(&mut self, line: &str) {
        let Some((_, result)) = line.split_once("test result: ") else { return };
        for part in result.split([';', '.']) {
            let mut words = part.split_whitespace();
            let Some(number) = words.next().and_then(|word| word.parse::<usize>().ok()) else { continue };
            match words.next() {
                Some("passed") => self.passed += number,
                Some("failed") => self.failed += number,
                Some("ignored") => self.ignored += number,
                _ => {}
            }
        }
    }
}

/// Formats the table. Also returns the number of failures.
fn summary(rows: &[Row], took: Duration) -> (String, usize) {
    let mut text = String::from("\n");
    let mut passed = 0;
    let mut failed = 0;
    for row in rows {
        let end = match &row.error {
            None => "ok".to_owned(),
            Some(error) => format!("FAILED: {error}"),
        };
        let tests = if row.counts == Counts::default() { String::new() } else { row.counts.passed.to_string() };
        text.push_str(&format!("{:<32} {:>12} {tests:>6}  {end}\n", row.what, seconds(row.took)));
        passed += row.counts.passed;
        // A step that could not run counts as one failure.
        failed += row.counts.failed.max(usize::from(row.error.is_some()));
    }
    text.push_str(&format!("{:<32} {:>12}\n", "all", seconds(took)));
    text.push_str(&format!("{passed} passed, {failed} failed\n"));
    (text, failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_several_programs_are_summed() {
        let mut counts = Counts::default();
        counts.add("test plugin::tests::the_description_is_the_table ... ok");
        counts.add("test result: ok. 6 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.00s");
        counts.add("test result: FAILED. 1 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s");
        assert_eq!(counts, Counts { passed: 7, failed: 2, ignored: 1 });
    }

    #[test]
    fn arguments_are_a_filter_and_all() {
        let filter = Some("matrix");
        assert_eq!(Selection::parse(&[]), Some(Selection { filter: None, all: false }));
        assert_eq!(Selection::parse(&["--all", "matrix"]), Some(Selection { filter, all: true }));
        assert_eq!(Selection::parse(&["matrix", "--all"]), Some(Selection { filter, all: true }));
        assert_eq!(Selection::parse(&["--everything"]), None);
        assert_eq!(Selection::parse(&["two", "filters"]), None);
    }

    #[test]
    fn a_failed_build_is_a_failure() {
        let row = |error: Option<&str>, passed| Row {
            what: "wardroom".into(),
            took: Duration::ZERO,
            counts: Counts { passed, ..Counts::default() },
            error: error.map(str::to_owned),
        };
        let (table, failed) = summary(&[row(None, 3)], Duration::ZERO);
        assert_eq!((table.lines().last(), failed), (Some("3 passed, 0 failed"), 0));
        let (table, failed) = summary(&[row(None, 3), row(Some("did not build"), 0)], Duration::ZERO);
        assert_eq!((table.lines().last(), failed), (Some("3 passed, 1 failed"), 1));
        assert!(table.contains("FAILED: did not build"), "{table}");
    }
}
