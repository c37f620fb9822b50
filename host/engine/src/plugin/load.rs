//! Loads plugins. For each plugin, checks and compiles the file, calls the plugin's function `describe`, and links the
//! host calls. If a plugin fails to load, the other plugins still load.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use wasmtime::component::{Component, Linker};

use super::{
    artifact::{ArtifactError, digest, read_file},
    cache::Cache,
    compiler::Compiler,
    config::PluginConfig,
    describe::{self, Description},
    host_functions::{GuestData, HostFunctions},
    lock::{Lock, Locked},
    runtime::Runtime,
};
use crate::{
    base::{At, clean, nearest},
    command::CommandTable,
    metrics::Calls,
    model::{CallKind, CallSpec, Limits},
    plugin::bindings::{PluginPre, commands},
    policy::Grants,
};

/// A loaded plugin, whose commands the host can run.
pub(crate) struct LoadedPlugin<D: GuestData> {
    /// The plugin's name in the configuration.
    pub name: Arc<str>,
    /// The digest of the plugin's file, `sha256:…`.
    pub digest: String,
    /// The contract for which the plugin was built, such as `wardroom:plugin@0.1.0`.
    pub contract: String,
    /// Every host call that the plugin imports.
    pub calls: Vec<CallSpec>,
    pub description: Description,
    /// The plugin's `allow` rules: the host calls that the plugin may make, and with which values.
    pub grants: Arc<Grants>,
    /// The plugin's limits for the run of one command.
    pub limits: Limits,
    /// The names and values of the configured settings, in the order in which the plugin's description lists them. A
    /// setting with several values has one item per value.
    pub settings: Arc<[(String, String)]>,
    pub(crate) pre: PluginPre<D>,
    /// The counters of the plugin's host calls, one for each host call and decision (such as allowed or denied).
    pub(crate) counted: Calls,
    // The bytes of the plugin's file, until `Plugins::store_files` copies them to the store.
    bytes: Mutex<Option<Vec<u8>>>,
    // Keeps the clock thread alive. Without the clock's ticks, the limit on processor time has no effect.
    _runtime: Runtime,
}

/// A configured plugin that did not load.
#[derive(Debug)]
pub(crate) struct NotLoaded {
    /// The plugin's name in the configuration.
    pub name: String,
    /// The file and line of the plugin's table in the configuration.
    pub at: At,
    pub error: LoadError,
    /// The names and aliases of the plugin's commands: from its description or else from `plugins.lock`, and from
    /// `commands` in its table.
    pub commands: Vec<String>,
}

/// The reason why a plugin did not load.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// The plugin's file cannot be read.
    #[error("{0}")]
    Artifact(#[from] ArtifactError),
    /// The plugin's file is not a valid plugin. The value is the reason in one line.
    #[error("{0}")]
    Invalid(String),
    /// The plugin's file has changed: `plugins.lock` contains another digest.
    #[error(
        "its file has changed: the digest is {found}, but plugins.lock has {locked}; review the change, then run \
         `wardroom plugin lock`"
    )]
    Lock {
        /// The digest of the plugin's file, `sha256:…`.
        found: String,
        /// The digest in `plugins.lock`, `sha256:…`.
        locked: String,
    },
    /// `plugins.lock` has no entry for the plugin.
    #[error("plugins.lock has no entry for this plugin; review the plugin, then run `wardroom plugin lock`")]
    NotLocked,
    /// The plugin's component cannot be compiled or linked. The value is the reason in one line.
    #[error("it cannot be compiled: {0}")]
    Compile(String),
    /// The plugin's function `describe` failed, or the description is not valid. The value is the reason in one line.
    #[error("{0}")]
    Describe(String),
    /// The plugin imports host calls that no `allow` rule names.
    #[error("it imports host calls that no `allow` rule names: {}", .calls.join(", "))]
    NotGranted {
        /// The names of the host calls that no `allow` rule names.
        calls: Vec<String>,
        /// The `allow` rules to add to `plugins.toml`, as TOML.
        add: String,
    },
    /// The configured settings do not match the plugin's description. The value is the configuration problems, each
    /// with its file and line.
    #[error("{}", .0.iter().map(|(at, message)| format!("{at}: {message}")).collect::<Vec<_>>().join("; "))]
    Settings(Vec<(At, String)>),
    /// `plugins.lock` revokes the plugin's file. The value is the reason, in one line.
    #[error("{0}")]
    Revoked(String),
    /// The host already has one of the plugin's commands. The value is the name or alias.
    #[error("its command `{0}` is already a command of the host")]
    CommandTaken(String),
    /// The configuration gives the plugin a command that the plugin does not have. The value is the command.
    #[error("it has no command `{0}`, which `commands` gives to it")]
    NoCommand(String),
}

impl LoadError {
    /// Returns the TOML lines that an operator can add to `plugins.toml` to fix the error. Returns `None` if added
    /// lines cannot fix the error.
    pub(crate) fn fix(&self) -> Option<String> {
        match self {
            Self::NotGranted { add, .. } => Some(add.clone()),
            _ => None,
        }
    }
}

/// The contents of the JSON file that the cache stores next to a plugin's compiled code. With this file, the host loads
/// the plugin without parsing the plugin's component and without calling `describe`.
#[derive(Serialize, Deserialize)]
struct CachedMetadata {
    format: u32,
    contract: String,
    calls: Vec<String>,
    description: commands::Description,
}

/// The format version of [`CachedMetadata`]. Increase this number with every incompatible change of the type.
const METADATA_FORMAT: u32 = 2;

pub(crate) struct Loader<D: GuestData> {
    runtime: Runtime,
    cache: Cache,
    compiler: Compiler,
    functions: HostFunctions<D>,
}

impl<D: GuestData> Clone for Loader<D> {
    fn clone(&self) -> Self {
        Self {
            runtime: self.runtime.clone(),
            cache: self.cache.clone(),
            compiler: self.compiler.clone(),
            functions: self.functions.clone(),
        }
    }
}

impl<D: GuestData> Loader<D> {
    /// Creates a loader of plugins. `cache` is the folder for compiled code; with `None`, the loader caches nothing.
    /// `functions` are the host calls that plugins can import.
    pub(crate) fn new(
        runtime: Runtime,
        cache: Option<PathBuf>,
        compiler: Compiler,
        functions: HostFunctions<D>,
    ) -> Self {
        Self { runtime, cache: Cache::new(cache), compiler, functions }
    }

    /// Loads one configured plugin. `lock` is the contents of `plugins.lock`; with `None`, the digest of the plugin's
    /// file is not checked. `table` contains the commands of the host.
    ///
    /// # Errors
    /// [`NotLoaded`] with the reason.
    pub(crate) async fn load(
        &self,
        config: &PluginConfig,
        lock: Option<&Lock>,
        table: &CommandTable,
    ) -> Result<Arc<LoadedPlugin<D>>, NotLoaded> {
        let locked = lock.and_then(|lock| lock.0.get(&config.name));
        let mut commands = locked.map(|locked| [&*locked.commands, &*locked.aliases].concat()).unwrap_or_default();
        let loaded = self.prepare(config, lock, &mut commands).await.and_then(|plugin| {
            if let Some(word) = plugin.description.words().find(|word| table.get(word).is_some()) {
                return Err(LoadError::CommandTaken(word.to_owned()));
            }
            match config.commands.iter().find(|given| plugin.description.words().all(|word| word != given.as_str())) {
                Some(given) => Err(LoadError::NoCommand(given.clone())),
                None => Ok(plugin),
            }
        });
        loaded.map(Arc::new).map_err(|error| {
            commands
                .extend(config.commands.iter().filter(|given| !commands.contains(given)).cloned().collect::<Vec<_>>());
            NotLoaded { name: config.name.clone(), at: config.at.clone(), error, commands }
        })
    }

    /// Loads one plugin, but does not add the plugin's commands to the command table. After the check of the
    /// description, sets `commands` to the names and aliases of the plugin's commands. The names are then available
    /// even if a later step fails.
    async fn prepare(
        &self,
        config: &PluginConfig,
        lock: Option<&Lock>,
        commands: &mut Vec<String>,
    ) -> Result<LoadedPlugin<D>, LoadError> {
        // 1. If there is a `plugins.lock`, it must contain the file's digest.
        let bytes = read_file(&config.module)?;
        let digest = digest(&bytes);
        if let Some(lock) = lock {
            match lock.0.get(&config.name) {
                None => return Err(LoadError::NotLocked),
                Some(locked) if locked.digest != digest => {
                    return Err(LoadError::Lock { found: digest, locked: locked.digest.clone() });
                }
                Some(_) => lock.check(&config.name, &digest).map_err(LoadError::Revoked)?,
            }
        }
        // 2. Compile the component, and check its description.
        let (component, metadata, calls) = self.compile_or_cached(&bytes, &digest).await?;
        let name: Arc<str> = config.name.as_str().into();
        let description = describe::check(&name, metadata.description).map_err(LoadError::Describe)?;
        *commands = description.words().map(str::to_owned).collect();
        // 3. Check that a rule names every import that needs one, and that the settings match the description.
        check_grants(&config.name, &config.grants, &calls)?;
        let settings = settings(config, &description)?;
        // 4. Link the imported functions.
        let compiled = (component, metadata.contract, calls);
        let plugin = self.link(name, digest, compiled, description, config.grants.clone(), config.limits)?;
        Ok(LoadedPlugin { settings, bytes: Mutex::new(Some(bytes)), ..plugin })
    }

    /// Loads the earlier version of the plugin `name` with which an open job started. The caller needs that version if
    /// the plugin's file has changed since, or if the plugin is not loaded. `bytes` are the stored bytes of the earlier
    /// file. `limits` are the limits from the start of the job. `grants` are the plugin's current grants. The plugin
    /// loads even if it imports host calls without a grant. If the plugin makes such a call, the host denies the call.
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
        let digest = digest(bytes);
        let (component, metadata, calls) = self.compile_or_cached(bytes, &digest).await?;
        let name: Arc<str> = name.into();
        let description = describe::check(&name, metadata.description).map_err(LoadError::Describe)?;
        self.link(name, digest, (component, metadata.contract, calls), description, grants, limits)
    }

    /// Links the host calls that a compiled plugin imports, and no others. The returned plugin contains neither the
    /// settings nor the bytes of the file.
    fn link(
        &self,
        name: Arc<str>,
        digest: String,
        (component, contract, calls): (Component, String, Vec<CallSpec>),
        description: Description,
        grants: Arc<Grants>,
        limits: Limits,
    ) -> Result<LoadedPlugin<D>, LoadError> {
        let mut linker = Linker::new(self.runtime.engine());
        for row in &calls {
            (self.functions.register)(row.name, &mut linker).map_err(compile_error)?;
        }
        let pre = linker.instantiate_pre(&component).and_then(PluginPre::new).map_err(compile_error)?;
        Ok(LoadedPlugin {
            counted: Calls::of(name.clone(), calls.iter().map(|call| call.name.into())),
            name,
            digest,
            contract,
            calls,
            description,
            grants,
            limits,
            settings: Arc::from([]),
            pre,
            bytes: Mutex::new(None),
            _runtime: self.runtime.clone(),
        })
    }

    /// Returns the compiled component of a plugin, the plugin's metadata, and the host calls that the plugin imports.
    /// Reads all three from the cache. If one of them is missing there, compiles the component and stores the results
    /// in the cache. `bytes` are the contents of the plugin's file.
    async fn compile_or_cached(
        &self,
        bytes: &[u8],
        digest: &str,
    ) -> Result<(Component, CachedMetadata, Vec<CallSpec>), LoadError> {
        let engine = self.runtime.engine();
        if let Some(metadata) = self.cache.metadata::<CachedMetadata>(engine, digest)
            && metadata.format == METADATA_FORMAT
            && let Some(calls) = self.known_calls(&metadata)
            && let Some(component) = self.cache.compiled(engine, digest)
        {
            return Ok((component, metadata, calls));
        }
        let compiled = self.compiler.compile(engine, &self.functions.table, bytes).await?;
        let (cache, engine_of_cache, name, code) =
            (self.cache.clone(), engine.clone(), digest.to_owned(), compiled.code);
        // On a blocking thread, because the cache writes and syncs a file.
        let stored = tokio::task::spawn_blocking(move || cache.store(&engine_of_cache, &name, &code)).await;
        let component = stored.map_err(|error| LoadError::Compile(error.to_string()))?.map_err(compile_error)?;
        let description = describe::call_describe(&self.runtime, &component).await.map_err(LoadError::Describe)?;
        let (contract, names) = (compiled.contract, compiled.calls);
        let metadata = CachedMetadata { format: METADATA_FORMAT, contract, calls: names, description };
        self.cache.store_metadata(engine, digest, &metadata);
        let calls = self.known_calls(&metadata).ok_or_else(|| LoadError::Compile("unknown host calls".to_owned()))?;
        Ok((component, metadata, calls))
    }

    /// Returns the host calls that a plugin imports; `None` if this host does not have one of them.
    fn known_calls(&self, metadata: &CachedMetadata) -> Option<Vec<CallSpec>> {
        metadata.calls.iter().map(|name| self.functions.table.get(name).copied()).collect()
    }

    /// Reads, compiles and describes a plugin file that is not configured. Returns its digest, its contract, its host
    /// calls and its description.
    ///
    /// # Errors
    /// [`LoadError`]: the file is not a valid plugin.
    pub(crate) async fn inspect(&self, file: &Path) -> Result<(String, String, Vec<CallSpec>, Description), LoadError> {
        let bytes = read_file(file)?;
        let digest = digest(&bytes);
        let (_, metadata, calls) = self.compile_or_cached(&bytes, &digest).await?;
        let description = describe::check(&"plugin".into(), metadata.description).map_err(LoadError::Describe)?;
        Ok((digest, metadata.contract, calls, description))
    }
}

impl<D: GuestData> LoadedPlugin<D> {
    /// Moves the bytes of the plugin's file out of this value and returns them. Returns `None` if an earlier call has
    /// already moved the bytes.
    pub(crate) fn take_bytes(&self) -> Option<Vec<u8>> {
        self.bytes.lock().take()
    }

    /// Returns the entry that the plugin gets in `plugins.lock`.
    pub(crate) fn locked(&self) -> Locked {
        let mut commands: Vec<String> = self.description.commands.iter().map(|spec| spec.name.clone()).collect();
        let mut aliases: Vec<String> =
            self.description.commands.iter().flat_map(|spec| spec.aliases.iter().cloned()).collect();
        let mut calls: Vec<String> = self.calls.iter().map(|row| row.name.to_owned()).collect();
        commands.sort();
        aliases.sort();
        calls.sort();
        let (digest, contract) = (self.digest.clone(), self.contract.clone());
        Locked { digest, contract, commands, aliases, calls, ..Locked::default() }
    }
}

fn compile_error(error: wasmtime::Error) -> LoadError {
    LoadError::Compile(format!("{error:#}").replace('\n', " "))
}

/// Checks that the plugin's `allow` rules name every imported host call that needs a rule.
///
/// # Errors
/// [`LoadError::NotGranted`], with the `allow` rules to add.
fn check_grants(plugin: &str, grants: &Grants, calls: &[CallSpec]) -> Result<(), LoadError> {
    let unnamed = |row: &&CallSpec| row.kind.needs_rule() && grants.naming(row.name).next().is_none();
    let missing: Vec<&CallSpec> = calls.iter().filter(unnamed).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let rule = |rows: &[&&CallSpec], limit: &str| {
        let names: Vec<String> = rows.iter().map(|row| format!("\"{}\"", row.name)).collect();
        format!("[[plugin.{plugin}.allow]]\ncall = [{}]{limit}", names.join(", "))
    };
    // The suggested rule for an effect names an environment or a role. Without one, the rule would also allow every
    // environment and role that is added later.
    let (acts, others): (Vec<_>, Vec<_>) = missing.iter().partition(|row| row.kind == CallKind::Acts);
    let mut rules = Vec::new();
    if !others.is_empty() {
        rules.push(rule(&others, ""));
    }
    // The environment is optional for calls that take their attributes from the command. A rule with `environment`
    // would deny commands without an environment, so the suggested rule has `role` instead.
    let (placed, typed): (Vec<_>, Vec<_>) =
        acts.into_iter().partition(|row| row.environment == crate::model::EnvironmentFrom::Target);
    if !placed.is_empty() {
        rules.push(rule(&placed, "\nenvironment = [\"...\"]"));
    }
    if !typed.is_empty() {
        rules.push(rule(&typed, "\nrole = [\"...\"]"));
    }
    Err(LoadError::NotGranted { calls: missing.iter().map(|row| row.name.to_owned()).collect(), add: rules.join("\n") })
}

/// Checks a plugin's configured settings against its description. Returns the names and values of the settings, in the
/// order of the description.
///
/// # Errors
/// [`LoadError::Settings`], with all configuration problems.
fn settings(config: &PluginConfig, description: &Description) -> Result<Arc<[(String, String)]>, LoadError> {
    // 1. Unknown settings.
    let mut problems = Vec::new();
    for (name, _) in &config.settings {
        if !description.settings.iter().any(|setting| setting.name == name.value) {
            let meant = nearest(&name.value, description.settings.iter().map(|setting| setting.name.as_str()));
            let meant = meant.map(|meant| format!(", did you mean `{meant}`?")).unwrap_or_default();
            problems.push((name.at.clone(), format!("the plugin has no setting `{}`{meant}", name.value)));
        }
    }
    // 2. Missing settings, too many values, and values that do not match the pattern.
    let mut settings = Vec::new();
    for setting in &description.settings {
        let Some((name, values)) = config.settings.iter().find(|(name, _)| name.value == setting.name) else {
            if setting.required {
                let message = format!("the plugin needs the setting `{}`: {}", setting.name, setting.summary);
                problems.push((config.settings_at.clone(), message));
            }
            continue;
        };
        if values.len() > 1 && !setting.many {
            let (setting, count) = (&setting.name, values.len());
            let message = format!("the setting `{setting}` takes one value, but {count} are configured");
            problems.push((name.at.clone(), message));
        }
        for value in values {
            match setting.check(&value.value) {
                Err(reason) => {
                    let (setting, value_text) = (&setting.name, clean(&value.value));
                    let message = format!("`{value_text}` is not a valid value of the setting `{setting}`: {reason}");
                    problems.push((value.at.clone(), message));
                }
                Ok(()) => settings.push((setting.name.clone(), value.value.clone())),
            }
        }
    }
    if problems.is_empty() { Ok(settings.into()) } else { Err(LoadError::Settings(problems)) }
}
