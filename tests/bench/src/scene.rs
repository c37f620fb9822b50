//! The measured programs and guests, and configurations of engines that run them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use wardroom::{
    Engine, EngineBuilder,
    adapter::{ChatFeatures, MemoryChat, MemoryPipelines},
    config::Config,
    model::Outcome,
};

/// The paths of the measured programs and guests.
pub(crate) struct Scene {
    /// The folder of the built guests.
    pub(crate) guests: PathBuf,
    /// The release build of the host, if its variable is set.
    host: Option<PathBuf>,
    /// The release build with Matrix and Mattermost, if its variable is set.
    host_with_chat: Option<PathBuf>,
}

impl Scene {
    /// Reads the environment variables that `cargo xtask bench` sets. The default for the guests is the repository's
    /// folder.
    pub(crate) fn of_environment() -> Result<Self> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let guests = set("WARDROOM_GUESTS").unwrap_or_else(|| root().join("guests"));
        Ok(Self {
            guests: std::path::absolute(guests)?,
            host: set("WARDROOM_BIN_RELEASE"),
            host_with_chat: set("WARDROOM_BIN_CHAT"),
        })
    }

    /// Returns the release build of the host.
    pub(crate) fn host(&self) -> Result<&Path> {
        self.host.as_deref().context("`WARDROOM_BIN_RELEASE` is not set; run `cargo xtask bench`")
    }

    /// Returns the release build with Matrix and Mattermost.
    pub(crate) fn host_with_chat(&self) -> Result<&Path> {
        let named = self.host_with_chat.as_deref();
        named.context("`WARDROOM_BIN_CHAT` is not set; run `cargo xtask bench`")
    }

    /// Reads the guest `bench`, which replies to `ping` after one host call.
    pub(crate) fn guest(&self) -> Result<Vec<u8>> {
        let file = self.guests.join("bench.wasm");
        std::fs::read(&file)
            .with_context(|| format!("`{}` cannot be read; build the guests with `cargo xtask guests`", file.display()))
    }
}

/// Returns the root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The id of the person who types the commands.
pub(crate) const PERSON: &str = "@operator:example.org";

/// Writes and reads a configuration with these plugins. It has one role with every command and no admin, so that
/// the host looks up the role for every command.
pub(crate) fn config(folder: &Path, modules: impl IntoIterator<Item = (String, PathBuf)>) -> Result<Config> {
    let mut text = format!("[bot.bench.memory]\n\n{}", role());
    for (name, module) in modules {
        text.push_str(&plugin(&name, &module));
    }
    read_text(folder, &text)
}

/// Returns the table of a role that may run every command.
pub(crate) fn role() -> String {
    format!("[role.asker]\nmembers = [\"{PERSON}\"]\ncommands = [\"*\"]\napps = [\"*\"]\nenvironments = [\"*\"]\n")
}

/// Returns the table of a plugin with the guest `bench` and all grants that it needs.
pub(crate) fn plugin(name: &str, module: &Path) -> String {
    let module = module.display();
    format!("\n[plugin.{name}]\nmodule = '{module}'\nallow = [{{ call = [\"store.*\", \"pipelines.*\"] }}]\n")
}

/// Returns tables in which everybody may deploy the apps `a0`, `a1` and so on to staging. Each run lasts `seconds`.
pub(crate) fn deployments(guests: &Path, apps: usize, seconds: u32) -> String {
    let mut text = format!(
        "[environment.staging]\n\n[role.team]\nmembers = [\"everyone\"]\ncommands = [\"deploy\", \"where\"]\n\
         apps = [\"*\"]\nenvironments = [\"staging\"]\n\n[plugin.deploy]\nmodule = '{}'\n\
         allow = [{{ call = [\"pipelines.*\", \"catalog.*\"] }}]\n",
        guests.join("deploy.wasm").display()
    );
    for app in 0..apps {
        text.push_str(&format!(
            "\n[app.a{app}.deploy.staging]\nrun = [\"sh\", \"-c\", \"sleep {seconds}\", \"sh\", \"{{version}}\"]\n\
             parameters = {{ version = '[0-9.]+' }}\n"
        ));
    }
    text
}

/// Returns a builder with an in-memory chat and in-memory pipelines whose runs succeed at once.
pub(crate) fn builder() -> EngineBuilder {
    Engine::builder()
        .chat(MemoryChat::new(ChatFeatures::PLAIN))
        .pipelines(MemoryPipelines::new(Some(Outcome::Succeeded)))
}

/// Writes and reads a configuration for [`builder`].
pub(crate) fn read_text(folder: &Path, text: &str) -> Result<Config> {
    let file = folder.join("plugins.toml");
    std::fs::write(&file, text)?;
    builder().read(&file).context("the configuration of the benchmark is not valid")
}
