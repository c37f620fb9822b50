//! Prints reports to standard output, and problems and the log to standard error.

use std::io::{self, IsTerminal as _, Write};

use serde_json::Value;
use tracing_subscriber::EnvFilter;
use wardroom::base::{Problem, redactor};

use crate::{
    Exit,
    arguments::{Arguments, Command, Format},
};

/// Starts the log, which goes to standard error. By default, the log shows warnings and errors. If `wardroom run` has
/// no terminal as standard input, for example as a service, the log also shows the host's information lines. `RUST_LOG`
/// replaces these defaults.
pub(crate) fn log(arguments: &Arguments) {
    let default = match arguments.command {
        // The libraries of Matrix and Kubernetes log each failed request. The Matrix adapter logs an outage once, and the
        // room is told of a failed request to a cluster.
        Command::Run { .. } if std::io::stdin().is_terminal() => "warn,matrix_sdk=off,kube_client=off",
        // The prefix `wardroom` matches all crates of the host.
        Command::Run { .. } => "warn,matrix_sdk=off,kube_client=off,wardroom=info",
        // Reports already contain the warnings of these targets.
        _ => "warn,matrix_sdk=off,kube_client=off,wardroom::plugin::set=off,wardroom::adapter::group_files=off",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| RedactedLog)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}

/// Standard error without the secrets of the host. The log writes each event at once, so no secret is cut.
struct RedactedLog;

impl Write for RedactedLog {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        io::stderr().lock().write_all(redactor().redact(&text).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Prints a report to standard output, as text or as JSON.
pub(crate) fn print(format: Format, json: impl FnOnce() -> Value, text: impl FnOnce() -> String) -> anyhow::Result<()> {
    match format {
        Format::Text => out(&text()),
        Format::Json => out(&json().to_string()),
    }
}

pub(crate) fn out(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{}", redactor().redact(text.trim_end())).and_then(|()| out.flush()) {
        // A reader such as `head` can close the pipe early.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

pub(crate) fn error(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "wardroom: {}", redactor().redact(text));
}

/// Prints an error to standard error. Returns [`Exit::Failed`].
pub(crate) fn failed(text: &str) -> Exit {
    error(text);
    Exit::Failed
}

/// Prints an error to standard error. Returns [`Exit::Invalid`].
pub(crate) fn invalid(text: &str) -> Exit {
    error(text);
    Exit::Invalid
}

/// Prints the problems of a configuration to standard error, and then the number of problems.
pub(crate) fn problems(problems: &[Problem]) {
    let mut out = std::io::stderr().lock();
    for problem in problems {
        let _ = writeln!(out, "{}", redactor().redact(&problem_text(problem)));
    }
    let count = problems.len();
    let _ = writeln!(
        out,
        "wardroom: {count} {}",
        if count == 1 { "configuration problem" } else { "configuration problems" }
    );
}

/// Formats a configuration problem. The suggested correction is on the next line.
fn problem_text(problem: &Problem) -> String {
    let mut text = format!("{}:{}: {}", problem.at.file, problem.at.line, problem.message);
    if let Some(fix) = &problem.fix {
        for (index, line) in fix.lines().enumerate() {
            text.push_str(if index == 0 { "\n    write: " } else { "\n           " });
            text.push_str(line);
        }
    }
    text
}
