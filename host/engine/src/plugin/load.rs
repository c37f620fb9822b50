//! Loads plugins: look, compile, describe, link. One that does not load takes out nobody but itself.

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

/// A plugin that can run.
pub(crate) struct LoadedPlugin<D: GuestData> {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// The digest of its bytes.
    pub digest: String,
    /// The contract's version.
    pub contract: String,
    /// Every function it can call.
    pub calls: Vec<CallSpec>,
    /// Its commands and settings.
    pub description: Description,
    /// What it is granted.
    pub grants: Arc<Grants>,
    /// What one invocation may use.
    pub limits: Limits,
    /// Its settings.
    pub settings: Arc<[(String, String)]>,
    pub(crate) pre: PluginPre<D>,
    /// How often it made which call.
    pub(crate) counted: Calls,
    // Until they are in the store, where open jobs find them again.
    pub(crate) bytes: Mutex<Option<Vec<u8>>>,
    // Its clock ticks for as long as something holds the runtime; without it no limit on processor time bites.
    pub(crate) _runtime: Runtime,
}

/// A plugin that did not load.
#[derive(Debug)]
pub(crate) struct NotLoaded {
    /// Its name in the configuration.
    pub name: String,
    /// Where it stands there.
    pub at: At,
    /// Why.
    pub error: LoadError,
    /// Its commands, as far as they are known: from what it describes, or from the lock.
    pub commands: Vec<String>,
}

/// Why a plugin does not load.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// Its bytes are no plugin.
    #[error("{0}")]
    Artifact(#[from] ArtifactError),
    /// The lock names other bytes.
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
    /// It does not describe itself well.
    #[error("{0}")]
    Describe(String),
    /// It asks for calls that no rule names.
    #[error("it can call {}, and no rule names that", .calls.join(", "))]
    NotGranted {
        /// The calls.
        calls: Vec<String>,
        /// The rule to add.
        add: String,
    },
    /// Its settings are wrong.
    #[error("{}", .0.iter().map(|(at, message)| format!("{at}: {message}")).collect::<Vec<_>>().join("; "))]
    Settings(Vec<(At, String)>),
    /// Another plugin has one of its commands.
    #[error("it has the command `{word}`, which {owner} has already")]
    CommandTaken {
        /// The word.
        word: String,
        /// Who has it.
        owner: String,
    },
}

impl LoadError {
    /// The line to write, where one would help.
    pub(crate) fn fix(&self) -> Option<String> {
        match self {
            Self::NotGranted { add, .. } => Some(add.clone()),
            _ => None,
        }
    }
}

/// What is kept beside the compiled code, so that a known plugin is loaded without looking into it again.
#[derive(Serialize, Deserialize)]
pub(crate) struct Note {
    format: u32,
    pub(crate) contract: String,
    calls: Vec<String>,
    pub(crate) description: commands::Description,
}

const NOTE: &str = "plugin.json";
// Changes whenever an older host's note would be read wrongly.
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
    /// A loader that keeps compiled code in a folder, or nowhere.
    pub(crate) fn new(runtime: Runtime, cache: Option<PathBuf>, functions: HostFunctions<D>) -> Self {
        Self { runtime, cache: Cache::new(cache), functions }
    }

    /// The engine that the plugins run in.
    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Loads one plugin and adds its commands to the table.
    ///
    /// # Errors
    /// Why it does not load; nothing is added then.
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

    async fn prepare(
        &self,
        config: &PluginConfig,
        lock: Option<&Lock>,
        commands: &mut Vec<String>,
    ) -> Result<LoadedPlugin<D>, LoadError> {
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
        let (component, note, calls) = self.look(&bytes, &digest).await?;
        let name: Arc<str> = config.name.as_str().into();
        let description = describe::check(&name, note.description).map_err(LoadError::Describe)?;
        *commands = description.commands.iter().map(|spec| spec.name.clone()).collect();
        granted(&config.name, &config.grants, &calls)?;
        let settings = settings(config, &description)?;
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

    /// The compiled component and what is known of it: from an earlier load of the same bytes, or found out now.
    pub(crate) async fn look(&self, bytes: &[u8], digest: &str) -> Result<(Component, Note, Vec<CallSpec>), LoadError> {
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
        // Compiling takes long and would hold up every guest of this thread.
        let table = self.functions.table().clone();
        let compiled = tokio::task::spawn_blocking(move || {
            let artifact = Artifact::from_bytes(&bytes, &table)?;
            let component = cache
                .compile(runtime.engine(), &name, &artifact.component)
                .map_err(|error| LoadError::Compile(format!("{error:#}").replace('\n', " ")))?;
            Ok::<_, LoadError>((artifact, component))
        });
        let (artifact, component) = compiled.await.map_err(|error| LoadError::Compile(error.to_string()))??;
        let description = describe::ask(&self.runtime, &component).await.map_err(LoadError::Describe)?;
        let calls = artifact.calls.iter().map(|row| row.name.to_owned()).collect();
        let note = Note { format: NOTE_FORMAT, contract: artifact.contract, calls, description };
        self.cache.keep_note(engine, digest, NOTE, &note);
        Ok((component, note, artifact.calls))
    }
}

impl<D: GuestData> LoadedPlugin<D> {
    /// Its bytes, once.
    pub(crate) fn take_bytes(&self) -> Option<Vec<u8>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What the lock says of it.
    pub(crate) fn locked(&self) -> Locked {
        let mut commands: Vec<String> = self.description.commands.iter().map(|spec| spec.name.clone()).collect();
        let mut calls: Vec<String> = self.calls.iter().map(|row| row.name.to_owned()).collect();
        commands.sort();
        calls.sort();
        Locked { digest: self.digest.clone(), contract: self.contract.clone(), commands, calls }
    }
}

/// Every call that needs a rule is named by one.
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
    // An effect is granted with a limit: a rule without one is a rule for everything there will ever be.
    let (acts, others): (Vec<_>, Vec<_>) = missing.iter().partition(|row| row.kind == CallKind::Acts);
    let mut rules = Vec::new();
    if !others.is_empty() {
        rules.push(rule(&others, ""));
    }
    // Where an environment need not be typed, a rule that names one would refuse what is typed without.
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

/// The settings as the guest sees them, in the order of its description.
fn settings(config: &PluginConfig, description: &Description) -> Result<Arc<[(String, String)]>, LoadError> {
    let mut wrong = Vec::new();
    for (name, _) in &config.settings {
        if !description.settings.iter().any(|setting| setting.name == name.value) {
            let meant = nearest(&name.value, description.settings.iter().map(|setting| setting.name.as_str()));
            let meant = meant.map(|meant| format!(", did you mean `{meant}`?")).unwrap_or_default();
            wrong.push((name.at.clone(), format!("the plugin has no setting `{}`{meant}", name.value)));
        }
    }
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
