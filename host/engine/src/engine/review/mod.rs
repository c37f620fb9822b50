//! Reports on a configuration and its plugins for a reviewer: problems, warnings, rights, and the audit report.
//!
//! Invariant: nothing here opens a connection, runs a command or writes to the store, except that [`Review::probe`]
//! logs in to the chat networks.
//! Not here: how a report is printed (the command line).

mod approval_rules;
mod audit;
mod expectations;
mod explain;
mod findings;
mod inspect;
mod people;
mod problems;
mod reviewed;
mod trigger_problems;
mod trigger_rows;
mod warnings;

use std::{collections::BTreeSet, path::PathBuf};

pub use audit::{AuditReport, NotLoadedRow, OverrideRow};
pub use explain::Explained;
pub(super) use explain::Explainer;
pub use findings::{Finding, PastUse, PluginFindings};
pub use inspect::{InspectedCall, InspectedCommand, InspectedPlugin, InspectedSetting};
pub use people::{MayRow, MayRun};
pub use trigger_rows::TriggerRow;

use reviewed::Reviewed;

use super::builtin::find_person;
use crate::{
    base::Problem,
    command::Asker,
    config::Config,
    hostcall::{Loader, Plugins},
    model::RoomName,
    plugin::{Lock, Runtime},
    policy::Access,
    store::{Store, StoreError},
};

/// A configuration with its loaded plugins, for reports. Returned by
/// [`EngineBuilder::review`](super::EngineBuilder::review).
pub struct Review(Reviewed);

/// The answers of the chat networks to a test login, one line each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Probe {
    /// The logins, rooms and people that were found.
    pub found: Vec<String>,
    /// The logins that failed, and the rooms and people that were not found.
    pub failed: Vec<String>,
}

impl Review {
    /// Loads the plugins. `cache` is the folder of compiled code.
    pub(super) async fn load(
        runtime: Runtime,
        mut config: Config,
        cache: Option<PathBuf>,
        lock: Option<&Lock>,
    ) -> Self {
        let loader = Loader::new(runtime, cache, config.calls.clone().into());
        let plugins = Plugins::load(&config.plugins, &loader, lock).await;
        let access = Access::new(std::mem::take(&mut config.policy));
        Self(Reviewed { config, access, plugins })
    }

    /// Adds the grants that were made in chat to the rights. Returns a warning for each grant that has no effect.
    ///
    /// # Errors
    /// The store's.
    pub async fn add_grants(&self, store: &dyn Store) -> Result<Vec<String>, StoreError> {
        Ok(self.0.access.restore(store.grants().await?))
    }

    /// The number of plugins that load, and of their commands.
    pub fn counts(&self) -> (usize, usize) {
        let loaded = self.0.plugins.loaded();
        (loaded.len(), loaded.iter().map(|plugin| plugin.description.commands.len()).sum())
    }

    /// Whether a lock pins the bytes of the plugins.
    pub fn locked(&self) -> bool {
        self.0.plugins.locked()
    }

    /// The lock that pins the plugins as they are now.
    pub fn lock(&self) -> Lock {
        Lock(self.0.plugins.loaded().iter().map(|plugin| (plugin.name.to_string(), plugin.locked())).collect())
    }

    /// Whether a person may run a command line, and the rule that decides it. `who` is an id, a handle or a configured name;
    /// `room` is the room in which the person would type. The members of a room count as unknown.
    ///
    /// # Errors
    /// One line: nobody has that name, or the line is no command.
    pub fn can(&self, who: &str, line: &str, room: Option<&str>) -> Result<(String, Explained), String> {
        let id = match find_person(&self.0.access, &[], who) {
            Ok(id) => id,
            // An id that no rule names has the rights of `everyone`.
            Err(_) if who.starts_with('@') && who.contains(':') => who.to_owned(),
            Err(error) => return Err(error.to_string()),
        };
        let chats = self.0.config.bots.iter().flat_map(|bot| &bot.chats);
        let networks: Vec<&str> = chats.map(|chat| chat.network()).collect();
        let room = room.map(|room| RoomName::parse(room, &networks));
        let asker = Asker { room: room.as_ref().map(|room| self.0.access.room_of(room)), ..Asker::from(&id) };
        let explained = self.0.explainer().line(asker, line, &self.0.vocabulary())?;
        Ok((id, explained))
    }

    /// The rights of every person, group and room that a rule names, by app and environment.
    pub fn people(&self) -> Vec<MayRow> {
        let roles: BTreeSet<&str> =
            self.0.config.approvals.iter().flat_map(|rule| &rule.from).map(String::as_str).collect();
        self.0.explainer().people(&roles.into_iter().collect::<Vec<_>>())
    }

    /// The problems that can be found only after the plugins are loaded: plugins that do not load, rules and triggers
    /// that name unknown commands, and expectations that the rules do not meet.
    pub fn problems(&self) -> Vec<Problem> {
        problems::problems(&self.0)
    }

    /// Roles without members, groups that cannot be read, and approval rules that cannot be met, one line each.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = expectations::warnings(&self.0.access);
        warnings.extend(approval_rules::unmet(&self.0.config.approvals, &self.0.access));
        warnings
    }

    /// Logs in to every chat network and looks up the configured rooms and people. Joins and writes nothing.
    pub async fn probe(&self) -> Probe {
        let people = self.0.access.people();
        let mut probe = Probe::default();
        for chat in self.0.config.bots.iter().flat_map(|bot| &bot.chats) {
            match chat.probe(&people).await {
                Ok(lines) => probe.found.extend(lines),
                Err(lines) => probe.failed.extend(lines),
            }
        }
        probe
    }

    /// The audit report. `store` provides the use of host calls; without a store, all counts are 0.
    ///
    /// # Errors
    /// The store's.
    pub async fn audit(&self, store: Option<&dyn Store>) -> Result<AuditReport, StoreError> {
        AuditReport::new(&self.0, store).await
    }
}
