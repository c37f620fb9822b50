//! Starts the program of a run by way of this program itself: a second copy takes the steps that only
//! the process itself can take (user, folder, death with its parent), then becomes the program.
//!
//! The two talk through a socket that is the copy's standard input. It closes by itself when the program
//! is there; until then what goes wrong comes back through it as text.

use std::{
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

use crate::{order::Launch, processes};

/// The argument that makes the copy.
pub(super) const WORD: &str = "become-program";
/// How long the copy may take; a folder on a dead network disk takes for ever.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Serialize, Deserialize)]
struct Request<L> {
    /// The supervisor. A copy with another parent is an orphan already.
    parent: i32,
    launch: L,
}

/// Starts the program, as the leader of a process group of its own; gives it with the pipe that takes
/// all it says.
///
/// # Errors
/// Why it is not there, for the room.
pub(super) fn start(launch: &Launch, leading: &[String]) -> Result<(Child, PipeReader), String> {
    let failed = |error: io::Error| format!("cannot start `{}`: {error}", launch.program);
    let (output, says) = io::pipe().map_err(failed)?;
    let (mut ours, theirs) = UnixStream::pair().map_err(failed)?;
    // By this name it is the same program also after an upgrade has replaced the file.
    let mut command = Command::new("/proc/self/exe");
    command
        .args(leading)
        .arg(WORD)
        .env_clear()
        .stdin(OwnedFd::from(theirs))
        .stdout(says.try_clone().map_err(failed)?)
        .stderr(says)
        .process_group(0);
    let mut copy = command.spawn().map_err(failed)?;
    // It holds our ends of the pipe and the socket; with them open neither would ever end.
    drop(command);

    let mut said = String::new();
    let asked = serde_json::to_vec(&Request { parent: processes::own(), launch })
        .map_err(io::Error::from)
        .and_then(|request| ours.write_all(&request))
        .and_then(|()| ours.shutdown(Shutdown::Write))
        .and_then(|()| ours.set_read_timeout(Some(PATIENCE)))
        .and_then(|()| ours.read_to_string(&mut said));
    match asked {
        Ok(0) => Ok((copy, output)),
        problem => {
            let _ = copy.kill();
            let _ = copy.wait();
            Err(problem.map_or_else(failed, |_| said))
        }
    }
}

/// What the copy does. Comes back only where the program could not be started.
pub(super) fn become_program() -> ExitCode {
    let Ok(mut supervisor) = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from) else {
        return ExitCode::FAILURE;
    };
    let mut request = Vec::new();
    let read = supervisor.read_to_end(&mut request).and_then(|_| Ok(serde_json::from_slice(&request)?));
    let problem = match read {
        Ok(Request { parent, launch }) => replace(launch, parent),
        Err(error) => format!("cannot read what to start: {error}"),
    };
    let _ = supervisor.write_all(problem.as_bytes());
    ExitCode::FAILURE
}

/// Gives why this process is not the program now.
fn replace(launch: Launch, parent: i32) -> String {
    let cannot = |what: &str, error: io::Error| format!("cannot {what}: {error}");
    if let Err(error) = File::open("/dev/null").and_then(|nothing| Ok(rustix::stdio::dup2_stdin(nothing)?)) {
        return cannot("open `/dev/null`", error);
    }
    if let Some(name) = &launch.user
        && let Err(message) = change_user(name)
    {
        return message;
    }
    // After the user, since a change of that takes it back.
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return cannot("tie the program to its supervisor", error.into());
    }
    if getppid().is_none_or(|now| now.as_raw_nonzero().get() != parent) {
        return "its supervisor is gone".to_owned();
    }
    if let Err(error) = std::env::set_current_dir(&launch.directory) {
        return cannot(&format!("enter the folder `{}`", launch.directory), error);
    }
    let mut command = Command::new(&launch.program);
    command.arg0(&launch.name).args(&launch.arguments).env_clear().envs(&launch.environment);
    if !launch.environment.contains_key("HOME") {
        command.env("HOME", home());
    }
    cannot(&format!("start `{}`", launch.program), command.exec())
}

fn home() -> std::path::PathBuf {
    User::from_uid(Uid::effective()).ok().flatten().map_or_else(|| "/".into(), |user| user.dir)
}

fn change_user(name: &str) -> Result<(), String> {
    let cannot = |error: String| format!("cannot run as the user `{name}`: {error}");
    let user = User::from_name(name).map_err(|error| cannot(error.to_string()))?;
    let user = user.ok_or_else(|| cannot("there is no such user".to_owned()))?;
    if user.uid == Uid::effective() {
        return Ok(());
    }
    if !Uid::effective().is_root() {
        return Err(cannot("only a host that runs as root can do that".to_owned()));
    }
    let text = CString::new(name).map_err(|error| cannot(error.to_string()))?;
    initgroups(&text, user.gid)
        .and_then(|()| setgid(user.gid))
        .and_then(|()| setuid(user.uid))
        .map_err(|error| cannot(error.to_string()))
}
