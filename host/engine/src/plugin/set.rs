//! The plugins of a host: those that are loaded, those that failed to load, and the command table.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

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
    /// The grants of each configured plugin by name, also of those that failed to load.
    grants: HashMap<String, Arc<Grants>>,
    /// Plugins that were loaded from stored bytes for open jobs, by name and digest.
    revived: Mutex<HashMap<NameAndDigest, Arc<LoadedPlugin<D>>>>,
}

impl<D: GuestData> Plugins<D> {
    /// Loads all configured plugins, in the order of the file. A plugin that fails is logged and listed in
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
                    tracing::error!(plugin, at, error = %not_loaded.error, fix, "a plugin is not loaded");
                    plugins.not_loaded.push(not_loaded);
                }
            }
        }
        plugins
    }

    /// The loaded plugins, in the order of the file.
    pub(crate) fn loaded(&self) -> &[Arc<LoadedPlugin<D>>] {
        &self.loaded
    }

    /// The plugins that failed to load, in the order of the file.
    pub(crate) fn not_loaded(&self) -> &[NotLoaded] {
        &self.not_loaded
    }

    /// The commands of the host and of all loaded plugins.
    pub(crate) fn table(&self) -> &CommandTable {
        &self.table
    }

    /// Whether the host has a `plugins.lock`.
    pub(crate) fn locked(&self) -> bool {
        self.locked
    }

    /// A loaded plugin by its name in the configuration.
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<LoadedPlugin<D>>> {
        self.by_name.get(name).map(|index| &self.loaded[*index])
    }

    /// Copies the files of all loaded plugins to the store, so that open jobs can continue with them after a file was
    /// changed.
    ///
    /// # Errors
    /// The store is unavailable.
    pub(crate) async fn keep(&self, store: &dyn Store) -> Result<(), StoreError> {
        for plugin in &self.loaded {
            let Some(bytes) = plugin.take_bytes() else { continue };
            if store.blob(&plugin.digest).await?.is_none() {
                store.commit(vec![Write::StoreBlob { digest: plugin.digest.clone(), bytes }]).await?;
            }
        }
        Ok(())
    }

    /// The digests of all loaded plugins.
    pub(crate) fn digests(&self) -> Vec<String> {
        self.loaded.iter().map(|plugin| plugin.digest.clone()).collect()
    }

    /// The plugin of a job: the loaded one if its digest is the job's, else one that is loaded from the stored bytes.
    /// It has the plugin's current grants, which are none if the plugin is no longer configured.
    ///
    /// # Errors
    /// The store is unavailable, or the stored bytes are missing, damaged or cannot be loaded.
    pub(crate) async fn of_job(
        &self,
        row: &JobRow,
        begun: &StartEntry,
        store: &dyn Store,
    ) -> Result<Arc<LoadedPlugin<D>>, HistoryError> {
        if let Some(plugin) = self.get(&row.plugin).filter(|plugin| plugin.digest == row.digest) {
            return Ok(plugin.clone());
        }
        let name = (row.plugin.clone(), row.digest.clone());
        let known = self.revived.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
        if let Some(plugin) = known {
            return Ok(plugin);
        }
        let bytes = store.blob(&row.digest).await?;
        let bytes = bytes.filter(|bytes| crate::store::digest(bytes) == row.digest);
        let bytes =
            bytes.ok_or_else(|| HistoryError::Plugin(format!("the bytes of plugin {} are gone", row.plugin)))?;
        let grants = self.grants.get(&row.plugin).cloned().unwrap_or_default();
        let loaded = self.loader.revive(&row.plugin, &bytes, grants, begun.limits).await;
        let plugin =
            loaded.map_err(|error| HistoryError::Plugin(format!("plugin {} does not load: {error}", row.plugin)))?;
        let plugin = Arc::new(plugin);
        tracing::warn!(
            job = row.id,
            plugin = row.plugin,
            digest = row.digest,
            "a job continues with the plugin version that it started with"
        );
        self.revived.lock().unwrap_or_else(PoisonError::into_inner).insert(name, plugin.clone());
        Ok(plugin)
    }

    /// The plugin that failed to load and has this command. Used to explain an unknown command.
    pub(crate) fn missing(&self, command: &str) -> Option<&NotLoaded> {
        self.not_loaded.iter().find(|plugin| plugin.commands.iter().any(|known| known.eq_ignore_ascii_case(command)))
    }
}
