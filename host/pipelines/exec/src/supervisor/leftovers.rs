//! The processes that a program leaves running when it ends.
//!
//! A process that ends shortly after its program, for example `tee` in a pipe of a shell, is not a leftover.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::processes;

/// The time that the processes of a run have to end by themselves after the program has ended.
const SETTLE_TIME: Duration = Duration::from_millis(500);
/// The maximum number of names in the note.
const MAX_NAMES: usize = 5;

/// The leftovers of a program. Created when the program has ended.
#[derive(Debug)]
pub(super) struct Leftovers {
    since: Instant,
    /// The processes that got SIGTERM, with their names.
    terminated: HashMap<Pid, String>,
}

impl Default for Leftovers {
    fn default() -> Self {
        Self { since: Instant::now(), terminated: HashMap::new() }
    }
}

impl Leftovers {
    /// Returns whether to wait longer for the processes of the run. Sends SIGTERM once to each process that is left
    /// after [`SETTLE_TIME`]. Returns false if no process is left or the grace period is over.
    pub(super) fn remain(&mut self, leader: Pid, grace: Duration) -> bool {
        for child in processes::children() {
            if child != leader {
                let _ = waitpid(Some(child), WaitOptions::NOHANG);
            }
        }
        // An orphan becomes a child of the supervisor, so without a child there is no other process.
        if processes::children().iter().all(|child| *child == leader) {
            return false;
        }
        let elapsed = self.since.elapsed();
        if elapsed < SETTLE_TIME {
            return true;
        }
        for (id, name) in processes::descendants().into_iter().filter(|(id, _)| *id != leader) {
            if self.terminated.insert(id, name).is_none() {
                let _ = kill_process(id, Signal::TERM);
            }
        }
        elapsed < SETTLE_TIME.saturating_add(grace)
    }

    /// Returns a sentence about the leftovers for the room; `None` if there were none.
    pub(super) fn note(&self) -> Option<String> {
        let count = self.terminated.len();
        let names: BTreeSet<&str> = self.terminated.values().map(String::as_str).collect();
        let more = if names.len() > MAX_NAMES { ", ..." } else { "" };
        let names = names.into_iter().take(MAX_NAMES).collect::<Vec<_>>().join(", ");
        let what = match count {
            0 => return None,
            1 => format!("a process running, which was ended: {names}"),
            _ => format!("{count} processes running, which were ended: {names}{more}"),
        };
        Some(format!(
            "The program left {what}. To keep a service running, start it with a service manager, or set \
             `leave_running = true`."
        ))
    }
}
