//! The freezes of environments: set by a command in the room, or by a `[[freeze]]` window of `plugins.toml`.
//!
//! Invariant: when the room is notified that an environment is frozen, no further effect can start in the environment.
//! A command that sets a freeze therefore waits until each effect that passed its freeze check has stored its intent,
//! which is the journal entry that says that the effect is about to happen.

use std::{collections::BTreeMap, fmt, sync::Arc};

use jiff::{Timestamp, tz::TimeZone};
use parking_lot::RwLock;

use super::freeze_window::Window;
use crate::{
    base::{At, clean, zoned_text},
    model::{App, Catalog},
    store::Freeze,
};

/// All freezes, and the lock that prevents a change of the freezes while an effect starts.
#[derive(Debug)]
pub(crate) struct Freezes {
    windows: Vec<Window>,
    // All environments, in the order of the configuration.
    environments: Vec<String>,
    zone: TimeZone,
    by_command: RwLock<BTreeMap<String, Freeze>>,
    lock: Arc<tokio::sync::RwLock<()>>,
}

/// A read lock on the freezes. No freeze is set or lifted while the lock is held.
pub(crate) type FreezeGuard = tokio::sync::OwnedRwLockReadGuard<()>;

/// A freeze that is in force: one of the reasons why an environment is frozen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frozen {
    pub environment: String,
    /// The end of the freeze; `None` if the freeze lasts until a person lifts it.
    pub until: Option<Timestamp>,
    /// The reason for the freeze, as text for people; empty if no reason was given.
    pub reason: String,
    pub by: FrozenBy,
}

/// The origin of a freeze.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FrozenBy {
    /// A person's command. Holds the person's id.
    Person(String),
    /// A `[[freeze]]` window. Holds the position of its table in the configuration.
    Window(At),
}

impl fmt::Display for FrozenBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(id) => f.write_str(&clean(id)),
            Self::Window(at) => write!(f, "the [[freeze]] window in {at}"),
        }
    }
}

impl From<&Freeze> for Frozen {
    fn from(freeze: &Freeze) -> Self {
        Self {
            environment: freeze.environment.clone(),
            until: freeze.until,
            reason: freeze.reason.clone(),
            by: FrozenBy::Person(freeze.by.id.clone()),
        }
    }
}

/// Returns the apps and the environment on which a person needs a right to change a freeze by command: each app that is
/// deployed in the environment, and the environment itself.
pub(crate) fn freeze_places<'a>(catalog: &'a Catalog, environment: &'a str) -> Vec<(Option<&'a str>, Option<&'a str>)> {
    let deployed = |app: &&App| app.deployments.iter().any(|deployment| deployment.environment == environment);
    let apps = catalog.apps().filter(deployed).map(|app| Some(app.name.as_str()));
    std::iter::once(None).chain(apps).map(|app| (app, Some(environment))).collect()
}

impl Freezes {
    /// Creates the freezes from the windows of the configuration, and from `by_command`, the stored freezes. Messages
    /// show times in `zone`.
    pub(crate) fn new(
        windows: Vec<Window>,
        environments: Vec<String>,
        zone: TimeZone,
        by_command: Vec<Freeze>,
    ) -> Self {
        let by_command = by_command.into_iter().map(|freeze| (freeze.environment.clone(), freeze)).collect();
        Self { windows, environments, zone, by_command: RwLock::new(by_command), lock: Arc::default() }
    }

    /// Returns the time zone of the times that people type in `freeze` and that messages show.
    pub(crate) fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// Returns the freezes of an environment that are in force at the time `at`; empty if the environment is not
    /// frozen.
    pub(crate) fn of(&self, environment: &str, at: Timestamp) -> Vec<Frozen> {
        let by_command = self.by_command(environment, at).as_ref().map(Frozen::from);
        let windows = self.windows.iter().filter(|window| window.is_for(environment)).filter_map(|window| {
            Some(Frozen {
                environment: environment.to_owned(),
                until: Some(window.covers(at)?),
                reason: window.reason.clone(),
                by: FrozenBy::Window(window.at.clone()),
            })
        });
        by_command.into_iter().chain(windows).collect()
    }

    /// Returns the freezes of an environment that forbid an effect at the time `at`. `wall` is the wall-clock time, which
    /// can differ from `at` if the system clock was changed: a window of the configuration forbids an effect if one of the
    /// two times is in the window.
    pub(crate) fn forbidding(&self, environment: &str, at: Timestamp, wall: Timestamp) -> Vec<Frozen> {
        let mut frozen = self.of(environment, at);
        for window in self.of(environment, wall) {
            if matches!(window.by, FrozenBy::Window(_)) && frozen.iter().all(|known| known.by != window.by) {
                frozen.push(window);
            }
        }
        frozen
    }

    /// Returns the freezes of all environments that are in force at the time `at`, ordered by environment.
    pub(crate) fn all(&self, at: Timestamp) -> Vec<Frozen> {
        self.environments.iter().flat_map(|environment| self.of(environment, at)).collect()
    }

    /// Returns the names of all environments.
    pub(crate) fn environments(&self) -> impl Iterator<Item = &str> {
        self.environments.iter().map(String::as_str)
    }

    /// Returns the freeze of an environment that a person set by command. Returns `None` if there is no such freeze, or
    /// if the freeze is not in force at the time `at`.
    pub(crate) fn by_command(&self, environment: &str, at: Timestamp) -> Option<Freeze> {
        let by_command = self.by_command.read();
        by_command.get(environment).filter(|freeze| freeze.until.is_none_or(|until| at < until)).cloned()
    }

    /// Returns the current freezes and the next freeze windows as text for people, one per line.
    pub(crate) fn listing(&self, at: Timestamp) -> String {
        let mut lines: Vec<String> = self.all(at).iter().map(|frozen| self.line(frozen)).collect();
        for environment in &self.environments {
            for window in self.windows.iter().filter(|window| window.is_for(environment)) {
                // The lines above contain the current window, so add the next window.
                let Some((begin, end)) = window.next(window.covers(at).unwrap_or(at)) else { continue };
                let (begin, end) = (zoned_text(begin, &self.zone), zoned_text(end, &self.zone));
                let (by, why) = (FrozenBy::Window(window.at.clone()), because(&window.reason));
                lines.push(format!("`{environment}` will be frozen from {begin} until {end} by {by}{why}"));
            }
        }
        if lines.is_empty() {
            "No environment is frozen, and no freeze window is configured.".to_owned()
        } else {
            lines.join("\n")
        }
    }

    /// Returns a freeze as one line for messages: `production is frozen until 2026-11-21 14:00 UTC by
    /// @alice:example.org: the database moves`.
    pub(crate) fn line(&self, frozen: &Frozen) -> String {
        let until = match frozen.until {
            Some(until) => format!(" until {}", zoned_text(until, &self.zone)),
            None => String::new(),
        };
        format!("`{}` is frozen{until} by {}{}", frozen.environment, frozen.by, because(&frozen.reason))
    }

    /// Acquires a read lock that blocks changes of freezes until the guard is dropped. The host holds the guard from
    /// the freeze check of an effect until it has stored the effect's intent, which is the journal entry that says that
    /// the effect is about to happen.
    pub(crate) async fn guard(&self) -> FreezeGuard {
        self.lock.clone().read_owned().await
    }

    /// Acquires the write lock for a change of freezes. First waits until each effect that passed its freeze check has
    /// stored its intent, which is the journal entry that says that the effect is about to happen. Then blocks new
    /// effects until the returned guard is dropped.
    pub(crate) async fn exclusive(&self) -> tokio::sync::OwnedRwLockWriteGuard<()> {
        self.lock.clone().write_owned().await
    }

    /// Adds a freeze to memory. The caller has already added the freeze to the store.
    pub(crate) fn apply_freeze(&self, freeze: Freeze) {
        self.by_command.write().insert(freeze.environment.clone(), freeze);
    }

    /// Removes the freeze of an environment from memory. The caller has already removed the freeze from the store.
    pub(crate) fn apply_unfreeze(&self, environment: &str) {
        self.by_command.write().remove(environment);
    }
}

fn because(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {}", clean(reason)) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{base::Cron, model::Person};
    use crate::{base::Pattern, policy::freeze_window::WindowEnd};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn freeze(environment: &str, until: Option<&str>) -> Freeze {
        Freeze {
            environment: environment.to_owned(),
            until: until.map(at),
            reason: "the database moves".to_owned(),
            by: Person { id: "@alice:example.org".to_owned(), name: "operator".to_owned() },
            at: at("2026-11-20T12:00:00Z"),
        }
    }

    fn freezes(by_command: Vec<Freeze>) -> Freezes {
        let weekend = Window {
            at: At { file: Arc::from("plugins.toml"), line: 7 },
            environments: vec![Pattern::new("prod*").unwrap()],
            from: Cron::new("0 17 * * FRI", &TimeZone::UTC).unwrap(),
            ends: WindowEnd::After(Duration::from_secs(63 * 3600)),
            reason: "weekend".to_owned(),
        };
        let environments = ["staging", "production"].map(str::to_owned).to_vec();
        Freezes::new(vec![weekend], environments, TimeZone::UTC, by_command)
    }

    #[test]
    fn a_freeze_by_command_is_in_force_until_its_end_or_until_it_is_lifted() {
        let freezes = freezes(vec![freeze("staging", Some("2026-11-21T14:00:00Z"))]);
        let frozen = |moment: &str| freezes.of("staging", at(moment)).len();
        assert_eq!((frozen("2026-11-21T13:59:59Z"), frozen("2026-11-21T14:00:00Z")), (1, 0));
        freezes.apply_freeze(freeze("staging", None));
        assert_eq!(frozen("2030-01-01T00:00:00Z"), 1);
        freezes.apply_unfreeze("staging");
        assert_eq!(frozen("2026-11-20T12:00:00Z"), 0);
    }

    #[test]
    fn a_window_forbids_effects_by_the_wall_clock_too() {
        let freezes = freezes(vec![freeze("production", Some("2026-11-21T14:00:00Z"))]);
        let (before, inside) = (at("2026-11-19T12:00:00Z"), at("2026-11-21T12:00:00Z"));
        let count = |time, wall| freezes.forbidding("production", time, wall).len();
        assert_eq!((count(inside, inside), count(before, inside), count(inside, before)), (2, 2, 2));
        assert_eq!((count(before, before), count(at("2026-11-22T12:00:00Z"), inside)), (1, 1));
        assert!(freezes.forbidding("staging", inside, inside).is_empty());
    }

    #[test]
    fn a_freeze_by_command_and_a_window_are_both_reported() {
        let freezes = freezes(vec![freeze("production", None)]);
        let lines: Vec<String> =
            freezes.all(at("2026-11-21T12:00:00Z")).iter().map(|frozen| freezes.line(frozen)).collect();
        assert_eq!(
            lines,
            [
                "`production` is frozen by @alice:example.org: the database moves",
                "`production` is frozen until 2026-11-23 08:00 UTC by the [[freeze]] window in plugins.toml line 7: \
                 weekend"
            ]
        );
    }

    #[test]
    fn a_listing_shows_current_freezes_and_next_windows() {
        let freezes = freezes(Vec::new());
        let next = "`production` will be frozen from 2026-11-27 17:00 UTC until 2026-11-30 08:00 UTC by the [[freeze]] window \
                    in plugins.toml line 7: weekend";
        assert_eq!(freezes.listing(at("2026-11-24T12:00:00Z")), next);
        assert_eq!(
            freezes.listing(at("2026-11-21T12:00:00Z")),
            format!(
                "`production` is frozen until 2026-11-23 08:00 UTC by the [[freeze]] window in plugins.toml line 7: \
                 weekend\n{next}"
            )
        );
    }

    #[tokio::test]
    async fn a_freeze_waits_for_effects_between_check_and_intent() {
        let freezes = freezes(Vec::new());
        let lock = freezes.guard().await;
        let exclusive = freezes.exclusive();
        tokio::pin!(exclusive);
        assert!(futures_util::poll!(exclusive.as_mut()).is_pending());
        drop(lock);
        let _alone = exclusive.await;
        assert!(futures_util::FutureExt::now_or_never(freezes.guard()).is_none());
    }
}
