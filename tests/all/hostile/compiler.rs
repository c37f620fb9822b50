//! Tests the limits of the child process that compiles a plugin file.

use std::{
    io::Write as _,
    os::unix::process::ExitStatusExt as _,
    process::{Command, Output, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use super::guest;
use crate::test_host::binary;

#[test]
fn a_file_that_is_hard_to_compile_reaches_the_limits_of_the_compiler() -> Result<()> {
    let bytes = guest::hard_to_compile()?;
    ensure!(bytes.len() < 100_000, "{} bytes", bytes.len());
    // The same request as the host's, with lower limits.
    let compile = |cpu_seconds: u32, memory: u64| -> Result<Output> {
        let mut compiler = Command::new(binary()?)
            .arg("compile-plugin")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut input = compiler.stdin.take().context("a pipe")?;
        writeln!(input, r#"{{"cpu_seconds": {cpu_seconds}, "memory": {memory}, "calls": []}}"#)?;
        input.write_all(&bytes)?;
        drop(input);
        Ok(compiler.wait_with_output()?)
    };
    let slow = compile(2, 64 << 30)?;
    ensure!(slow.status.signal().is_some_and(|signal| [9, 24].contains(&signal)), "{slow:?}");
    let large = compile(600, 256 << 20)?;
    ensure!(String::from_utf8_lossy(&large.stderr).contains("memory allocation"), "{large:?}");
    Ok(())
}
