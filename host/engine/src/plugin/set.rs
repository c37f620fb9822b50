//! The plugins of a host: the loaded plugins, the plugins that failed to load, and the command table.

use std::{collections::HashMap, sync::Arc};

use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;

use super::{
    claims::{Claim, Contested, Owners},
    config::PluginConfig,
    host_functions::GuestData,
    load::{LoadedPlugin, Loader, NotLoaded},
    lock::Lock,
};
use crate::{
    command::{Builtin, CommandTable},
    job::{HistoryError, StartEntry},
    policy::Grants,
    store::{JobRow, Store, StoreError, Write},
};

type NameAndDigest = (String, String);

/// All configured plugins, and the earlier plugin versions that unfinished jobs need.
pub(crate) struct Plugins<D: GuestData> {
    loaded: Vec<Arc<LoadedPlugin<D>>>,
    not_loaded: Vec<NotLoaded>,
    table: CommandTable,
    contested: Vec<Contested>,
    lock: Option<Lock>,
    loader: Loader<D>,
    /// The `allow` rules of each configured plugin, by the plugin's name. Includes plugins that failed to load.
    grants: HashMap<String, Arc<Grants>>,
    /// Earlier versions of plugins, by the plugin's name and digest. Each was loaded from the store for a job that
    /// started with it.
    revived: Mutex<HashMap<NameAndDigest, Arc<LoadedPlugin<D>>>>,
    /// Held while an earlier version is loaded, so that many jobs with the same version load it once.
    reviving: tokio::sync::Mutex<()>,
}

impl<D: GuestData> Plugins<D> {
    /// Loads all configured plugins, in the order of the configuration. Logs each plugin that fails to load, and adds
    /// the plugin to [`Self::not_loaded`]. `lock` is the contents of `plugins.lock`, if the file exists. `optional`
    /// are the built-in commands that not every host has.
    pub(crate) async fn load(
        configured: &[PluginConfig],
        loader: &Loader<D>,
        lock: Option<&Lock>,
        optional: &[Builtin],
    ) -> Self {
        let mut plugins = Self {
            loaded: Vec::new(),
            not_loaded: Vec::new(),
            table: CommandTable::new(optional),
            contested: Vec::new(),
            lock: lock.cloned(),
            loader: loader.clone(),
            grants: configured.iter().map(|plugin| (plugin.name.clone(), plugin.grants.clone())).collect(),
            revived: Mutex::default(),
            reviving: tokio::sync::Mutex::default(),
        };
        let mut claims = Vec::new();
        // Several plugins load at a time, so that one whose compilation takes long does not hold up the others.
        let several = std::thread::available_parallelism().map_or(1, usize::from).max(2);
        let loading: Vec<_> = configured.iter().map(|plugin| loader.load(plugin, lock, &plugins.table)).collect();
        let results: Vec<_> = stream::iter(loading).buffered(several).collect().await;
        for (plugin, result) in configured.iter().zip(results) {
            let given = plugin.commands.clone();
            match result {
                Ok(loaded) => {
                    let words = loaded.description.words().map(str::to_owned).collect();
                    claims.push(Claim { plugin: plugin.name.clone(), words, given });
                    plugins.loaded.push(loaded);
                }
                Err(not_loaded) => {
                    claims.push(Claim { plugin: plugin.name.clone(), words: not_loaded.commands.clone(), given });
                    let (plugin, at) = (&not_loaded.name, not_loaded.at.to_string());
                    let fix = not_loaded.error.fix().unwrap_or_default();
                    tracing::error!(
                        plugin,
                        at,
                        error = %not_loaded.error,
                        fix,
                        "cannot load a plugin; its commands are unavailable"
                    );
                    plugins.not_loaded.push(not_loaded);
                }
            }
        }
        plugins.add_commands(&claims);
        plugins
    }

    /// Adds the commands of the loaded plugins to the command table, except for commands that belong to another plugin
    /// or to none.
    fn add_commands(&mut self, claims: &[Claim]) {
        let owners = Owners::new(claims);
        for plugin in &self.loaded {
            let owned = |word: &str| owners.owns(&plugin.name, word);
            for spec in &plugin.description.commands {
                if owned(&spec.name) {
                    self.table.add(spec.clone(), owned);
                } else {
                    let (plugin, command) = (&*plugin.name, spec.name.as_str());
                    tracing::warn!(
                        plugin,
                        command,
                        "a command of a plugin is unavailable, because another plugin has the same command or its parent command; hint: to change this, set `commands` in the tables of the plugins"
                    );
                }
            }
        }
        for contested in &owners.contested {
            let (command, plugins) = (&contested.word, contested.plugins.join(", "));
            tracing::error!(
                command,
                plugins,
                "several plugins have the same command, so it is unavailable; hint: set `commands` in the table of one of \
                 the plugins"
            );
        }
        self.contested = owners.contested;
    }

    /// Returns the names of commands that several plugins have, and that the host therefore does not accept.
    pub(crate) fn contested(&self) -> &[Contested] {
        &self.contested
    }

    /// Returns the loaded plugins, in the order of the configuration.
    pub(crate) fn loaded(&self) -> &[Arc<LoadedPlugin<D>>] {
        &self.loaded
    }

    /// Returns the plugins that failed to load, in the order of the configuration.
    pub(crate) fn not_loaded(&self) -> &[NotLoaded] {
        &self.not_loaded
    }

    /// Returns the command table: the commands of the host and of all loaded plugins.
    pub(crate) fn table(&self) -> &CommandTable {
        &self.table
    }

    /// Returns the command with which the words of an alias or fixed answer begin. The command can be one of the host or
    /// of a loaded plugin, a command that several plugins have, or a command of a plugin that failed to load. A command
    /// of two words is also returned if the words begin only with its first word, because the second one can be a
    /// placeholder. Returns `None` if the words begin with no command.
    pub(crate) fn command_at(&self, words: &[String]) -> Option<&str> {
        let first = words.first()?.to_lowercase();
        if let Some((spec, _)) = self.table.longest(&first, words.get(1).map(String::as_str)) {
            return Some(&spec.name);
        }
        let loaded = self.table.specs().iter().flat_map(|spec| spec.words());
        let contested = self.contested.iter().map(|contested| contested.word.as_str());
        let missing = self.not_loaded.iter().flat_map(|plugin| plugin.commands.iter().map(String::as_str));
        let begins = |command: &&str| {
            let command = command.to_lowercase();
            command == first || command.split_once(' ').is_some_and(|(word, _)| word == first)
        };
        loaded.chain(contested).chain(missing).find(begins)
    }

    /// Returns whether the file `plugins.lock` existed when the plugins were loaded.
    pub(crate) fn locked(&self) -> bool {
        self.lock.is_some()
    }

    /// Returns the plugin with this name in the configuration. Returns `None` if the plugin is not loaded.
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<LoadedPlugin<D>>> {
        self.loaded.iter().find(|plugin| &*plugin.name == name)
    }

    /// Copies the files of all loaded plugins to the store. If an operator changes a plugin's file, an open job
    /// continues with the copy of the file with which the job started.
    ///
    /// # Errors
    /// Fails if the store is unavailable.
    pub(crate) async fn store_files(&self, store: &dyn Store) -> Result<(), StoreError> {
        for plugin in &self.loaded {
            let Some(bytes) = plugin.take_bytes() else { continue };
            if store.blob(&plugin.digest).await?.is_none() {
                store.commit(vec![Write::StoreBlob { digest: plugin.digest.clone(), bytes }]).await?;
            }
        }
        Ok(())
    }

    pub(crate) fn digests(&self) -> Vec<String> {
        self.loaded.iter().map(|plugin| plugin.digest.clone()).collect()
    }

    /// Returns the plugin that runs a job. If the loaded plugin has the same file as at the job's start, returns the
    /// loaded plugin. Otherwise loads the stored copy of the file with which the job started, with the plugin's current
    /// grants. A plugin that is no longer configured has no grants.
    ///
    /// # Errors
    /// Fails if the store is unavailable, if `plugins.lock` does not accept the file, or if the stored copy of the
    /// plugin's file is missing, is damaged or does not load.
    pub(crate) async fn of_job(
        &self,
        row: &JobRow,
        start: &StartEntry,
        store: &dyn Store,
    ) -> Result<Arc<LoadedPlugin<D>>, HistoryError> {
        if let Some(plugin) = self.get(&row.plugin).filter(|plugin| plugin.digest == row.digest) {
            return Ok(plugin.clone());
        }
        if let Some(lock) = &self.lock {
            lock.check(&row.plugin, &row.digest).map_err(|why| {
                let plugin = &row.plugin;
                HistoryError::Plugin(format!(
                    "{why}, with which the job started; to let the job continue, an operator can add the digest to \
                     `accepted` of [plugin.{plugin}] in plugins.lock and restart the host"
                ))
            })?;
        }
        let name = (row.plugin.clone(), row.digest.clone());
        let _turn = self.reviving.lock().await;
        let known = self.revived.lock().get(&name).cloned();
        if let Some(plugin) = known {
            return Ok(plugin);
        }
        let bytes = store.blob(&row.digest).await?.filter(|bytes| crate::store::digest(bytes) == row.digest);
        let bytes = bytes.ok_or_else(|| {
            HistoryError::Plugin(format!(
                "the plugin file of `{}` with which the job started is missing or damaged in the database",
                row.plugin
            ))
        })?;
        let grants = self.grants.get(&row.plugin).cloned().unwrap_or_default();
        let loaded = self.loader.revive(&row.plugin, &bytes, grants, start.limits).await;
        let plugin = Arc::new(loaded.map_err(|error| {
            HistoryError::Plugin(format!(
                "the plugin file of `{}` with which the job started cannot be loaded: {error}",
                row.plugin
            ))
        })?);
        tracing::warn!(
            job = row.id,
            plugin = row.plugin,
            digest = row.digest,
            "a job continues with the plugin file with which it started, because the configured plugin file has \
             changed or is not loaded"
        );
        self.revived.lock().insert(name, plugin.clone());
        Ok(plugin)
    }

    /// Returns the plugin that has the command `command`, but failed to load. Returns `None` if there is no such
    /// plugin. The reply to an unknown command names the returned plugin.
    pub(crate) fn missing(&self, command: &str) -> Option<&NotLoaded> {
        self.not_loaded.iter().find(|plugin| plugin.commands.iter().any(|known| known.eq_ignore_ascii_case(command)))
    }
}
