//! Finds and ends processes by what the kernel says of them in `/proc`.

use std::{fs, time::Duration};

use rustix::process::{Pid, Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};

/// What is known of a process.
struct Process {
    id: Pid,
    /// It has ended and waits to be taken note of.
    over: bool,
    parent: i32,
    session: i32,
    /// When it began, in the kernel's count since the machine did. A number that is given again comes with another.
    began: u64,
}

/// A session by its leader, so that it cannot be taken for a later one of that number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    leader: i32,
    began: u64,
    /// Names one start of the machine; process numbers mean nothing after the next.
    boot: String,
}

fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// The number of this process.
pub(crate) fn own() -> i32 {
    getpid().as_raw_nonzero().get()
}

fn process(id: Pid) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // `4711 (a name, with anything in it) S parent group session ...`; when it began is the 22nd field.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    Some(Process {
        id,
        over: matches!(*fields.first()?, "Z" | "X"),
        parent: fields.get(1)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        began: fields.get(19)?.parse().ok()?,
    })
}

fn all() -> impl Iterator<Item = Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| process(Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?))
}

/// The children of this process.
pub(crate) fn children() -> Vec<Pid> {
    let own = own();
    all().filter(|process| process.parent == own).map(|process| process.id).collect()
}

impl Session {
    /// The session of this process, which leads it.
    pub(crate) fn own() -> Self {
        Self { leader: own(), began: process(getpid()).map_or(0, |process| process.began), boot: boot() }
    }

    /// Kills what is left of it.
    pub(crate) fn kill(&self) {
        if self.boot != boot() {
            return;
        }
        // A process that was just born is seen in the next round.
        for _ in 0..100 {
            let members: Vec<Process> = all().filter(|process| process.session == self.leader).collect();
            // While any member is left, nobody else is given the number: another leader means that all of ours are gone.
            let taken = members
                .iter()
                .any(|process| process.id.as_raw_nonzero().get() == self.leader && process.began != self.began);
            if taken || members.iter().all(|process| process.over) {
                return;
            }
            for process in members {
                let _ = kill_process(process.id, Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
