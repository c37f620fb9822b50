//! Loads an earlier version of a plugin for a job that has not ended, if the plugin's file has changed or the plugin is
//! no longer configured.
//!
//! Invariant: a job continues with the plugin file from the job's start, but with the plugin's current grants. A plugin
//! loads even if it imports host calls without a grant. If the plugin makes such a call, the host denies the call.

use std::sync::Arc;

use wasmtime::component::Linker;

use super::{
    artifact, describe,
    host_functions::GuestData,
    load::{LoadError, LoadedPlugin, Loader},
};
use crate::{model::Limits, plugin::bindings::PluginPre, policy::Grants};

impl<D: GuestData> Loader<D> {
    /// Loads the plugin `name` from the stored bytes of its file. `grants` are the plugin's current grants. `limits`
    /// are the limits from the start of the job.
    ///
    /// # Errors
    /// [`LoadError`], for example if this version of the host cannot compile or link the plugin.
    pub(crate) async fn revive(
        &self,
        name: &str,
        bytes: &[u8],
        grants: Arc<Grants>,
        limits: Limits,
    ) -> Result<LoadedPlugin<D>, LoadError> {
        let digest = artifact::digest(bytes);
        let (component, metadata, calls) = self.compile_or_cached(bytes, &digest).await?;
        let name: Arc<str> = name.into();
        let description = describe::check(&name, metadata.description).map_err(LoadError::Describe)?;
        let compile = |error: wasmtime::Error| LoadError::Compile(format!("{error:#}").replace('\n', " "));
        let mut linker = Linker::new(self.runtime().engine());
        for row in &calls {
            self.functions.register(row.name, &mut linker).map_err(compile)?;
        }
        let pre = linker.instantiate_pre(&component).and_then(PluginPre::new).map_err(compile)?;
        Ok(LoadedPlugin {
            counted: crate::metrics::Calls::of(name.clone(), calls.iter().map(|call| call.name.into())),
            name,
            digest,
            contract: metadata.contract,
            calls,
            description,
            grants,
            limits,
            settings: Arc::from([]),
            pre,
            bytes: parking_lot::Mutex::new(None),
            _runtime: self.runtime().clone(),
        })
    }
}
