//! Where the measured things are, and the configurations of engines put up on them.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result, anyhow};
use wardroom::{
    config::{Config, Registry, read},
    port::{
        Abilities, Outcome, ReadyChat,
        memory::{MemoryChat, MemoryPipelines, MemoryPipelinesFactory},
    },
};

/// Where the measured things are.
pub(crate) struct Scene {
    /// The folder with the built guests.
    pub(crate) guests: PathBuf,
    /// A release build of the host, if there is one.
    host: Option<PathBuf>,
    /// One that can speak Matrix.
    host_with_matrix: Option<PathBuf>,
}

impl Scene {
    /// What `cargo xtask bench` says; the checkout's own guests if nothing is said.
    pub(crate) fn of_environment() -> Result<Self> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let guests = set("WARDROOM_GUESTS").unwrap_or_else(|| root().join("guests"));
        Ok(Self {
            guests: std::path::absolute(guests)?,
            host: set("WARDROOM_BIN_RELEASE"),
            host_with_matrix: set("WARDROOM_BIN_MATRIX"),
        })
    }

    /// The release build of the host.
    pub(crate) fn host(&self) -> Result<&Path> {
        self.host.as_deref().context("`WARDROOM_BIN_RELEASE` names no host; start with: cargo xtask bench")
    }

    /// A release build of the host that can speak Matrix.
    pub(crate) fn host_with_matrix(&self) -> Result<&Path> {
        let named = self.host_with_matrix.as_deref();
        named.context("`WARDROOM_BIN_MATRIX` names no host; start with: cargo xtask bench")
    }

    /// The bytes of the guest `bench`, which answers `ping` after one host call.
    pub(crate) fn guest(&self) -> Result<Vec<u8>> {
        let file = self.guests.join("bench.wasm");
        std::fs::read(&file)
            .with_context(|| format!("`{}` cannot be read; build it with: cargo xtask guests", file.display()))
    }
}

/// The checkout.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Who types.
pub(crate) const PERSON: &str = "@operator:example.org";

/// Writes a configuration with these plugins into a folder, and reads it. One role may run every command; nobody is
/// an admin, so that rights are looked up.
pub(crate) fn config(folder: &Path, modules: impl IntoIterator<Item = (String, PathBuf)>) -> Result<Config> {
    let mut text = format!("[bot.bench.memory]\n\n{}", role());
    for (name, module) in modules {
        text.push_str(&plugin(&name, &module));
    }
    read_text(folder, &text)
}

/// The role that may run every command.
pub(crate) fn role() -> String {
    format!("[role.asker]\nmembers = [\"{PERSON}\"]\ncommands = [\"*\"]\napps = [\"*\"]\nenvironments = [\"*\"]\n")
}

/// The table of a plugin made of the guest `bench`, which may do all that this one can.
pub(crate) fn plugin(name: &str, module: &Path) -> String {
    let module = module.display();
    format!("\n[plugin.{name}]\nmodule = '{module}'\nallow = [{{ call = [\"store.*\", \"pipelines.*\"] }}]\n")
}

/// Writes a configuration into a folder and reads it, with a chat in memory that can do nothing but messages, and
/// pipelines in memory whose runs succeed at once.
pub(crate) fn read_text(folder: &Path, text: &str) -> Result<Config> {
    let file = folder.join("plugins.toml");
    std::fs::write(&file, text)?;
    let pipelines = MemoryPipelinesFactory(MemoryPipelines::new(Some(Outcome::Succeeded)));
    let registry = Registry {
        chats: vec![Arc::new(ReadyChat(MemoryChat::new(Abilities::PLAIN)))],
        pipelines: vec![Arc::new(pipelines)],
        ..Registry::default()
    };
    read(&file, &registry).map_err(|problems| anyhow!("the bench's own configuration is wrong: {problems:?}"))
}
