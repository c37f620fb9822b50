//! Internal parts of the engine for the benchmarks of this repository, behind the feature `internals`.

use std::path::Path;

use wasmtime::{
    ResourceLimiter,
    component::{Component, Linker},
};

pub use crate::plugin::bindings::{PluginPre, commands, types};
use crate::{
    command::{Asker, Target},
    config::{Config, Registry},
    hostcall::{Loader, Plugins},
    model::Limits,
    plugin::{Artifact, Compiler, Memory, Meter, Runtime},
    policy::Access,
    store::Grant,
};

/// The rights of people: the roles of a configuration and the grants made in chat.
pub struct Rights(Access);

impl Rights {
    /// Creates the rights from a configuration and the grants made in chat.
    ///
    /// # Errors
    /// Fails if the configuration no longer allows one of the grants. The error is a text of one line.
    pub fn new(config: Config, grants: Vec<Grant>) -> Result<Self, String> {
        let access = Access::new(config.policy);
        match access.restore(grants).into_iter().next() {
            None => Ok(Self(access)),
            Some(warning) => Err(warning),
        }
    }

    /// Returns whether a person may run a plugin's command in a room, on an app in an environment. `room` is the
    /// network and the room's id.
    pub fn may(&self, person: &str, room: (&str, &str), command: &str, app: &str, environment: &str) -> bool {
        let asker = Asker { room: Some(room), ..Asker::from(person) };
        let rights = self.0.rights(asker, command, Target::Plugin(command.into()));
        rights.rule(Some(app), Some(environment)).is_some()
    }
}

/// The sandbox of the engine: wasmtime with the engine's settings, clock and limits.
pub struct Sandbox(Runtime);

impl Sandbox {
    /// Creates a sandbox with the engine's settings.
    ///
    /// # Errors
    /// Fails if Wasmtime cannot be started.
    pub fn new() -> wasmtime::Result<Self> {
        Ok(Self(Runtime::with_memory(Memory::Pool)?))
    }

    /// Returns the wasmtime engine. The time limits of plugins need the engine's epoch, which advances only while the
    /// sandbox exists.
    pub fn engine(&self) -> &wasmtime::Engine {
        self.0.engine()
    }

    /// Compiles a plugin. `guest` contains the bytes of the plugin file. Imports that `linker` does not define become
    /// traps.
    ///
    /// # Errors
    /// Fails if the bytes are not a plugin, or if Wasmtime returns an error.
    pub fn prepare<T: Send + 'static>(&self, guest: &[u8], linker: &mut Linker<T>) -> wasmtime::Result<PluginPre<T>> {
        let calls = Registry::default().calls().map_err(wasmtime::Error::msg)?;
        let artifact = Artifact::from_bytes(guest, calls.table()).map_err(wasmtime::Error::new)?;
        let component = Component::new(self.engine(), &artifact.component)?;
        linker.define_unknown_imports_as_traps(&component)?;
        PluginPre::new(linker.instantiate_pre(&component)?)
    }

    /// Creates a memory limiter with the default limits.
    pub fn limiter() -> Box<dyn ResourceLimiter + Send> {
        Box::new(Meter::new(Limits::default()))
    }

    /// Loads the plugins of a configuration as an engine does, and returns their commands. `cache` is the folder of
    /// compiled code.
    ///
    /// # Errors
    /// Fails if a plugin cannot be loaded. The error is a text of one line.
    pub async fn load(self, config: &Config, cache: &Path) -> Result<Vec<String>, String> {
        let loader = Loader::new(self.0, Some(cache.to_owned()), Compiler::default(), config.calls.clone().into());
        let plugins = Plugins::load(&config.plugins, &loader, None, &[]).await;
        match plugins.not_loaded().first() {
            None => Ok(plugins.table().specs().iter().map(|spec| spec.name.clone()).collect()),
            Some(plugin) => Err(format!("plugin {} is not loaded: {}", plugin.name, plugin.error)),
        }
    }
}
