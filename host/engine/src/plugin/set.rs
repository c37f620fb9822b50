//! The plugins of a host: those that are loaded, those that failed to load, and the command table.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use super::{
    config::PluginConfig,
    host_functions::GuestData,
    load::{LoadedPlugin, Loader, NotLoaded},
    lock::Lock,
};
use crate::{
    command::CommandTable,
    job::{HistoryError, StartEntry},
    policy::Grants,
    store::{JobRow, Store, StoreError, Write},
};

type NameAndDigest = (String, String);

/// All configured plugins, and the earlier versions that open jobs need.
pub(crate) struct Plugins<D: GuestData> {
    loaded: Vec<Arc<LoadedPlugin<D>>>,
    by_name: HashMap<Arc<str>, usize>,
    not_loaded: Vec<NotLoaded>,
    table: CommandTable,
    locked: bool,
    loader: Loader<D>,
    /// The grants of each configured plugin by name, including plugins that failed to load.
    grants: HashMap<String, Arc<Grants>>,
    /// Plugins that were loaded from stored bytes for open jobs, by name and digest.
    revived: Mutex<HashMap<NameAndDigest, Arc<LoadedPlugin<D>>>>,
}

impl<D: GuestData> Plugins<D> {
    /// Loads all configured plugins, in the order of the file. Logs each plugin that fails to load, and adds it to
    /// [`Self::not_loaded`].
    pub(crate) async fn load(configured: &[PluginConfig], loader: &Loader<D>, lock: Option<&Lock>) -> Self {
        let mut plugins = Self {
            loaded: Vec::new(),
            by_name: HashMap::new(),
            not_loaded: Vec::new(),
            table: CommandTable::new(),
            locked: lock.is_some(),
            loader: loader.clone(),
            grants: configured.iter().map(|plugin| (plugin.name.clone(), plugin.grants.clone())).collect(),
            revived: Mutex::default(),
        };
        for plugin in configured {
            match loader.load(plugin, lock, &mut plugins.table).await {
                Ok(loaded) => {
                    plugins.by_name.insert(loaded.name.clone(), plugins.loaded.len());
                    plugins.loaded.push(loaded);
                }
                Err(not_loaded) => {
                    let (plugin, at) = (&not_loaded.name, not_loaded.at.to_string());
                    let fix = not_loaded.error.fix().unwrap_or_default();
                    tracing::error!(
                        plugin,
                        at,
                        error = %not_loaded.error,
                        fix,
                        "a plugin is not loaded; its commands are unavailable"
                    );
                    plugins.not_loaded.push(not_loaded);
                }
            }
        }
        plugins
    }

    /// Returns the loaded plugins, in the order of the file.
    pub(crate) fn loaded(&self) -> &[Arc<LoadedPlugin<D>>] {
        &self.loaded
    }

    /// Returns the plugins that failed to load, in the order of the file.
    pub(crate) fn not_loaded(&self) -> &[NotLoaded] {
        &self.not_loaded
    }

    /// Returns the commands of the host and of all loaded plugins.
    pub(crate) fn table(&self) -> &CommandTable {
        &self.table
    }

    /// Returns whether the host has a `plugins.lock`.
    pub(crate) fn locked(&self) -> bool {
        self.locked
    }

    /// Returns a loaded plugin by its name in the configuration.
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<LoadedPlugin<D>>> {
        self.by_name.get(name).map(|index| &self.loaded[*index])
    }

    /// Copies the files of all loaded plugins to the store, so that open jobs can continue with the same bytes after a
    /// file was changed.
    ///
    /// # Errors
    /// The store is unavailable.
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

    /// Returns the plugin of a job: the loaded plugin if it has the job's digest, else the plugin from the stored
    /// bytes. Its grants are the current ones; a plugin that is no longer configured has no grants.
    ///
    /// # Errors
    /// The store is unavailable, or the stored bytes are missing, damaged or cannot be loaded.
    pub(crate) async fn of_job(
        &self,
        row: &JobRow,
        start: &StartEntry,
        store: &dyn Store,
    ) -> Result<Arc<LoadedPlugin<D>>, HistoryError> {
        if let Some(plugin) = self.get(&row.plugin).filter(|plugin| plugin.digest == row.digest) {
            return Ok(plugin.clone());
        }
        let name = (row.plugin.clone(), row.digest.clone());
        let known = self.revived.lock().get(&name).cloned();
        if let Some(plugin) = known {
            return Ok(plugin);
        }
        let bytes = store.blob(&row.digest).await?;
        let bytes = bytes.filter(|bytes| crate::store::digest(bytes) == row.digest);
        let bytes = bytes.ok_or_else(|| {
            HistoryError::Plugin(format!("the stored file of plugin {} is missing or damaged", row.plugin))
        })?;
        let grants = self.grants.get(&row.plugin).cloned().unwrap_or_default();
        let loaded = self.loader.revive(&row.plugin, &bytes, grants, start.limits).await;
        let plugin = loaded.map_err(|error| {
            HistoryError::Plugin(format!("the stored file of plugin {} does not load: {error}", row.plugin))
        })?;
        let plugin = Arc::new(plugin);
        tracing::warn!(
            job = row.id,
            plugin = row.plugin,
            digest = row.digest,
            "a job continues with the plugin file of its start, because the plugin's file has changed or is not \
             loaded"
        );
        self.revived.lock().insert(name, plugin.clone());
        Ok(plugin)
    }

    /// Returns the plugin that has this command but failed to load, for the answer to an unknown command.
    pub(crate) fn missing(&self, command: &str) -> Option<&NotLoaded> {
        self.not_loaded.iter().find(|plugin| plugin.commands.iter().any(|known| known.eq_ignore_ascii_case(command)))
    }
}
