//! Waits until a program ends, and meanwhile stores its output. Stops the program at its timeout or when its pipeline
//! run is cancelled. At the end, ends every process of the run, unless `leave_running` is set.
//!
//! Invariant: the output is redacted before it is stored.
//!
//! The processes of a pipeline run are the program, its process group, and the orphans that have left the group. The
//! program can also leave its group. Orphans are processes whose parent has ended. The kernel makes the supervisor
//! their new parent, because the supervisor is their subreaper.

use std::{
    io::{PipeReader, Read},
    process::Child,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{
        Pid, Signal, WaitId, WaitIdOptions, WaitOptions, WaitStatus, getpgid, kill_process, kill_process_group, waitid,
        waitpid,
    },
};
use wardroom::{
    Timestamp,
    adapter::RunEnd,
    base::{RedactionStream, Redactor, Secret},
};

use super::leftovers::Leftovers;
use crate::{
    convert::{self, StopReason},
    folder::RunFolder,
    lines::StepTracker,
    output::OutputWriter,
    processes,
    protocol::StartRequest,
};

/// Interval at which the supervisor checks the timeout of the pipeline run and the file `cancel` in the run's folder.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Interval at which the supervisor reaps ended orphans (processes whose parent has ended) while the program runs.
const REAP_INTERVAL: Duration = Duration::from_secs(5);
/// Maximum time that the supervisor waits until the processes that it killed have ended. A process that is blocked on
/// an unreachable disk may never end. After this time, the supervisor stores the run's result anyway.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum time that the supervisor reads remaining output after it has killed the run's processes.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Stores the program's output until the program ends. If the pipeline run is cancelled or exceeds its timeout, sends
/// SIGTERM to the program and its process group. After the grace period, sends SIGKILL repeatedly until the program
/// ends, for at most [`KILL_TIMEOUT`]. If the program ended by itself, the remaining processes of the run also get
/// SIGTERM and the grace period; with `leave_running` they continue. At the end, kills and reaps the remaining processes
/// of the run, and returns the run's end.
pub(super) fn wait(
    program: Child,
    output: PipeReader,
    folder: &RunFolder,
    request: &StartRequest,
    started: Timestamp,
) -> RunEnd {
    let leader = Pid::from_child(&program);
    let writer = OutputWriter::new(folder.path());
    let secrets: Vec<Secret> = request.program.secrets.iter().map(Secret::new).collect();
    let redaction = Redactor::new(&secrets).stream();
    let mut output = Output { pipe: Some(output), writer, redaction, steps: StepTracker::default() };
    // 1. Until the program ends: store output, check for cancellation and timeout, reap orphans.
    let began = Instant::now();
    let mut reaped = began;
    let mut stop: Option<(StopReason, Instant)> = None;
    while !has_ended(leader) {
        output.store(POLL_INTERVAL);
        match stop {
            None => {
                let reason = if folder.is_cancelled() {
                    StopReason::Cancelled
                } else if began.elapsed() >= request.timeout {
                    StopReason::TimedOut(request.timeout)
                } else {
                    if reaped.elapsed() >= REAP_INTERVAL {
                        reap_orphans(leader);
                        reaped = Instant::now();
                    }
                    continue;
                };
                // A program that ended before the cancellation was not cancelled.
                if has_ended(leader) {
                    break;
                }
                stop = Some((reason, Instant::now()));
                terminate(leader);
            }
            Some((_, since)) if since.elapsed() >= request.grace.saturating_add(KILL_TIMEOUT) => break,
            Some((_, since)) if since.elapsed() >= request.grace => kill_all(leader),
            Some(_) => {}
        }
    }
    let ended = Timestamp::now();
    // 2. Let the remaining processes end by themselves, or continue.
    let mut leftovers = Leftovers::default();
    if stop.is_none() {
        if request.leave_running {
            output.store_available();
            let status = waitpid(Some(leader), WaitOptions::NOHANG).ok().flatten().map(|(_, status)| status);
            return run_end(status, None, output, (started, ended), &leftovers);
        }
        let until = began.checked_add(request.timeout);
        while leftovers.remain(leader, request.grace)
            && !folder.is_cancelled()
            && until.is_none_or(|until| Instant::now() < until)
        {
            output.store(POLL_INTERVAL);
        }
    }
    // 3. Kill the rest of the group. The leader is not reaped yet, so its id cannot belong to another process.
    let _ = kill_process_group(leader, Signal::KILL);
    let status = waitpid(Some(leader), WaitOptions::NOHANG).ok().flatten().map(|(_, status)| status);
    // 4. Kill the orphans, then read the rest of the output.
    let stop = match kill_orphans() {
        true => stop.map(|(reason, _)| reason),
        false => Some(StopReason::Unkillable),
    };
    output.drain();
    run_end(status, stop, output, (started, ended), &leftovers)
}

fn run_end(
    status: Option<WaitStatus>,
    stop: Option<StopReason>,
    mut output: Output,
    (started, ended): (Timestamp, Timestamp),
    leftovers: &Leftovers,
) -> RunEnd {
    output.finish();
    let mut end = convert::ended(status, stop, output.steps.finish(), started, ended);
    if output.writer.lost > 0 {
        end.details.insert("output-lost".to_owned(), format!("{} bytes", output.writer.lost));
    }
    end.details.extend(leftovers.note().map(|note| (RunEnd::NOTE.to_owned(), note)));
    end
}

/// Returns true if the program has ended. Does not reap the program.
fn has_ended(leader: Pid) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(waitid(WaitId::Pid(leader), options), Ok(None) | Err(rustix::io::Errno::INTR))
}

/// Sends SIGTERM to the program's process group, and to the program if it has left the group. A program gets only one
/// signal, because some programs skip their cleanup after a second one.
fn terminate(leader: Pid) {
    let _ = kill_process_group(leader, Signal::TERM);
    if getpgid(Some(leader)) != Ok(leader) {
        let _ = kill_process(leader, Signal::TERM);
    }
}

/// Kills the program, its process group and the orphans. Called repeatedly, because killed processes leave new orphans.
fn kill_all(leader: Pid) {
    let _ = kill_process_group(leader, Signal::KILL);
    let _ = kill_process(leader, Signal::KILL);
    for child in processes::children() {
        let _ = kill_process(child, Signal::KILL);
    }
}

fn reap_orphans(leader: Pid) {
    for child in processes::children() {
        if child != leader {
            let _ = waitpid(Some(child), WaitOptions::NOHANG);
        }
    }
}

/// Kills and reaps all child processes of the supervisor. This includes orphans (processes whose parent has ended) that
/// become its children meanwhile. Stops after [`KILL_TIMEOUT`]. Returns whether all have ended.
fn kill_orphans() -> bool {
    let began = Instant::now();
    let mut seen = Vec::new();
    while began.elapsed() < KILL_TIMEOUT {
        let children = processes::children();
        for child in &children {
            let _ = kill_process(*child, Signal::KILL);
        }
        // Wait for any child: a wait for one process group would miss most children.
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
            // While new children appear, a process forks faster than it is killed, so do not sleep.
            Ok(None) if children != seen => {}
            Ok(None) => std::thread::sleep(Duration::from_millis(5)),
            Err(_) => return true,
        }
        seen = children;
    }
    false
}

/// Moves the program's output from the pipe to the pipeline run's folder.
struct Output {
    /// The pipe with the program's output; `None` after the output has ended.
    pipe: Option<PipeReader>,
    writer: OutputWriter,
    redaction: RedactionStream,
    steps: StepTracker,
}

impl Output {
    /// Stores the program's output that is available. If no output is available, waits for output for at most `wait`.
    fn store(&mut self, wait: Duration) {
        let Some(pipe) = &mut self.pipe else {
            std::thread::sleep(wait.min(Duration::from_millis(20)));
            return;
        };
        let limit = Timespec { tv_sec: 0, tv_nsec: i64::from(wait.subsec_nanos()) };
        if !matches!(poll(&mut [PollFd::new(&*pipe, PollFlags::IN)], Some(&limit)), Ok(1..)) {
            return;
        }
        let mut bytes = [0; 64 << 10];
        match pipe.read(&mut bytes) {
            Ok(0) | Err(_) => self.pipe = None,
            Ok(count) => {
                let redacted = self.redaction.push(&bytes[..count]);
                self.keep(&redacted);
            }
        }
    }

    fn keep(&mut self, redacted: &[u8]) {
        self.writer.append(redacted);
        self.steps.feed(redacted);
    }

    /// Stores the bytes that were held back, because they could have been the start of a secret.
    fn finish(&mut self) {
        let redacted = self.redaction.finish();
        self.keep(&redacted);
    }

    /// Stores the output that is available now.
    fn store_available(&mut self) {
        let began = Instant::now();
        while let Some(pipe) = &self.pipe
            && began.elapsed() < DRAIN_TIMEOUT
            && matches!(poll(&mut [PollFd::new(pipe, PollFlags::IN)], Some(&Timespec::default())), Ok(1..))
        {
            self.store(POLL_INTERVAL);
        }
    }

    /// Stores the remaining output, after the processes of the pipeline run were killed. Stops after [`DRAIN_TIMEOUT`].
    fn drain(&mut self) {
        let began = Instant::now();
        while self.pipe.is_some() && began.elapsed() < DRAIN_TIMEOUT {
            self.store(POLL_INTERVAL);
        }
    }
}
