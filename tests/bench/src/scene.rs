//! The measured programs and guests, and configurations of engines for them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use wardroom::{
    Engine, EngineBuilder,
    adapter::{ChatFeatures, MemoryChat, MemoryPipelines, MemoryPipelinesFactory, ReadyChat},
    config::Config,
    model::Outcome,
};

/// The paths of the measured programs and guests.
pub(crate) struct Scene {
    /// The folder of the built guests.
    pub(crate) guests: PathBuf,
    /// A release build of the host, if there is one.
    host: Option<PathBuf>,
    /// A release build with Matrix.
    host_with_matrix: Option<PathBuf>,
}

impl Scene {
    /// From the variables of `cargo xtask bench`; the repository's guests by default.
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

    /// The release build with Matrix.
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

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The person who types.
pub(crate) const PERSON: &str = "@operator:example.org";

/// Writes and reads a configuration with these plugins. One role may run every command, and there is no admin, so that
/// every command looks up the role.
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

/// The table of a plugin from the guest `bench`, with all grants that it uses.
pub(crate) fn plugin(name: &str, module: &Path) -> String {
    let module = module.display();
    format!("\n[plugin.{name}]\nmodule = '{module}'\nallow = [{{ call = [\"store.*\", \"pipelines.*\"] }}]\n")
}

/// An engine with a plain in-memory chat and in-memory pipelines whose runs succeed at once.
pub(crate) fn builder() -> EngineBuilder {
    Engine::builder()
        .chat(ReadyChat(MemoryChat::new(ChatFeatures::PLAIN)))
        .pipelines(MemoryPipelinesFactory(MemoryPipelines::new(Some(Outcome::Succeeded))))
}

/// Writes and reads a configuration for [`builder`].
pub(crate) fn read_text(folder: &Path, text: &str) -> Result<Config> {
    let file = folder.join("plugins.toml");
    std::fs::write(&file, text)?;
    builder().read(&file).context("the bench's own configuration is wrong")
}
