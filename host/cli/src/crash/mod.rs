//! Places where the process kills itself, for tests of what a crash leaves: before and after each passage of a port.
//!
//! `WARDROOM_CRASH_LOG=FILE` appends the name of each place as it is passed, `WARDROOM_CRASH_AT=WHERE` kills the process
//! there: at the passage of that number (`17`), or at that passage of that name (`after commit sent#2`).
//!
//! Invariant: nothing that passes is changed, and the engine does not know of it. Only builds with the feature
//! `crash-points` have it, and there it does nothing unless one of the two variables is set.

mod chat;
mod pipelines;
mod store;

use std::{
    collections::HashMap,
    env,
    fs::{File, OpenOptions},
    io::Write as _,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use rustix::process::{Signal, getpid, kill_process};
use wardroom::{config::Registry, port::Store};

/// Puts a watch before the store.
pub(crate) fn store(store: Arc<dyn Store>) -> Arc<dyn Store> {
    match points() {
        Some(points) => Arc::new(store::Watched { store, points }),
        None => store,
    }
}

/// Puts a watch before all chats and pipelines systems.
pub(crate) fn adapters(registry: &mut Registry) {
    let Some(points) = points() else { return };
    for factory in &mut registry.chats {
        *factory = Arc::new(chat::WatchedFactory { factory: factory.clone(), points });
    }
    for factory in &mut registry.pipelines {
        *factory = Arc::new(pipelines::WatchedFactory { factory: factory.clone(), points });
    }
}

/// The places of this process; `None` where nobody asked for them.
fn points() -> Option<&'static Points> {
    static POINTS: OnceLock<Option<Points>> = OnceLock::new();
    POINTS.get_or_init(Points::asked_for).as_ref()
}

/// Counts the places that are passed.
#[derive(Debug)]
struct Points {
    at: Option<At>,
    // Held while a place is passed: their order in the log is the one in which they are counted.
    passed: Mutex<Passed>,
}

#[derive(Debug)]
struct Passed {
    all: u64,
    by_name: HashMap<String, u64>,
    log: Option<File>,
}

/// Where the process dies.
#[derive(Debug, PartialEq, Eq)]
enum At {
    /// At the passage of this number, from 1.
    Nth(u64),
    /// At the passage of this number of one name, from 1.
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
    fn asked_for() -> Option<Self> {
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
        let passed = Passed { all: 0, by_name: HashMap::new(), log: log.flatten() };
        Some(Self { at: at.flatten(), passed: Mutex::new(passed) })
    }

    /// A place is passed, unless the process ends there.
    fn pass(&self, name: &str) {
        let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        passed.all += 1;
        let all = passed.all;
        let of_name = passed.by_name.entry(name.to_owned()).or_default();
        *of_name += 1;
        let here = match &self.at {
            Some(At::Nth(nth)) => *nth == all,
            Some(At::Named(wanted, nth)) => wanted == name && nth == of_name,
            None => false,
        };
        if let Some(log) = &mut passed.log
            && let Err(error) = writeln!(log, "{name}")
        {
            tracing::error!(%error, "WARDROOM_CRASH_LOG cannot be written");
        }
        if here {
            // The kernel ends the process before this returns, while nobody else can pass a place.
            let _ = kill_process(getpid(), Signal::KILL);
        }
    }

    /// Does something between two places.
    async fn around<T>(&self, name: &str, work: impl Future<Output = T>) -> T {
        self.pass(&format!("before {name}"));
        let done = work.await;
        self.pass(&format!("after {name}"));
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_a_number_or_a_name() {
        assert_eq!(At::parse("17"), Some(At::Nth(17)));
        assert_eq!(At::parse("after commit sent#2"), Some(At::Named("after commit sent".into(), 2)));
        assert_eq!(At::parse("after commit sent"), None);
        assert_eq!(At::parse("after commit sent#x"), None);
    }
}
