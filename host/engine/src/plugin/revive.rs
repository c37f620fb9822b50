//! Loads a plugin again for a job that began with bytes which the file no longer holds, or that is no longer configured.
//!
//! Invariant: a job keeps its bytes, and nothing else: what it is granted is what the operator grants its plugin now.
//! So all that it imports is linked here, and each call is judged when it is made.

use std::sync::Arc;

use wasmtime::component::Linker;

use super::{
    artifact, describe,
    host_functions::GuestData,
    load::{LoadError, LoadedPlugin, Loader},
};
use crate::{model::Limits, plugin::bindings::PluginPre, policy::Grants};

impl<D: GuestData> Loader<D> {
    /// Loads bytes that were kept, under the name and with the grants that its plugin has now.
    ///
    /// # Errors
    /// Why they do not load.
    pub(crate) async fn revive(
        &self,
        name: &str,
        bytes: &[u8],
        grants: Arc<Grants>,
        limits: Limits,
    ) -> Result<LoadedPlugin<D>, LoadError> {
        let digest = artifact::digest(bytes);
        let (component, note, calls) = self.look(bytes, &digest).await?;
        let name: Arc<str> = name.into();
        let description = describe::check(&name, note.description).map_err(LoadError::Describe)?;
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
            contract: note.contract,
            calls,
            description,
            grants,
            limits,
            settings: Arc::from([]),
            pre,
            bytes: std::sync::Mutex::new(None),
            _runtime: self.runtime().clone(),
        })
    }
}
