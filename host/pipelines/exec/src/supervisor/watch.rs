//! Watches a program to its end: keeps what it says, stops it when its time is up or somebody asks, and
//! leaves nothing of it behind.
//!
//! Who belongs to a run: its process group, and every orphan of it, also one that left the group, since
//! orphans come to the supervisor as their nearest reaper.

use std::{
    io::{PipeReader, Read},
    process::Child,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{
        Pid, Signal, WaitId, WaitIdOptions, WaitOptions, WaitStatus, kill_process, kill_process_group, wait, waitid,
        waitpid,
    },
};
use wardroom::{Timestamp, port::RunEnd};

use crate::{
    convert::{self, Steps, Stop},
    folder::RunFolder,
    order::Order,
    output::OutputWriter,
    processes,
};

/// How often the clock and the folder are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How often orphans that ended are taken note of.
const REAP: Duration = Duration::from_secs(5);
/// How long what does not die (it waits for a dead disk) holds up the verdict, and how long its output does.
const PATIENCE: Duration = Duration::from_secs(10);
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Waits for the program's end and gives it. When this returns, nothing of the run is left.
pub(super) fn to_the_end(
    program: Child,
    output: PipeReader,
    folder: &RunFolder,
    order: &Order,
    started: Timestamp,
) -> RunEnd {
    let leader = Pid::from_child(&program);
    let mut output = Output { pipe: Some(output), writer: OutputWriter::new(folder.path()), steps: Steps::default() };
    let began = Instant::now();
    let mut reaped = began;
    let mut stop: Option<(Stop, Instant)> = None;
    let mut killed = false;
    while !has_ended(leader) {
        output.keep(LOOK);
        match stop {
            None => {
                let why = if folder.is_cancelled() {
                    Stop::Cancelled
                } else if began.elapsed() >= order.timeout {
                    Stop::TimedOut(order.timeout)
                } else {
                    if reaped.elapsed() >= REAP {
                        reap_orphans(leader);
                        reaped = Instant::now();
                    }
                    continue;
                };
                stop = Some((why, Instant::now()));
                let _ = kill_process_group(leader, Signal::TERM);
            }
            Some((_, since)) if !killed && since.elapsed() >= order.grace => {
                killed = true;
                let _ = kill_process_group(leader, Signal::KILL);
            }
            Some(_) => {}
        }
    }
    // Until it is waited for, its number is its own, and so is its group's.
    let _ = kill_process_group(leader, Signal::KILL);
    let status = waitpid(Some(leader), WaitOptions::empty()).ok().flatten().map(|(_, status)| status);
    kill_orphans();
    output.drain();
    finish(status, stop.map(|(why, _)| why), output, started)
}

fn finish(status: Option<WaitStatus>, stop: Option<Stop>, output: Output, started: Timestamp) -> RunEnd {
    let mut end = convert::ended(status, stop, output.steps.finish(), started, Timestamp::now());
    if output.writer.lost > 0 {
        end.details.insert("output-lost".to_owned(), format!("{} bytes", output.writer.lost));
    }
    end
}

/// Whether the program has ended; it stays to be waited for.
fn has_ended(leader: Pid) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(waitid(WaitId::Pid(leader), options), Ok(None) | Err(rustix::io::Errno::INTR))
}

fn reap_orphans(leader: Pid) {
    for child in processes::children() {
        if child != leader {
            let _ = waitpid(Some(child), WaitOptions::NOHANG);
        }
    }
}

/// Kills all children of this process, and theirs as they come to it.
fn kill_orphans() {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        for child in processes::children() {
            let _ = kill_process(child, Signal::KILL);
        }
        // For any child: most are in groups of their own.
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
            Ok(None) => std::thread::sleep(Duration::from_millis(5)),
            Err(_) => return,
        }
    }
}

/// What the run says, on its way from the pipe to the folder.
struct Output {
    /// `None` when nobody can say anything any more.
    pipe: Option<PipeReader>,
    writer: OutputWriter,
    steps: Steps,
}

impl Output {
    /// Keeps what is there; waits so long for the first of it, or for the end of all.
    fn keep(&mut self, wait: Duration) {
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
                self.writer.add(&bytes[..count]);
                self.steps.feed(&bytes[..count]);
            }
        }
    }

    /// Keeps the rest, now that nobody is left to say more.
    fn drain(&mut self) {
        let began = Instant::now();
        while self.pipe.is_some() && began.elapsed() < LAST_WORDS {
            self.keep(LOOK);
        }
    }
}
