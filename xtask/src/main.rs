//! `cargo xtask start | test | lint | structure | guests | bench`: builds, runs and checks
//! Wardroom.
//!
//! Invariant: a machine needs only Rust and access to the package registries. A task installs a missing program, or its
//! error gives the command that installs the program.
//! Not here: code of the product.
//!
//! The tasks build into `$CARGO_TARGET_DIR`, or into `~/.cache/wardroom/target` if the variable is not set, so that
//! clones share one target folder. Cargo builds `xtask` itself into its default folder, because a cargo configuration
//! cannot name the home folder. Set `CARGO_TARGET_DIR` to the shared folder before you run cargo by hand, as `.ci/run`
//! does.

mod bench;
mod book;
mod contract;
#[cfg(test)]
mod fixture;
mod guests;
mod layers;
mod lint;
mod openbao;
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
mod venv;
mod workspace;

use std::io::Write as _;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  start [-- ARGUMENT...]   build the guests and a small host, and run the host on plugins.toml
  test [--all] [FILTER]    install missing programs, then run all tests, or those whose name contains FILTER;
                           --all also runs the combinations that some tests normally only sample
  lint [FILTER]            check format, clippy, documentation, licences, layers, packages and house rules,
                           or only the checks whose name contains FILTER;
                           `WARDROOM_BLESS=1 cargo xtask lint public` writes the list of public items
  structure [FROM TO]      print the engine's mutual imports of folders, import cycles of files, sizes and public items;
                           with two folders, print every place where FROM imports TO
  guests [--with NAME]     build guests/*.wasm with the toolchain `installed`, `rustup` or `debian`, by default the
                           first that works
  bench                    measure release builds and compare the results with the limits of the design
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

/// Writes to standard error, because standard output is for the program that a task runs.
fn report(text: &str) {
    // Ignore the error: a failure to write to standard error cannot be reported.
    let _ = std::io::stderr().write_all(text.as_bytes());
}
