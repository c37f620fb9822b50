//! Moves itself to the process group of a child process, then replaces itself with another program. The tests use this
//! program.
//!
//! Usage: `leave_group PROGRAM [ARGUMENT]...`. The child process is `sleep 600`.

use std::{os::unix::process::CommandExt, process::Command};

use rustix::process::{Pid, setpgid};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let program = arguments.next().ok_or("usage: leave_group PROGRAM [ARGUMENT]...")?;
    let child = Command::new("sleep").arg("600").process_group(0).spawn()?;
    setpgid(None, Some(Pid::from_child(&child)))?;
    Err(Command::new(program).args(arguments).exec().into())
}
