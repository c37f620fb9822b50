//! Starts the program of a pipeline run through a launcher process. The launcher is a second process of the same
//! binary. The launcher sets its own user, working folder and parent-death signal, then replaces itself with the
//! program by `exec`.
//!
//! The supervisor and the launcher communicate through a socket, which is the launcher's standard input and is closed
//! by `exec`. If the program cannot be started, the launcher writes the error to the socket as text. If the program
//! starts, the socket closes without a text.

use std::{
    convert::Infallible,
    ffi::CString,
    fs::File,
    io::{self, PipeReader, Read, Write},
    net::Shutdown,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    process::{Child, Command, ExitCode},
    time::Duration,
};

use nix::unistd::{Uid, User, initgroups, setgid, setuid};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use serde::{Deserialize, Serialize};

use crate::{processes, protocol::ProgramSpec};

/// The command line argument that makes [`supervise`](super::supervise) run as a launcher.
pub(super) const ARGUMENT: &str = "become-program";
/// Timeout for the launcher to start the program. Without a timeout, a working folder on an unreachable network disk
/// could block the supervisor forever.
const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Serialize, Deserialize)]
struct Request<P> {
    /// The process id of the supervisor. If the launcher has another parent process, the supervisor has died, and the
    /// launcher exits.
    parent: i32,
    program: P,
}

/// Starts the program as the leader of its own process group. Returns the program's process and a pipe with the
/// program's standard output and standard error.
///
/// # Errors
/// The program cannot be started. The error is the reason as text, which is shown in the chat room.
pub(super) fn start(program: &ProgramSpec, supervisor_arguments: &[String]) -> Result<(Child, PipeReader), String> {
    let failed = |error: io::Error| format!("cannot start `{}`: {error}", program.path);
    let (output, writer) = io::pipe().map_err(failed)?;
    let (mut ours, theirs) = UnixStream::pair().map_err(failed)?;
    // `/proc/self/exe` is the running binary even after an upgrade has replaced the file.
    let mut command = Command::new("/proc/self/exe");
    command
        .args(supervisor_arguments)
        .arg(ARGUMENT)
        .env_clear()
        .stdin(OwnedFd::from(theirs))
        .stdout(writer.try_clone().map_err(failed)?)
        .stderr(writer)
        .process_group(0);
    let mut launcher = command.spawn().map_err(failed)?;
    // The command holds copies of the write ends. A reader reaches the end of the output only after all copies are
    // closed.
    drop(command);

    let mut error_text = String::new();
    let result = serde_json::to_vec(&Request { parent: processes::own_id(), program })
        .map_err(io::Error::from)
        .and_then(|request| ours.write_all(&request))
        .and_then(|()| ours.shutdown(Shutdown::Write))
        .and_then(|()| ours.set_read_timeout(Some(TIMEOUT)))
        .and_then(|()| ours.read_to_string(&mut error_text));
    match result {
        Ok(0) => Ok((launcher, output)),
        failure => {
            let _ = launcher.kill();
            let _ = launcher.wait();
            Err(failure.map_or_else(failed, |_| error_text))
        }
    }
}

/// Runs the launcher, which replaces itself with the program. Returns only if the program cannot be started, after the
/// launcher has sent the error to the supervisor.
pub(super) fn exec_program() -> ExitCode {
    let Ok(mut supervisor) = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from) else {
        return ExitCode::FAILURE;
    };
    let mut request = Vec::new();
    let read = supervisor.read_to_end(&mut request).and_then(|_| Ok(serde_json::from_slice(&request)?));
    let request = read.map_err(|error| format!("the launcher cannot read the request of the supervisor: {error}"));
    let Err(error) = request.and_then(|Request { parent, program }| exec(program, parent));
    let _ = supervisor.write_all(error.as_bytes());
    ExitCode::FAILURE
}

/// Changes the user, the parent-death signal and the working folder of the current process, then replaces it with the
/// program. Returns only if one of these steps fails. The error is the reason as text. `parent` is the process id of
/// the supervisor.
fn exec(program: ProgramSpec, parent: i32) -> Result<Infallible, String> {
    File::open("/dev/null")
        .and_then(|null| Ok(rustix::stdio::dup2_stdin(null)?))
        .map_err(|error| format!("cannot open `/dev/null`: {error}"))?;
    if let Some(name) = &program.user {
        change_user(name)?;
    }
    // Set the signal after the change of user, because a change of user resets the signal.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| {
        format!("cannot set the signal that kills the program if its supervisor dies: {}", io::Error::from(error))
    })?;
    if getppid().is_none_or(|now| now.as_raw_nonzero().get() != parent) {
        return Err("the program was not started, because the supervisor of its pipeline run has exited".to_owned());
    }
    std::env::set_current_dir(&program.directory)
        .map_err(|error| format!("cannot enter the folder `{}`: {error}", program.directory))?;
    let mut command = Command::new(&program.path);
    command.arg0(&program.name).args(&program.arguments).env_clear().envs(&program.environment);
    if !program.environment.contains_key("HOME") {
        command.env("HOME", home());
    }
    Err(format!("cannot start `{}`: {}", program.path, command.exec()))
}

fn home() -> std::path::PathBuf {
    User::from_uid(Uid::effective()).ok().flatten().map_or_else(|| "/".into(), |user| user.dir)
}

fn change_user(name: &str) -> Result<(), String> {
    let cannot = |error: String| format!("cannot run as the user `{name}`: {error}");
    let user = User::from_name(name).map_err(|error| cannot(error.to_string()))?;
    let user = user.ok_or_else(|| cannot("the user does not exist".to_owned()))?;
    if user.uid == Uid::effective() {
        return Ok(());
    }
    if !Uid::effective().is_root() {
        return Err(cannot("the host does not run as root".to_owned()));
    }
    let text = CString::new(name).map_err(|error| cannot(error.to_string()))?;
    initgroups(&text, user.gid)
        .and_then(|()| setgid(user.gid))
        .and_then(|()| setuid(user.uid))
        .map_err(|error| cannot(error.to_string()))
}
