//! The plugins of a host: those that run, those that did not load, and the commands of all.

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

/// The plugins of a host.
pub(crate) struct Plugins<D: GuestData> {
    loaded: Vec<Arc<LoadedPlugin<D>>>,
    by_name: HashMap<Arc<str>, usize>,
    not_loaded: Vec<NotLoaded>,
    table: CommandTable,
    locked: bool,
    loader: Loader<D>,
    /// What each plugin of the configuration is granted, loaded or not.
    grants: HashMap<String, Arc<Grants>>,
    /// Plugins of open jobs that are not those that are loaded now, by name and digest.
    revived: Mutex<HashMap<NameAndDigest, Arc<LoadedPlugin<D>>>>,
}

impl<D: GuestData> Plugins<D> {
    /// Loads all plugins of a configuration, in the order of the file.
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

    /// Those that run, in the order of the file.
    pub(crate) fn loaded(&self) -> &[Arc<LoadedPlugin<D>>] {
        &self.loaded
    }

    /// Those that do not.
    pub(crate) fn not_loaded(&self) -> &[NotLoaded] {
        &self.not_loaded
    }

    /// The commands of all that run, and of the host.
    pub(crate) fn table(&self) -> &CommandTable {
        &self.table
    }

    /// Whether a lock holds their bytes.
    pub(crate) fn locked(&self) -> bool {
        self.locked
    }

    /// One that runs.
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<LoadedPlugin<D>>> {
        self.by_name.get(name).map(|index| &self.loaded[*index])
    }

    /// Keeps the bytes of all that run in the store, where open jobs find them again when the files hold others.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn keep(&self, store: &dyn Store) -> Result<(), StoreError> {
        for plugin in &self.loaded {
            let Some(bytes) = plugin.take_bytes() else { continue };
            if store.blob(&plugin.digest).await?.is_none() {
                store.commit(vec![Write::StoreBlob { digest: plugin.digest.clone(), bytes }]).await?;
            }
        }
        Ok(())
    }

    /// The digests of all that run.
    pub(crate) fn digests(&self) -> Vec<String> {
        self.loaded.iter().map(|plugin| plugin.digest.clone()).collect()
    }

    /// The plugin of a job: the one that runs, if it has the same bytes; else those that were kept, with what their
    /// plugin is granted now, which is nothing where it is no longer configured.
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
            "a job goes on with the bytes that it began with"
        );
        self.revived.lock().unwrap_or_else(PoisonError::into_inner).insert(name, plugin.clone());
        Ok(plugin)
    }

    /// The plugin that has a command and did not load.
    pub(crate) fn missing(&self, command: &str) -> Option<&NotLoaded> {
        self.not_loaded.iter().find(|plugin| plugin.commands.iter().any(|known| known.eq_ignore_ascii_case(command)))
    }
}
