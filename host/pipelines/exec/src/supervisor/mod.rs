//! The supervisor of one run: claims the run's folder, starts its program, watches it to its end, writes the verdict.
//!
//! It is a process of its own without threads, and its only friends are the kernel and the run's folder. It
//! gets its order and gives its one answer through pipes; after that nobody needs to be there.
//!
//! Architecture Invariant: nothing is started before the folder is claimed, and nothing of the run is left when the lock is given back.

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
    order::{Answer, Order},
};

/// The whole supervisor: what the program that was named to [`ExecFactory::new`](crate::ExecFactory::new)
/// must call at once, with all the arguments that come after its leading ones, and exit with what it gives.
///
/// It takes no order but through its standard input, so started by hand it only complains.
pub fn supervise(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    match arguments.as_slice() {
        [] => serve(),
        [word] if word == launch::WORD => launch::become_program(),
        _ => complain("it takes no arguments"),
    }
}

fn complain(reason: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "a supervisor is started by its host alone: {reason}");
    ExitCode::from(2)
}

fn serve() -> ExitCode {
    let mut order = Vec::new();
    // An order that is cut off is the order of a host that died; nothing was done yet.
    let order: Order = match io::stdin().read_to_end(&mut order).map_err(serde_json::Error::io) {
        Ok(_) => match serde_json::from_slice(&order) {
            Ok(order) => order,
            Err(_) => return complain("there is no order"),
        },
        Err(error) => return complain(&error.to_string()),
    };
    match detach().and_then(|()| RunFolder::claim(&order)) {
        Err(error) => {
            answer(&Answer::Failed(format!("cannot make the run's folder in `{}`: {error}", order.runs.display())));
            ExitCode::FAILURE
        }
        Ok(None) => {
            answer(&Answer::Taken);
            ExitCode::SUCCESS
        }
        Ok(Some((folder, lock))) => {
            run(&order, &folder);
            // Only now: to whoever finds it free, the run is over.
            drop(lock);
            ExitCode::SUCCESS
        }
    }
}

/// Out of the host's session, so that its terminal and its death are not ours; and the one that orphans of the run come to.
fn detach() -> io::Result<()> {
    rustix::process::setsid()?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    std::env::set_current_dir("/")
}

fn run(order: &Order, folder: &RunFolder) {
    let started = Timestamp::now();
    let (program, output) = match launch::start(&order.launch, &order.leading) {
        Ok(begun) => begun,
        Err(message) => {
            set_verdict(folder, &Verdict::Refused(message.clone()));
            answer(&Answer::Refused(message));
            return;
        }
    };
    // Without it a second host waits longer for its answer, and no more.
    let _ = folder.set_started(started);
    answer(&Answer::Started);
    let end = watch::to_the_end(program, output, folder, order, started);
    set_verdict(folder, &Verdict::Ended(end));
}

/// Where the disk is full for a while, the verdict is worth waiting for.
fn set_verdict(folder: &RunFolder, verdict: &Verdict) {
    for _ in 0..60 {
        if folder.set_verdict(verdict).is_ok() || !folder.path().exists() {
            return;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Says the one answer and closes what the host gave. A host that is gone does not hear it.
fn answer(answer: &Answer) {
    let nothing = File::options().read(true).write(true).open("/dev/null");
    if let Ok(nothing) = &nothing {
        let _ = rustix::stdio::dup2_stdin(nothing);
        let _ = rustix::stdio::dup2_stderr(nothing);
    }
    let mut output = io::stdout();
    let _ = serde_json::to_writer(&mut output, answer).map_err(io::Error::from).and_then(|()| output.flush());
    if let Ok(nothing) = &nothing {
        let _ = rustix::stdio::dup2_stdout(nothing);
    }
}
