//! `cargo xtask start | test | lint | structure | guests | bench`: what a person needs to build, try and check Wardroom.
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
mod slowest;
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
  test [--all] [FILTER]    install what is missing, and run every test or those whose name contains FILTER;
                           --all runs every combination in tests that otherwise take a sample
  lint [FILTER]            format, clippy, documentation, licences, layers, packages and house rules,
                           or the checks whose name contains FILTER; WARDROOM_BLESS=1 writes the public items
  structure [FROM TO]      folder pairs and files of the engine that import each other, sizes, public items;
                           with two folders: every place where FROM imports TO
  guests [--with WAY]      build guests/*.wasm; WAY is `installed`, `rustup` or `debian`, else the first that works
  bench                    measure the figures of the design
";

fn main() -> ExitCode {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let arguments = arguments.iter().map(String::as_str).collect::<Vec<_>>();
    let outcome = match *arguments.as_slice() {
        ["start"] => start::run(&[]),
        ["start", "--", ref rest @ ..] => start::run(rest),
        ["test", ref rest @ ..] => match test::Selection::parse(rest) {
            Some(selection) => test::run(&selection),
            None => return usage(),
        },
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
        _ => return usage(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}\n"));
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    say(USAGE);
    ExitCode::from(2)
}

/// To standard error: standard output belongs to the program that is run.
fn say(text: &str) {
    // Nobody is left to tell where this fails.
    let _ = std::io::stderr().write_all(text.as_bytes());
}
