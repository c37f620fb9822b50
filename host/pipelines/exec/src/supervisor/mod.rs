//! The supervisor of one run: creates the run's folder, starts its program, waits for its end and writes the verdict.
//!
//! A supervisor is a process without threads. It reads its request and writes its response through pipes; after that it needs
//! no host.
//!
//! Architecture Invariant: the program starts after the folder is created, and no process of the run is left when the lock is
//! released.

mod launch;
mod watch;

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read, Write},
    process::ExitCode,
    time::Duration,
};

use wardroom::Timestamp;

use crate::{
    folder::{RunFolder, Verdict},
    protocol::{StartRequest, StartResponse},
};

/// Runs a supervisor. The program that was given to [`ExecFactory::new`](crate::ExecFactory::new) calls this first, with the
/// arguments after its leading ones, and exits with the returned code.
///
/// The request comes through standard input, so a supervisor that is started by hand exits with an error.
pub fn supervise(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    match arguments.as_slice() {
        [] => serve(),
        [argument] if argument == launch::ARGUMENT => launch::exec_program(),
        _ => usage_error("it takes no arguments"),
    }
}

fn usage_error(reason: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "only a host starts a supervisor: {reason}");
    ExitCode::from(2)
}

fn serve() -> ExitCode {
    let mut request = Vec::new();
    // A truncated request comes from a host that died; nothing has been started yet.
    let request: StartRequest = match io::stdin().read_to_end(&mut request).map_err(serde_json::Error::io) {
        Ok(_) => match serde_json::from_slice(&request) {
            Ok(request) => request,
            Err(_) => return usage_error("standard input holds no request"),
        },
        Err(error) => return usage_error(&error.to_string()),
    };
    match detach().and_then(|()| RunFolder::create(&request)) {
        Err(error) => {
            respond(&StartResponse::Failed(format!(
                "cannot create the run's folder in `{}`: {error}",
                request.runs.display()
            )));
            ExitCode::FAILURE
        }
        Ok(None) => {
            respond(&StartResponse::KeyInUse);
            ExitCode::SUCCESS
        }
        Ok(Some((folder, lock))) => {
            run(&request, &folder);
            // A free lock means that the run has ended, so it is released last.
            drop(lock);
            ExitCode::SUCCESS
        }
    }
}

/// Leaves the host's session and its terminal, and becomes the parent of the run's orphans.
fn detach() -> io::Result<()> {
    rustix::process::setsid()?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    std::env::set_current_dir("/")
}

fn run(request: &StartRequest, folder: &RunFolder) {
    let started = Timestamp::now();
    let (program, output) = match launch::start(&request.program, &request.supervisor_arguments) {
        Ok(started) => started,
        Err(message) => {
            set_verdict(folder, &Verdict::Refused(message.clone()));
            respond(&StartResponse::Refused(message));
            return;
        }
    };
    // Where this fails, a second host waits longer for its response.
    let _ = folder.set_started(started);
    respond(&StartResponse::Started);
    let end = watch::wait(program, output, folder, request, started);
    set_verdict(folder, &Verdict::Ended(end));
}

/// Retries for a minute where the disk is full.
fn set_verdict(folder: &RunFolder, verdict: &Verdict) {
    for _ in 0..60 {
        if folder.set_verdict(verdict).is_ok() || !folder.path().exists() {
            return;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Writes the response and closes the pipes of the host. Errors are ignored: the host may have exited.
fn respond(response: &StartResponse) {
    let null = File::options().read(true).write(true).open("/dev/null");
    if let Ok(null) = &null {
        let _ = rustix::stdio::dup2_stdin(null);
        let _ = rustix::stdio::dup2_stderr(null);
    }
    let mut output = io::stdout();
    let _ = serde_json::to_writer(&mut output, response).map_err(io::Error::from).and_then(|()| output.flush());
    if let Ok(null) = &null {
        let _ = rustix::stdio::dup2_stdout(null);
    }
}
