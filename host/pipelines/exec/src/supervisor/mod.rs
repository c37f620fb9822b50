//! The supervisor of one pipeline run: creates the run's folder, starts the program, waits until the program ends, and
//! stores the run's result in the folder.
//!
//! A supervisor is a process with a single thread. It reads its request from the host and writes its response to the
//! host through pipes. After the response, it no longer needs the host. It closes all other files that it inherited, so
//! that a program gets no open file of the host or of the process that started the host.
//!
//! Invariant: the supervisor starts the program only after it has created the folder. It releases the
//! folder's lock only after all processes of the pipeline run have ended or [`watch`] has stopped waiting for killed
//! processes.

mod launch;
mod leftovers;
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
    processes,
    protocol::{StartRequest, StartResponse},
};

/// Runs a supervisor and returns its exit code.
///
/// The program that is passed to [`ExecFactory::new`](crate::ExecFactory::new) must call `supervise` before it does
/// anything else, with the arguments that follow its own arguments. The supervisor reads a start request from standard
/// input. If standard input contains no start request, the exit code is 2.
pub fn supervise(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    processes::close_inherited_files();
    match arguments.as_slice() {
        [] => serve(),
        [argument] if argument == launch::ARGUMENT => launch::exec_program(),
        _ => usage_error("a supervisor takes no arguments"),
    }
}

fn usage_error(reason: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "{reason}; a supervisor is started by `wardroom run`, not by hand");
    ExitCode::from(2)
}

fn serve() -> ExitCode {
    let mut request = Vec::new();
    if let Err(error) = io::stdin().read_to_end(&mut request) {
        return usage_error(&error.to_string());
    }
    // A truncated request means that the host died while it wrote the request. The supervisor has started nothing yet.
    let Ok(mut request) = serde_json::from_slice::<StartRequest>(&request) else {
        return usage_error("standard input does not contain a start request");
    };
    match detach().and_then(|()| RunFolder::create(&request)) {
        Err(error) => {
            respond(&StartResponse::Failed(format!(
                "cannot create the folder of the pipeline run in `{}`: {error}",
                request.runs.display()
            )));
            ExitCode::FAILURE
        }
        Ok(None) => {
            respond(&StartResponse::KeyInUse);
            ExitCode::SUCCESS
        }
        Ok(Some((folder, lock))) => {
            let marker = folder.path().to_string_lossy().into_owned();
            request.program.environment.insert(processes::RUN_FOLDER.to_owned(), marker);
            run(&request, &folder);
            // A free lock means that the pipeline run has ended, so the lock is released last.
            drop(lock);
            ExitCode::SUCCESS
        }
    }
}

/// Separates the supervisor process from the host's session, terminal and working folder. Also makes the supervisor the
/// new parent of each process of the pipeline run whose own parent has ended.
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
    // Ignore an error: a second host with the same request then waits until the pipeline run ends, but at most for the
    // second host's start timeout.
    let _ = folder.set_started(started);
    respond(&StartResponse::Started);
    let end = watch::wait(program, output, folder, request, started);
    set_verdict(folder, &Verdict::Ended(end));
}

/// Stores the result of a pipeline run in the run's folder. If a write fails, for example because the disk is full,
/// retries once per second for a minute. If the folder was removed, stops retrying.
fn set_verdict(folder: &RunFolder, verdict: &Verdict) {
    for _ in 0..60 {
        if folder.set_verdict(verdict).is_ok() || !folder.path().exists() {
            return;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Writes the response to the start request, and closes the pipes between the supervisor and the host. Ignores errors,
/// because the host may have exited.
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
