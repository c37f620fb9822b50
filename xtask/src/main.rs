//! `cargo xtask start | test | lint | structure | guests | bench`: builds, runs and checks
//! Wardroom.
//!
//! Invariant: a machine with Rust and the package registries needs nothing else. A missing program is installed, or the
//! error gives the command that installs it. Nothing here is part of the product.
//!
//! The tasks build into `$CARGO_TARGET_DIR`, else into `~/.cache/wardroom/target`, so that clones share one target folder.
//! Only this program is built into cargo's default folder: a cargo configuration cannot name the home folder. Set
//! `CARGO_TARGET_DIR` to the shared folder before you run cargo by hand, as `.ci/run` does.

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
                           or the checks whose name contains FILTER; `WARDROOM_BLESS=1 cargo xtask lint public`
                           writes the list of public items
  structure [FROM TO]      folder pairs and files of the engine that import each other, sizes, public items;
                           with two folders: every place where FROM imports TO
  guests [--with NAME]     build guests/*.wasm with the toolchain `installed`, `rustup` or `debian`, by default the
                           first that works
  bench                    measure release builds against the limits of the design
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
        ["guests", "--with", toolchain] => guests::run(Some(toolchain)),
        ["bench"] => bench::run(),
        ["lint"] => lint::run(None),
        ["lint", filter] if !filter.starts_with('-') => lint::run(Some(filter)),
        ["structure"] => structure::run(),
        ["structure", from, to] => structure::between(from, to),
        ["help" | "-h" | "--help"] => {
            report(USAGE);
            return ExitCode::SUCCESS;
        }
        _ => return usage(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&format!("error: {error:#}\n"));
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    report(USAGE);
    ExitCode::from(2)
}

/// Writes to standard error. Standard output belongs to the program that a task runs.
fn report(text: &str) {
    // There is no other place to report a failure to.
    let _ = std::io::stderr().write_all(text.as_bytes());
}
