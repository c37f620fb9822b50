//! The binary `wardroom`.

use std::process::ExitCode;

fn main() -> ExitCode {
    wardroom_cli::main(&wardroom_cli::Unchanged)
}
