//! `cargo xtask test`: installs, builds and tests everything.
//!
//! Invariant: a missing program or a failed build is a failure. No test is skipped: an ignored test is a failure too.
//! The whole workspace is built with one set of features: a set of its own for each package would compile the
//! heavy dependencies again and again.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::slowest::{self, Slowest};
use crate::step::{Steps, seconds};
use crate::{guests, process, synapse, workspace};

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

/// Environment variables for the tests, each with a path.
type Paths = Vec<(&'static str, PathBuf)>;

/// What `cargo xtask test` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection<'a> {
    /// Only tests whose name contains it.
    filter: Option<&'a str>,
    /// `--all`: a test that takes a sample of many combinations takes them all.
    all: bool,
}

impl<'a> Selection<'a> {
    /// Reads `[--all] [FILTER]`; `None` where the arguments are something else.
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

/// Runs the tests.
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
    // Apart: examples in the documentation share one process where a runner starts them.
    for (what, cargo) in [("the documentation", whole()), ("the documentation of guests", guests())] {
        let cargo = cargo.map(|cargo| with(cargo, &["--doc"], selection));
        rows.push(tested(&mut steps, what, cargo, &mut slowest));
    }
    let (table, failed) = summary(&rows, started.elapsed());
    std::io::stdout().write_all((slowest.table() + &table).as_bytes())?;
    if failed > 0 {
        bail!("there are failures");
    }
    Ok(())
}

/// The name of the step, the variable that passes its result to the tests, and the function that runs it.
type Preparation = (&'static str, Option<&'static str>, fn() -> Result<PathBuf>);

/// Steps before the tests.
const PREPARATIONS: &[Preparation] = &[
    ("installing Synapse", Some("WARDROOM_SYNAPSE_VENV"), synapse::install),
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

/// A program that an earlier step built.
fn built(name: &str) -> Result<PathBuf> {
    let program = workspace::target()?.join(name);
    if program.is_file() { Ok(program) } else { bail!("there is no {}", program.display()) }
}

/// Builds the host and keeps it under a name of its own: the next build of the package replaces it.
fn host(name: &str, what: &[&str]) -> Result<PathBuf> {
    process::run(workspace::cargo()?.arg("build").args(what))?;
    let built = workspace::target()?.join("debug/wardroom");
    let copy = workspace::target()?.join(name);
    replace(&built, &copy).with_context(|| format!("cannot copy {} to {}", built.display(), copy.display()))?;
    Ok(copy)
}

/// Copies and renames: a running program cannot be overwritten, but its name can be reused.
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
            (_, Counts { ignored: 1.., .. }) => bail!("{} ignored", counts.ignored),
            (true, _) => Ok(()),
            (false, Counts { failed: 0, .. }) => {
                bail!("the build failed, or a test program stopped before its tests ended")
            }
            (false, _) => bail!("{} failed", counts.failed),
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

/// The table, and how many failed.
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
