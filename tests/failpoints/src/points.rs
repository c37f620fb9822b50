//! Counts the crash points that are reached, and kills the process at one of them.

use std::{
    collections::HashMap,
    env,
    fs::{File, OpenOptions},
    io::Write as _,
    sync::{Mutex, OnceLock, PoisonError},
};

use rustix::process::{Signal, getpid, kill_process};

#[derive(Debug)]
pub(crate) struct Points {
    at: Option<At>,
    // Locked while a crash point is counted and logged, so that the log has the order of the count.
    reached: Mutex<Reached>,
}

#[derive(Debug)]
struct Reached {
    all: u64,
    by_name: HashMap<String, u64>,
    log: Option<File>,
}

/// The crash point at which the process is killed.
#[derive(Debug, PartialEq, Eq)]
enum At {
    /// The number of the crash point among all, from 1.
    Nth(u64),
    /// A name, and the number of the crash point among those with this name, from 1.
    Named(String, u64),
}

impl At {
    fn parse(text: &str) -> Option<Self> {
        match text.rsplit_once('#') {
            Some((name, nth)) => Some(Self::Named(name.to_owned(), nth.parse().ok()?)),
            None => text.parse().ok().map(Self::Nth),
        }
    }
}

impl Points {
    /// Returns the crash points that the environment variables select; `None` if neither variable is set.
    pub(crate) fn of_process() -> Option<&'static Self> {
        static POINTS: OnceLock<Option<Points>> = OnceLock::new();
        POINTS.get_or_init(Self::of_environment).as_ref()
    }

    fn of_environment() -> Option<Self> {
        let at = env::var("WARDROOM_CRASH_AT").ok().map(|text| {
            let at = At::parse(&text);
            if at.is_none() {
                tracing::error!(text, "WARDROOM_CRASH_AT is neither a number nor NAME#NUMBER");
            }
            at
        });
        let log = env::var_os("WARDROOM_CRASH_LOG").map(|path| {
            let log = OpenOptions::new().create(true).append(true).open(path);
            log.inspect_err(|error| tracing::error!(%error, "WARDROOM_CRASH_LOG cannot be written")).ok()
        });
        if at.is_none() && log.is_none() {
            return None;
        }
        let reached = Reached { all: 0, by_name: HashMap::new(), log: log.flatten() };
        Some(Self { at: at.flatten(), reached: Mutex::new(reached) })
    }

    /// Counts and logs a crash point. Kills the process at the selected crash point.
    pub(crate) fn reach(&self, name: &str) {
        let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        reached.all += 1;
        let all = reached.all;
        let of_name = reached.by_name.entry(name.to_owned()).or_default();
        *of_name += 1;
        let here = match &self.at {
            Some(At::Nth(nth)) => *nth == all,
            Some(At::Named(wanted, nth)) => wanted == name && nth == of_name,
            None => false,
        };
        if let Some(log) = &mut reached.log
            && let Err(error) = writeln!(log, "{name}")
        {
            tracing::error!(%error, "WARDROOM_CRASH_LOG cannot be written");
        }
        if here {
            // The kernel ends the process before the call returns. The lock stops all other threads at their next crash
            // point.
            let _ = kill_process(getpid(), Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_point_is_given_by_number_or_by_name_and_number() {
        assert_eq!(At::parse("17"), Some(At::Nth(17)));
        assert_eq!(At::parse("after commit sent#2"), Some(At::Named("after commit sent".into(), 2)));
        assert_eq!(At::parse("after commit sent"), None);
        assert_eq!(At::parse("after commit sent#x"), None);
    }
}
