//! Runs other programs.
//!
//! Invariant: every error contains the command line.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// Runs a program and passes its output through.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status =
        command.stdin(Stdio::null()).status().with_context(|| format!("cannot run `{}`", command_line(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", command_line(command));
    }
    Ok(())
}

/// Runs a program and returns its standard output, without the last newline.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let Output { status, stdout, stderr } =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot run `{}`", command_line(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status}): {}", command_line(command), String::from_utf8_lossy(&stderr).trim());
    }
    Ok(String::from_utf8_lossy(&stdout).trim_end().to_owned())
}

/// Runs a program, calls `line` with each line of its standard output, and passes the output through. Returns true if
/// the program succeeded.
pub(crate) fn watch(command: &mut Command, mut line: impl FnMut(&str)) -> Result<bool> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run `{}`", command_line(command)))?;
    if let Some(output) = child.stdout.take() {
        let mut to = std::io::stdout().lock();
        for read in BufReader::new(output).split(b'\n') {
            let text = String::from_utf8_lossy(&read?).into_owned();
            line(&text);
            writeln!(to, "{text}")?;
        }
    }
    Ok(child.wait()?.success())
}

/// Runs a program and kills it after `limit`. Its output is discarded.
pub(crate) fn run_within(command: &mut Command, limit: Duration) -> Result<()> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot run `{}`", command_line(command)))?;
    let started = Instant::now();
    loop {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => bail!("`{}` failed ({status})", command_line(command)),
            None if started.elapsed() > limit => {
                child.kill()?;
                child.wait()?;
                bail!("`{}` was killed because it took more than {} s", command_line(command), limit.as_secs());
            }
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// Formats a command line such as `cargo build`. Arguments are not quoted.
fn command_line(command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    command.get_args().fold(program.into_owned(), |line, argument| format!("{line} {}", argument.to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_failure_names_the_command() {
        let error = run(&mut shell("exit 3")).unwrap_err().to_string();
        assert!(error.starts_with("`sh -c exit 3` failed"), "{error}");
        let error = read(&mut shell("echo why >&2; exit 3")).unwrap_err().to_string();
        assert!(error.ends_with(": why"), "{error}");
    }

    #[test]
    fn lines_of_a_failing_program_are_passed_on() {
        let mut seen = Vec::new();
        let succeeded = watch(&mut shell("echo one; echo two; exit 1"), |line| seen.push(line.to_owned()));
        assert!(!succeeded.unwrap());
        assert_eq!(seen, ["one", "two"]);
    }

    #[test]
    fn a_program_that_hangs_is_killed() {
        let error = run_within(&mut shell("exec sleep 60"), Duration::from_millis(100)).unwrap_err().to_string();
        assert!(error.contains("took more than"), "{error}");
    }
}
