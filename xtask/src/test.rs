//! `cargo xtask test`: installs, builds and tests everything.
//!
//! Invariant: what is missing or does not build is a failure. No test is left out: an ignored one is a failure too.
//! The whole workspace is built with one set of features: a set of its own for each package would compile the
//! heavy dependencies again and again.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::step::{Steps, seconds};
use crate::{guests, process, synapse, workspace};

/// One line of the summary.
struct Row {
    what: String,
    took: Duration,
    counts: Counts,
    error: Option<String>,
}

/// What test programs said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    passed: usize,
    failed: usize,
    ignored: usize,
}

/// What a test is handed: paths, by the names of variables.
type Paths = Vec<(&'static str, PathBuf)>;

/// Runs every test, or those whose name holds `filter`.
pub(crate) fn run(filter: Option<&str>) -> Result<()> {
    let begun = Instant::now();
    let mut steps = Steps::new(PREPARATIONS.len() + 2);
    let mut rows = Vec::new();
    let mut paths: Paths = vec![("WARDROOM_GUESTS", workspace::guests())];

    for (what, variable, prepare) in PREPARATIONS {
        let (outcome, took) = steps.timed(what, prepare);
        let error = outcome.as_ref().err().map(|error| format!("{error:#}"));
        paths.extend(variable.zip(outcome.ok()));
        rows.push(Row { what: (*what).to_owned(), took, counts: Counts::default(), error });
    }
    let cargo = workspace::cargo().map(|mut cargo| {
        cargo.arg("test").args(workspace::WHOLE).envs(paths.iter().cloned());
        cargo
    });
    rows.push(tested(&mut steps, "the workspace", cargo, filter));
    rows.push(tested(&mut steps, "guests", workspace::guests_cargo().map(with_test), filter));
    let (table, failed) = summary(&rows, begun.elapsed());
    std::io::stdout().write_all(table.as_bytes())?;
    if failed > 0 {
        bail!("not everything passed");
    }
    Ok(())
}

/// What it is, the variable that hands it to the tests, how it is made.
type Preparation = (&'static str, Option<&'static str>, fn() -> Result<PathBuf>);

/// What tests need.
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
    let kept = workspace::target()?.join(name);
    keep(&built, &kept).with_context(|| format!("cannot copy {} to {}", built.display(), kept.display()))?;
    Ok(kept)
}

/// A copy in two moves: a program that runs cannot be written over, but its name can be taken.
fn keep(built: &Path, kept: &Path) -> std::io::Result<()> {
    let passing = kept.with_extension("tmp");
    fs::copy(built, &passing)?;
    fs::rename(&passing, kept)
}

fn with_test(mut cargo: Command) -> Command {
    cargo.arg("test");
    cargo
}

fn tested(steps: &mut Steps, package: &str, cargo: Result<Command>, filter: Option<&str>) -> Row {
    let mut counts = Counts::default();
    let (outcome, took) = steps.timed(&format!("testing {package}"), || {
        let mut cargo = cargo?;
        cargo.arg("--no-fail-fast").args(filter);
        let succeeded = process::watch(&mut cargo, |line| counts.add(line))?;
        match (succeeded, counts) {
            (_, Counts { ignored: 1.., .. }) => bail!("{} ignored", counts.ignored),
            (true, _) => Ok(()),
            (false, Counts { failed: 0, .. }) => bail!("did not build, or ended before its tests did"),
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
        // What could not even be tried counts as one.
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
    fn what_did_not_build_is_a_failure() {
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
