//! The program `bench`: measures the values that the design limits, and prints one line for each.
//!
//! `cargo xtask bench` builds and runs it, with `WARDROOM_BIN_RELEASE` (a release build of the host with its default
//! features), `WARDROOM_BIN_CHAT` (one with Matrix and Mattermost), `WARDROOM_SYNAPSE_VENV` (the installation of Synapse) and
//! `WARDROOM_GUESTS` (the folder of the built guests). Arguments select figures by the beginning of their names: `bench
//! query`.
//!
//! Invariant: every figure is printed. The exit code is 1 if a figure exceeds its limit or could not be measured.
//! Not here: measurements of single functions. Each figure matters to people in a room, to an operator or to a machine.

mod answer;
mod cache;
mod copies;
mod crowd;
mod events;
mod figure;
mod first_sign;
mod homeserver;
mod host;
mod journaled;
mod mattermost_sign;
mod parked;
mod query;
mod recorder;
mod replay;
mod resident;
mod rights;
mod scene;
mod serving;
mod variant;

use std::{io::Write as _, process::ExitCode};

use anyhow::{Context as _, Result, bail};

use figure::Figure;
use scene::Scene;

/// The name of the first figure, and the function that measures this figure and related ones.
type Measure = (&'static str, fn(&Scene) -> Result<Vec<Figure>>);

const MEASURES: [Measure; 12] = [
    (query::NAME, query::measure),
    (journaled::NAME, journaled::measure),
    (replay::NAME, |scene| replay::measure(scene).map(|figure| vec![figure])),
    (cache::NAME, |scene| cache::measure(scene).map(|figure| vec![figure])),
    (resident::NAME, |scene| resident::measure(scene).map(|figure| vec![figure])),
    (parked::NAME, parked::measure),
    (rights::NAME, rights::measure),
    (events::NAME, events::measure),
    (crowd::NAME, |scene| crowd::measure(scene).map(|figure| vec![figure])),
    (answer::NAME, answer::measure),
    (first_sign::NAME, first_sign::measure),
    (mattermost_sign::NAME, mattermost_sign::measure),
];

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Measures and prints the selected figures. Returns true if every figure is within its limit.
fn run(wanted: &[String]) -> Result<bool> {
    if cfg!(debug_assertions) {
        bail!("the benchmarks measure release builds; build with `--release`");
    }
    let scene = Scene::of_environment()?;
    let chosen = |name: &str| wanted.is_empty() || wanted.iter().any(|word| name.starts_with(word.as_str()));
    let mut good = true;
    for (name, measure) in MEASURES.iter().filter(|(name, _)| chosen(name)) {
        match measure(&scene).with_context(|| format!("the benchmark `{name}` failed")) {
            Ok(figures) => {
                for figure in figures {
                    writeln!(std::io::stdout(), "{figure}")?;
                    if !figure.holds() {
                        good = false;
                        writeln!(std::io::stderr(), "bench: `{}` misses its limit: {}", figure.name, figure.limit())?;
                    }
                }
            }
            Err(error) => {
                good = false;
                writeln!(std::io::stderr(), "bench: {error:#}")?;
            }
        }
    }
    Ok(good)
}
