//! Loads plugins: checks, compiles, describes and links them. A plugin that fails to load does not affect the others.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use wasmtime::component::{Component, Linker};

use super::{
    artifact::{Artifact, ArtifactError, digest, read_file},
    cache::Cache,
    config::PluginConfig,
    describe::{self, Description},
    host_functions::{GuestData, HostFunctions},
    lock::{Lock, Locked},
    runtime::Runtime,
};
use crate::{
    base::{At, nearest},
    command::CommandTable,
    metrics::Calls,
    model::{CallKind, CallSpec, Limits},
    plugin::bindings::{PluginPre, commands},
    policy::Grants,
};

/// A plugin that is ready to run.
pub(crate) struct LoadedPlugin<D: GuestData> {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// The digest of its file, `sha256:...`.
    pub digest: String,
    /// The contract that it was built for, with its version.
    pub contract: String,
    /// Every host call that it imports.
    pub calls: Vec<CallSpec>,
    /// Its commands and settings.
    pub description: Description,
    /// Its `allow` rules.
    pub grants: Arc<Grants>,
    /// The limits of one invocation.
    pub limits: Limits,
    /// Names and values of its settings, in the order of its description. A name with several values is repeated.
    pub settings: Arc<[(String, String)]>,
    pub(crate) pre: PluginPre<D>,
    /// The metric that counts its calls and their decisions.
    pub(crate) counted: Calls,
    // The file's bytes, until they are copied to the store for open jobs.
    pub(crate) bytes: Mutex<Option<Vec<u8>>>,
    // Keeps the clock thread alive. Without its ticks the limit on processor time has no effect.
    pub(crate) _runtime: Runtime,
}

/// A plugin that did not load.
#[derive(Debug)]
pub(crate) struct NotLoaded {
    /// Its name in the configuration.
    pub name: String,
    /// The file and line of its table.
    pub at: At,
    /// The reason.
    pub error: LoadError,
    /// Its commands, from its description or else from the lock. Empty if neither is available.
    pub commands: Vec<String>,
}

/// Why a plugin does not load.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// Its file is not a plugin.
    #[error("{0}")]
    Artifact(#[from] ArtifactError),
    /// The lock contains another digest.
    #[error(
        "its bytes are not those that plugins.lock names ({found}, locked {locked}); if the change was reviewed: wardroom plugin lock"
    )]
    Lock {
        /// The digest of the file.
        found: String,
        /// The digest in the lock.
        locked: String,
    },
    /// It is not in the lock.
    #[error("plugins.lock does not name it; if it was reviewed: wardroom plugin lock")]
    NotLocked,
    /// It cannot be compiled or linked.
    #[error("it cannot be compiled: {0}")]
    Compile(String),
    /// `describe` failed, or its description is invalid.
    #[error("{0}")]
    Describe(String),
    /// It imports calls that no rule names.
    #[error("it can call {}, and no rule names that", .calls.join(", "))]
    NotGranted {
        /// The names of the calls.
        calls: Vec<String>,
        /// The `allow` rules to add, as TOML.
        add: String,
    },
    /// Its settings do not match its description. Each problem has its position in the file.
    #[error("{}", .0.iter().map(|(at, message)| format!("{at}: {message}")).collect::<Vec<_>>().join("; "))]
    Settings(Vec<(At, String)>),
    /// Another plugin has one of its commands.
    #[error("it has the command `{word}`, which {owner} has already")]
    CommandTaken {
        /// The command or alias.
        word: String,
        /// The plugin or host that has it, for the message.
        owner: String,
    },
}

impl LoadError {
    /// The configuration lines that fix the error, if any do.
    pub(crate) fn fix(&self) -> Option<String> {
        match self {
            Self::NotGranted { add, .. } => Some(add.clone()),
            _ => None,
        }
    }
}

/// A file in the cache with the facts about a compiled plugin. With it, the plugin loads without parsing and
/// `describe`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Note {
    format: u32,
    pub(crate) contract: String,
    calls: Vec<String>,
    pub(crate) description: commands::Description,
}

/// The ending of the note's file name.
const NOTE: &str = "plugin.json";
/// The format of the note. Increase it with every incompatible change of [`Note`].
const NOTE_FORMAT: u32 = 1;

/// Loads plugins.
pub(crate) struct Loader<D: GuestData> {
    runtime: Runtime,
    cache: Cache,
    pub(crate) functions: HostFunctions<D>,
}

impl<D: GuestData> Clone for Loader<D> {
    fn clone(&self) -> Self {
        Self { runtime: self.runtime.clone(), cache: self.cache.clone(), functions: self.functions.clone() }
    }
}

impl<D: GuestData> Loader<D> {
    /// `cache` is the folder for compiled code. With `None` nothing is cached.
    pub(crate) fn new(runtime: Runtime, cache: Option<PathBuf>, functions: HostFunctions<D>) -> Self {
        Self { runtime, cache: Cache::new(cache), functions }
    }

    /// The wasmtime engine that runs the plugins, and its clock.
    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Loads one plugin and adds its commands to the table.
    ///
    /// # Errors
    /// The plugin does not load. The command table is then unchanged.
    pub(crate) async fn load(
        &self,
        config: &PluginConfig,
        lock: Option<&Lock>,
        table: &mut CommandTable,
    ) -> Result<Arc<LoadedPlugin<D>>, NotLoaded> {
        let locked = lock.and_then(|lock| lock.0.get(&config.name));
        let mut commands = locked.map(|locked| locked.commands.clone()).unwrap_or_default();
        let loaded = self.prepare(config, lock, &mut commands).await.and_then(|plugin| {
            for spec in &plugin.description.commands {
                if let Some((word, owner)) = table.taken(spec) {
                    let owner = match &owner.target {
                        crate::command::Target::Host(_) => "the host".to_owned(),
                        crate::command::Target::Plugin(name) => format!("plugin {name}"),
                    };
                    return Err(LoadError::CommandTaken { word: word.to_owned(), owner });
                }
            }
            Ok(plugin)
        });
        match loaded {
            Ok(plugin) => {
                table.add(plugin.description.commands.iter().cloned());
                Ok(Arc::new(plugin))
            }
            Err(error) => Err(NotLoaded { name: config.name.clone(), at: config.at.clone(), error, commands }),
        }
    }

    /// Loads one plugin without its commands. Sets `commands` as soon as the description is known, for messages about a
    /// plugin that does not load.
    async fn prepare(
        &self,
        config: &PluginConfig,
        lock: Option<&Lock>,
        commands: &mut Vec<String>,
    ) -> Result<LoadedPlugin<D>, LoadError> {
        // 1. The file's digest must be the one in the lock, if there is a lock.
        let bytes = read_file(&config.module)?;
        let digest = digest(&bytes);
        if let Some(lock) = lock {
            match lock.0.get(&config.name) {
                None => return Err(LoadError::NotLocked),
                Some(locked) if locked.digest != digest => {
                    return Err(LoadError::Lock { found: digest, locked: locked.digest.clone() });
                }
                Some(_) => {}
            }
        }
        // 2. Compile it, and check its description.
        let (component, note, calls) = self.compile_or_cached(&bytes, &digest).await?;
        let name: Arc<str> = config.name.as_str().into();
        let description = describe::check(&name, note.description).map_err(LoadError::Describe)?;
        *commands = description.commands.iter().map(|spec| spec.name.clone()).collect();
        // 3. Every import that needs a rule must have one, and the settings must match the description.
        granted(&config.name, &config.grants, &calls)?;
        let settings = settings(config, &description)?;
        // 4. Link the imported functions and no others.
        let compile = |error: wasmtime::Error| LoadError::Compile(format!("{error:#}").replace('\n', " "));
        let mut linker = Linker::new(self.runtime.engine());
        for row in &calls {
            self.functions.register(row.name, &mut linker).map_err(compile)?;
        }
        let pre = linker.instantiate_pre(&component).and_then(PluginPre::new).map_err(compile)?;
        Ok(LoadedPlugin {
            counted: Calls::of(name.clone(), calls.iter().map(|call| call.name.into())),
            name,
            digest,
            contract: note.contract,
            calls,
            description,
            grants: config.grants.clone(),
            limits: config.limits,
            settings,
            pre,
            bytes: Mutex::new(Some(bytes)),
            _runtime: self.runtime.clone(),
        })
    }

    /// The compiled component, its note and its imports: from the cache if it contains them, else from a new
    /// compilation.
    pub(crate) async fn compile_or_cached(
        &self,
        bytes: &[u8],
        digest: &str,
    ) -> Result<(Component, Note, Vec<CallSpec>), LoadError> {
        let engine = self.runtime.engine();
        if let Some(note) = self.cache.note::<Note>(engine, digest, NOTE)
            && note.format == NOTE_FORMAT
            && let Some(calls) =
                note.calls.iter().map(|name| self.functions.table().get(name).copied()).collect::<Option<Vec<_>>>()
            && let Some(component) = self.cache.compiled(engine, digest)
        {
            return Ok((component, note, calls));
        }
        let (bytes, cache, runtime, name) =
            (bytes.to_vec(), self.cache.clone(), self.runtime.clone(), digest.to_owned());
        // Compilation runs on its own thread, because it would block the guests of this one.
        let table = self.functions.table().clone();
        let compiled = tokio::task::spawn_blocking(move || {
            let artifact = Artifact::from_bytes(&bytes, &table)?;
            let component = cache
                .compile(runtime.engine(), &name, &artifact.component)
                .map_err(|error| LoadError::Compile(format!("{error:#}").replace('\n', " ")))?;
            Ok::<_, LoadError>((artifact, component))
        });
        let (artifact, component) = compiled.await.map_err(|error| LoadError::Compile(error.to_string()))??;
        let description = describe::call_describe(&self.runtime, &component).await.map_err(LoadError::Describe)?;
        let calls = artifact.calls.iter().map(|row| row.name.to_owned()).collect();
        let note = Note { format: NOTE_FORMAT, contract: artifact.contract, calls, description };
        self.cache.keep_note(engine, digest, NOTE, &note);
        Ok((component, note, artifact.calls))
    }
}

impl<D: GuestData> LoadedPlugin<D> {
    /// Takes the file's bytes. `None` after the first call.
    pub(crate) fn take_bytes(&self) -> Option<Vec<u8>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Its entry for `plugins.lock`.
    pub(crate) fn locked(&self) -> Locked {
        let mut commands: Vec<String> = self.description.commands.iter().map(|spec| spec.name.clone()).collect();
        let mut calls: Vec<String> = self.calls.iter().map(|row| row.name.to_owned()).collect();
        commands.sort();
        calls.sort();
        Locked { digest: self.digest.clone(), contract: self.contract.clone(), commands, calls }
    }
}

/// Checks that every imported call that needs a rule is named by one.
///
/// # Errors
/// [`LoadError::NotGranted`], with the rules to add.
fn granted(plugin: &str, grants: &Grants, calls: &[CallSpec]) -> Result<(), LoadError> {
    let unnamed = |row: &&CallSpec| row.kind.needs_rule() && grants.naming(row.name).next().is_none();
    let missing: Vec<&CallSpec> = calls.iter().filter(unnamed).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let rule = |rows: &[&&CallSpec], limit: &str| {
        let names: Vec<String> = rows.iter().map(|row| format!("\"{}\"", row.name)).collect();
        format!("[[plugin.{plugin}.allow]]\ncall = [{}]{limit}", names.join(", "))
    };
    // The suggested rule for an effect has a limit. Without one it would also allow every future target.
    let (acts, others): (Vec<_>, Vec<_>) = missing.iter().partition(|row| row.kind == CallKind::Acts);
    let mut rules = Vec::new();
    if !others.is_empty() {
        rules.push(rule(&others, ""));
    }
    // If the attributes come from the command, the environment is optional. A limit on it would refuse commands without
    // one, so the rule is limited by role.
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

/// The settings as the guest receives them, in the order of its description.
///
/// # Errors
/// [`LoadError::Settings`], with all problems.
fn settings(config: &PluginConfig, description: &Description) -> Result<Arc<[(String, String)]>, LoadError> {
    // 1. Unknown settings.
    let mut wrong = Vec::new();
    for (name, _) in &config.settings {
        if !description.settings.iter().any(|setting| setting.name == name.value) {
            let meant = nearest(&name.value, description.settings.iter().map(|setting| setting.name.as_str()));
            let meant = meant.map(|meant| format!(", did you mean `{meant}`?")).unwrap_or_default();
            wrong.push((name.at.clone(), format!("the plugin has no setting `{}`{meant}", name.value)));
        }
    }
    // 2. Missing settings, too many values, and values that do not match the pattern.
    let mut settings = Vec::new();
    for setting in &description.settings {
        let Some((name, values)) = config.settings.iter().find(|(name, _)| name.value == setting.name) else {
            if setting.required {
                wrong.push((
                    config.settings_at.clone(),
                    format!("the plugin needs the setting `{}`: {}", setting.name, setting.summary),
                ));
            }
            continue;
        };
        if values.len() > 1 && !setting.many {
            wrong.push((name.at.clone(), format!("`{}` takes one value", setting.name)));
        }
        for value in values {
            match &setting.pattern {
                Some(pattern) if !pattern.matches(&value.value) => {
                    wrong.push((
                        value.at.clone(),
                        format!(
                            "`{}` does not fit `{}`: {}",
                            value.value,
                            setting.name,
                            pattern.requirement(&value.value)
                        ),
                    ));
                }
                _ => settings.push((setting.name.clone(), value.value.clone())),
            }
        }
    }
    if wrong.is_empty() { Ok(settings.into()) } else { Err(LoadError::Settings(wrong)) }
}
