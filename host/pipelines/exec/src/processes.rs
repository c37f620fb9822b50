//! Lists the processes in `/proc`, and kills all processes of a session or of a pipeline run.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use rustix::process::{Pid, Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};

/// Maximum number of rounds of [`Session::kill`]. Each round kills all processes of the session and then waits 5 ms.
/// One round may not be enough, because a process can start a new process (fork) during the round.
const KILL_ROUNDS: usize = 100;

/// One process, read from `/proc/ID/stat`.
struct Process {
    id: Pid,
    name: String,
    is_zombie: bool,
    parent: i32,
    session: i32,
    /// The time at which the process started, in clock ticks since boot. It distinguishes two processes that had the
    /// same id at different times.
    start_time: u64,
}

/// A session of processes, as in `setsid`. The kernel can give the id of an ended session to a new one. The start time
/// of the session's first process (its leader) and the boot id distinguish the two sessions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    leader: i32,
    #[serde(rename = "began")]
    start_time: u64,
    /// The kernel's boot id. After a reboot, the same process ids can belong to other processes.
    boot: String,
}

fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

pub(crate) fn own_id() -> i32 {
    getpid().as_raw_nonzero().get()
}

/// Closes all files of the current process except standard input, output and error. Must be called before the process
/// opens a file.
pub(crate) fn close_inherited_files() {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let inherited: Vec<i32> = numbers.filter(|number| *number > 2).collect();
    for number in inherited {
        // The file that listed the folder is in the list and is closed already.
        let _ = nix::unistd::close(number);
    }
}

fn process(id: Pid) -> Option<Process> {
    let stat = String::from_utf8_lossy(&fs::read(format!("/proc/{id}/stat")).ok()?).into_owned();
    // `4711 (NAME) STATE PARENT GROUP SESSION ...`: NAME may contain any character, even a parenthesis. The start time
    // is field 22 of the line.
    let (head, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    Some(Process {
        id,
        name: head.split_once('(').map(|(_, name)| wardroom::base::clean(name)).unwrap_or_default(),
        is_zombie: matches!(*fields.first()?, "Z" | "X"),
        parent: fields.get(1)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        start_time: fields.get(19)?.parse().ok()?,
    })
}

fn all() -> impl Iterator<Item = Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| process(Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?))
}

/// Returns the child processes of the current process, which must have a single thread.
pub(crate) fn children() -> Vec<Pid> {
    let own = own_id();
    // The kernel's own list is much faster than a search in `/proc`, so a process has less time to fork meanwhile.
    // Kernels without `CONFIG_PROC_CHILDREN` lack it.
    match fs::read_to_string(format!("/proc/{own}/task/{own}/children")) {
        Ok(list) => list.split_ascii_whitespace().filter_map(|id| Pid::from_raw(id.parse().ok()?)).collect(),
        Err(_) => all().filter(|process| process.parent == own).map(|process| process.id).collect(),
    }
}

/// Returns the running processes below the current process with their names. Leaves out zombies.
pub(crate) fn descendants() -> Vec<(Pid, String)> {
    let processes: Vec<Process> = all().collect();
    let mut known = BTreeSet::from([own_id()]);
    // A child can be listed before its parent.
    loop {
        let is_new =
            |process: &&Process| known.contains(&process.parent) && !known.contains(&process.id.as_raw_nonzero().get());
        let new: Vec<i32> = processes.iter().filter(is_new).map(|process| process.id.as_raw_nonzero().get()).collect();
        if new.is_empty() {
            break;
        }
        known.extend(new);
    }
    known.remove(&own_id());
    let is_below = |process: &Process| known.contains(&process.id.as_raw_nonzero().get()) && !process.is_zombie;
    processes.into_iter().filter(is_below).map(|process| (process.id, process.name)).collect()
}

/// The environment variable that contains the folder of the pipeline run, in every process of the run.
pub(crate) const RUN_FOLDER: &str = "WARDROOM_RUN_FOLDER";

/// Kills all processes that have the environment variable [`RUN_FOLDER`] with this value, in up to [`KILL_ROUNDS`]
/// rounds. This finds processes that have left the session of their run. It does not find a process that removed the
/// variable.
pub(crate) fn kill_marked(folder: &Path) {
    let variable = format!("{RUN_FOLDER}={}", folder.to_string_lossy()).into_bytes();
    // The host itself can have the variable, if a run has started it.
    let own = getpid();
    let is_marked = |process: &Process| {
        let environment = fs::read(format!("/proc/{}/environ", process.id)).unwrap_or_default();
        process.id != own && !process.is_zombie && environment.split(|byte| *byte == 0).any(|entry| entry == variable)
    };
    // A process that starts another program has no environment for a moment, so one round without a process proves
    // little.
    let mut empty_rounds = 0;
    for _ in 0..KILL_ROUNDS {
        empty_rounds += 1;
        for process in all().filter(is_marked) {
            empty_rounds = 0;
            let _ = kill_process(process.id, Signal::KILL);
        }
        if empty_rounds == 3 {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Session {
    /// Returns the session of the current process. The process must be the session's leader.
    pub(crate) fn own() -> Self {
        let start_time = process(getpid()).map_or(0, |process| process.start_time);
        Self { leader: own_id(), start_time, boot: boot_id() }
    }

    /// Kills all processes of the session, in up to [`KILL_ROUNDS`] rounds. Does nothing if the session is from an
    /// earlier boot, or if a later session has its id.
    pub(crate) fn kill(&self) {
        if self.boot != boot_id() {
            return;
        }
        // Repeat, because a process may fork while the loop kills the others.
        for _ in 0..KILL_ROUNDS {
            let members: Vec<Process> = all().filter(|process| process.session == self.leader).collect();
            // The kernel does not reuse a session's id while the session has a member. A leader with another start time
            // therefore belongs to a later session.
            let reused = members.iter().any(|process| {
                process.id.as_raw_nonzero().get() == self.leader && process.start_time != self.start_time
            });
            if reused || members.iter().all(|process| process.is_zombie) {
                return;
            }
            for process in members {
                let _ = kill_process(process.id, Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
