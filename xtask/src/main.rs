//! `cargo xtask start | test | guests | bench | lint`: what a person needs to build, try and check Wardroom.
//!
//! Invariant: a machine with Rust and the package registries needs nothing else; what is missing is
//! installed, or named with the command that installs it. Nothing here is part of the product.
//!
//! What the tasks build goes to `$CARGO_TARGET_DIR`, else to `~/.cache/wardroom/target`, so that clones
//! share it. Only this program itself goes where cargo puts it: a cargo configuration cannot name the
//! home folder. Who also calls cargo by hand sets `CARGO_TARGET_DIR` to that folder, as `.ci/run` does.

mod bench;
mod book;
mod contract;
mod guests;
mod layers;
mod lint;
#[cfg(test)]
mod made_up;
mod package;
mod process;
mod public_items;
mod start;
mod step;
mod structure;
mod synapse;
mod test;
mod tidy;
mod toolchain;
mod tools;
mod workspace;

use std::io::Write as _;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  start [-- ARGUMENT...]   build the guests and a small host, and run it on plugins.toml
  test [FILTER]            install what is missing, and run every test
  guests [--with WAY]      build guests/*.wasm; WAY is `installed`, `rustup` or `debian`, else the first that works
  bench                    measure the figures of the design
  lint                     format, clippy, documentation, licences, house rules
";

fn main() -> ExitCode {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let arguments = arguments.iter().map(String::as_str).collect::<Vec<_>>();
    let outcome = match *arguments.as_slice() {
        ["start"] => start::run(&[]),
        ["start", "--", ref rest @ ..] => start::run(rest),
        ["test"] => test::run(None),
        ["test", filter] if !filter.starts_with('-') => test::run(Some(filter)),
        ["guests"] => guests::run(None),
        ["guests", "--with", way] => guests::run(Some(way)),
        ["bench"] => bench::run(),
        ["lint"] => lint::run(None),
        ["lint", filter] if !filter.starts_with('-') => lint::run(Some(filter)),
        ["structure"] => structure::run(),
        ["structure", from, to] => structure::between(from, to),
        ["help" | "-h" | "--help"] => {
            say(USAGE);
            return ExitCode::SUCCESS;
        }
        _ => {
            say(USAGE);
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}\n"));
            ExitCode::FAILURE
        }
    }
}

/// To standard error: standard output belongs to the program that is run.
fn say(text: &str) {
    // Nobody is left to tell where this fails.
    let _ = std::io::stderr().write_all(text.as_bytes());
}
