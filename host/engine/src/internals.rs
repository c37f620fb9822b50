//! Parts that this repository's benches measure on their own, behind the feature `internals`.

use std::path::Path;

pub use crate::{
    command::{Asker, Target},
    hostcall::Plugins,
    plugin::{Artifact, Memory, Meter, Runtime, bindings},
    policy::Access,
};
use crate::{config::Config, hostcall::Loader};

/// The rights of a configuration, without grants made in chat.
pub fn access(config: Config) -> Access {
    Access::new(config.policy)
}

/// Loads the plugins of a configuration as an engine does, with this folder of compiled code.
pub async fn load_plugins(config: &Config, runtime: Runtime, cache: &Path) -> Plugins {
    let loader = Loader::new(runtime, Some(cache.to_owned()), config.calls.clone().into());
    Plugins::load(&config.plugins, &loader, None).await
}
