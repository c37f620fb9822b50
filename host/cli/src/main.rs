//! The binary `wardroom`: runs the subcommand that the arguments of the process name.

use std::process::ExitCode;

fn main() -> ExitCode {
    wardroom_cli::main(&wardroom_cli::Unchanged)
}
