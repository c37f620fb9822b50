//! Where words go: reports to standard output, problems and the log to standard error.

use std::io::{IsTerminal as _, Write as _};

use tracing_subscriber::EnvFilter;
use wardroom::config::Problem;

use crate::arguments::{Arguments, Command};

/// Starts the log. `RUST_LOG` says how much of it; at a terminal that somebody types into, warnings only.
pub(crate) fn log(arguments: &Arguments) {
    let usual = match arguments.command {
        // The Matrix library logs each failed request; the adapter says the same once, in a line that can be read.
        Command::Run { .. } if std::io::stdin().is_terminal() => "warn,matrix_sdk=off",
        Command::Run { .. } => {
            "warn,matrix_sdk=off,wardroom=info,wardroom_exec=info,wardroom_matrix=info,wardroom_sqlite=info"
        }
        // A report says which plugins do not load and in which groups nobody is, and says it better.
        _ => "warn,matrix_sdk=off,wardroom::engine::plugins=off,wardroom::access::group=off",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}

/// Prints a report.
pub(crate) fn out(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()) {
        // Whoever reads a report may stop in the middle of it.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Prints what went wrong.
pub(crate) fn error(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "wardroom: {text}");
}

/// Prints all problems of a configuration.
pub(crate) fn problems(problems: &[Problem]) {
    let mut out = std::io::stderr().lock();
    for problem in problems {
        let _ = writeln!(out, "{}", text(problem));
    }
    let count = problems.len();
    let _ = writeln!(out, "wardroom: {count} {}", if count == 1 { "problem" } else { "problems" });
}

/// A problem, its fix below it.
pub(crate) fn text(problem: &Problem) -> String {
    let mut text = format!("{}:{}: {}", problem.at.file, problem.at.line, problem.message);
    if let Some(fix) = &problem.fix {
        for (index, line) in fix.lines().enumerate() {
            text.push_str(if index == 0 { "\n    write: " } else { "\n           " });
            text.push_str(line);
        }
    }
    text
}
