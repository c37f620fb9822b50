//! Reports on a configuration and its plugins for a reviewer: configuration problems, warnings, rights, and the audit
//! report.
//!
//! Invariant: a report opens no connection, runs no command and does not write to the store. Only [`Review::probe`]
//! connects: it logs in to the secret stores and the chat networks, and checks the identity providers and the pipeline
//! backends.
//! Not here: the output of a report on the command line (`host/cli`).

mod approval_rules;
mod audit;
mod expectations;
mod explain;
mod findings;
mod inspect;
mod people;
mod problems;
mod report;
mod texts;
mod trigger_problems;
mod trigger_rows;
mod warnings;

use std::{collections::BTreeSet, path::PathBuf};

pub(super) use explain::Explainer;
pub(super) use inspect::InspectedPlugin;
pub use report::Report;
pub(super) use texts::pattern_list;

use super::builtin::find_person;
use crate::{
    adapter::Pipelines,
    base::Problem,
    command::{Asker, Vocabulary},
    config::Config,
    hostcall::{Loader, Plugins},
    model::RoomName,
    plugin::{Compiler, Lock, Runtime},
    policy::Access,
    store::{Store, StoreError},
};

/// A configuration with its loaded plugins, for reports. Returned by
/// [`EngineBuilder::review`](super::EngineBuilder::review).
pub struct Review {
    config: Config,
    access: Access,
    plugins: Plugins,
    /// A warning for each grant made in chat that has no effect.
    grant_warnings: Vec<String>,
}

impl Review {
    /// Loads the plugins of a configuration. `cache` is the folder of compiled code. `lock` is the lock file. A plugin
    /// is not loaded if its file is not in the lock file or has another digest.
    pub(super) async fn load(
        runtime: Runtime,
        mut config: Config,
        cache: Option<PathBuf>,
        compiler: Compiler,
        lock: Option<&Lock>,
    ) -> Self {
        let loader = Loader::new(runtime, cache, compiler, config.calls.clone().into());
        let plugins = Plugins::load(&config.plugins, &loader, lock, &config.optional_commands()).await;
        let access = Access::new(std::mem::take(&mut config.policy));
        Self { config, access, plugins, grant_warnings: Vec::new() }
    }

    /// Reads the grants that were made in chat and the linked accounts from the store, and includes them in the reports. A grant that has no
    /// effect leads to a warning in the report [`people`](Self::people).
    ///
    /// # Errors
    /// Fails if the store cannot be read.
    pub async fn add_grants(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        self.grant_warnings = self.access.restore(store.grants().await?);
        self.access.restore_identities(store.identity_links().await?);
        Ok(())
    }

    /// Returns the number of loaded plugins and the number of their commands.
    pub fn counts(&self) -> (usize, usize) {
        let loaded = self.plugins.loaded();
        (loaded.len(), loaded.iter().map(|plugin| plugin.description.commands.len()).sum())
    }

    /// Returns whether a lock file pins the plugin files.
    pub fn locked(&self) -> bool {
        self.plugins.locked()
    }

    /// Returns a lock file that pins the current plugin files.
    pub fn lock(&self) -> Lock {
        Lock(self.plugins.loaded().iter().map(|plugin| (plugin.name.to_string(), plugin.locked())).collect())
    }

    /// Returns whether a person may run a command, and a report that says why. `who` is an id, a handle or a configured
    /// name; `line` is the command without a prefix; `room` is the configured name of the room in which the command
    /// would be typed. Rights that a person has only as a member of a room are not considered.
    ///
    /// # Errors
    /// Fails if the person is unknown, or if the line is not a valid command. The error is a text of one line.
    pub fn can(&self, who: &str, line: &str, room: Option<&str>) -> Result<(bool, Report), String> {
        let id = match find_person(&self.access, &[], None, who, false) {
            Ok(id) => id,
            // An id that no rule names has the rights of `everyone`.
            Err(_) if who.starts_with('@') && who.contains(':') => who.to_owned(),
            Err(error) => return Err(error),
        };
        let chats = self.config.bots.iter().flat_map(|bot| &bot.chats);
        let networks: Vec<&str> = chats.map(|chat| chat.network()).collect();
        let room = room.map(|room| RoomName::parse(room, &networks));
        let asker = Asker { room: room.as_ref().map(|room| self.access.room_of(room)), ..Asker::from(&id) };
        let explained = self.explainer().line(asker, line, &self.vocabulary())?;
        Ok((explained.yes, Report::new(&explain::CanReport { who: &id, command: line, explained: &explained })))
    }

    /// Returns a report of the rights of every person, group and room in the configuration, by app and environment.
    pub fn people(&self) -> Report {
        let roles: BTreeSet<&str> =
            self.config.approvals.iter().flat_map(|rule| &rule.from).map(String::as_str).collect();
        let people = self.explainer().people(&roles.into_iter().collect::<Vec<_>>());
        let warnings = self.grant_warnings.iter().cloned().chain(self.warnings()).collect();
        Report::new(&people::PeopleReport { people, warnings })
    }

    /// Returns the configuration problems that are found only after the plugins are loaded: plugins that fail to load,
    /// rules and triggers with unknown commands, and `[[expect]]` tests that fail.
    pub fn problems(&self) -> Vec<Problem> {
        problems::problems(self)
    }

    /// Returns warnings about roles without members, groups that cannot be read, and approval rules that nobody can
    /// meet; one line each.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = expectations::warnings(&self.access);
        warnings.extend(approval_rules::unmet(&self.config.approvals, &self.access));
        warnings
    }

    /// Logs in to every secret store and reads the referenced secrets. Logs in to every chat network and looks up the
    /// configured rooms and people. Then checks the pipeline backends. Changes no secret, joins no room, sends no message
    /// and starts nothing. Returns one line for each check: `Ok` for a login, secret, room, person or permission that was
    /// found, `Err` for one that was not.
    pub async fn probe(&self) -> Vec<Result<String, String>> {
        let people = self.access.people();
        // The secrets come first, because the logins use them.
        let mut checks = self.config.secrets.probe().await;
        for provider in self.config.identities.values().flatten() {
            checks.push(provider.probe().await);
        }
        // A room that no account lists is checked by the first account of its network.
        let mut rooms: Vec<&RoomName> = self.config.rooms().chain(&self.access.tell).collect();
        rooms.retain(|room| self.config.bots.iter().all(|bot| !bot.names(room)));
        for chat in self.config.bots.iter().flat_map(|bot| &bot.chats) {
            let network = |room: &&RoomName| room.network.as_deref().unwrap_or(self.access.network()) == chat.network();
            let own: Vec<String> = rooms.extract_if(.., |room| network(&*room)).map(|room| room.name.clone()).collect();
            match chat.probe(&people, &own).await {
                Ok(lines) => checks.extend(lines.into_iter().map(Ok)),
                Err(lines) => checks.extend(lines.into_iter().map(Err)),
            }
        }
        for (_, backend) in self.config.backends.iter() {
            match Pipelines::probe(backend).await {
                Ok(lines) => checks.extend(lines.into_iter().map(Ok)),
                Err(lines) => checks.extend(lines.into_iter().map(Err)),
            }
        }
        checks
    }

    /// Returns the audit report. `store` provides the counts of host calls; without a store, all counts are 0.
    ///
    /// # Errors
    /// Fails if the store cannot be read.
    pub async fn audit(&self, store: Option<&dyn Store>) -> Result<Report, StoreError> {
        Ok(Report::new(&audit::AuditReport::new(self, store).await?))
    }

    fn explainer(&self) -> Explainer<'_> {
        Explainer {
            access: &self.access,
            catalog: &self.config.catalog,
            plugins: &self.plugins,
            approvals: &self.config.approvals,
        }
    }

    fn vocabulary(&self) -> Vocabulary<'_> {
        Vocabulary::all_with_roles(&self.config.catalog, &self.access)
    }
}
