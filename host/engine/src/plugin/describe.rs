//! Calls the function `describe` of a plugin, and checks the description that the function returns. The function must
//! not make a host call: each host call ends the function with a trap.

use std::{collections::BTreeSet, sync::Arc};

use regex::Regex;
use wasmtime::{
    Store,
    component::{Component, Linker},
};

use super::{limits::Meter, runtime::Runtime};
use crate::{
    base::{check_visible, size},
    command::{CommandKind, Parameter, ParameterType, Spec, Target},
    model::{Limits, ValuePattern},
    plugin::bindings::{Plugin, commands},
};

/// A plugin's checked description: the commands and settings that the plugin has.
#[derive(Debug, Clone)]
pub(crate) struct Description {
    /// The plugin's commands, at least one.
    pub commands: Vec<Arc<Spec>>,
    /// The settings that an operator can configure for the plugin.
    pub settings: Vec<Setting>,
}

impl Description {
    /// Returns the names and aliases of all commands.
    pub(crate) fn words(&self) -> impl Iterator<Item = &str> {
        self.commands.iter().flat_map(|spec| spec.words())
    }
}

/// A setting that a plugin describes and that an operator can configure.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    /// The key of the setting in `plugins.toml`.
    pub name: String,
    /// A description of the setting in one line, for the operator.
    pub summary: String,
    /// Whether the plugin loads only if the setting has a value.
    pub required: bool,
    /// The pattern that every value of the setting must match; `None` if every value is valid.
    pub pattern: Option<ValuePattern>,
    /// Whether the setting can have several values.
    pub many: bool,
}

impl Setting {
    /// Checks one value of the setting. A value can have several lines, but no invisible character.
    ///
    /// # Errors
    /// The reason why the value is invalid, in one line.
    pub(crate) fn check(&self, value: &str) -> Result<(), String> {
        value.split(['\n', '\r', '\t']).try_for_each(check_visible)?;
        match &self.pattern {
            Some(pattern) if !pattern.matches(value) => Err(pattern.requirement(value)),
            _ => Ok(()),
        }
    }
}

/// The maximum number of commands of one plugin. A plugin with more commands does not load.
const MAX_COMMANDS: usize = 64;
/// The maximum number of settings of one plugin. A plugin with more settings does not load.
const MAX_SETTINGS: usize = 64;

/// Calls a component's function `describe` in a new sandbox, with the limits [`Limits::DESCRIBE`].
///
/// # Errors
/// The reason why `describe` failed, in one line.
pub(crate) async fn call_describe(runtime: &Runtime, component: &Component) -> Result<commands::Description, String> {
    let limits = Limits::DESCRIBE;
    let mut linker: Linker<Meter> = Linker::new(runtime.engine());
    // A host call during `describe` traps, so `describe` fails.
    linker.define_unknown_imports_as_traps(component).map_err(|error| format!("{error:#}"))?;
    let mut store = Store::new(runtime.engine(), Meter::new(limits));
    store.limiter(|meter| meter);
    crate::plugin::run::limit_copies(&mut store, &limits);
    crate::plugin::run::limit_cpu(&mut store, limits.cpu);
    let described = async {
        let plugin = Plugin::instantiate_async(&mut store, component, &linker).await?;
        plugin.wardroom_plugin_commands().call_describe(&mut store).await
    };
    match tokio::time::timeout(limits.wall, described).await {
        Err(_) => Err(format!("`describe` did not end within {} s", limits.wall.as_secs())),
        Ok(Err(error)) => Err(format!("`describe` failed: {}", crate::plugin::run::error_line(&error))),
        Ok(Ok(description)) if size(&description) > limits.bytes_out => {
            Err(format!("`describe` returned more than {} bytes", limits.bytes_out))
        }
        Ok(Ok(description)) => Ok(description),
    }
}

/// Checks the description of a plugin and converts it into the host's types. `plugin` is the plugin's name.
///
/// # Errors
/// The first problem of the description, in one line.
pub(crate) fn check(plugin: &Arc<str>, description: commands::Description) -> Result<Description, String> {
    if description.commands.is_empty() {
        return Err("it has no command".to_owned());
    }
    if description.commands.len() > MAX_COMMANDS || description.settings.len() > MAX_SETTINGS {
        return Err(format!("it describes more than {MAX_COMMANDS} commands or more than {MAX_SETTINGS} settings"));
    }
    let mut words = BTreeSet::new();
    let mut specs = Vec::new();
    for command in description.commands {
        let spec = spec(plugin, command).map_err(|error| error.to_string())?;
        for word in std::iter::once(&spec.name).chain(&spec.aliases) {
            if !words.insert(word.clone()) {
                return Err(format!("it describes the command or alias `{word}` twice"));
            }
        }
        specs.push(Arc::new(spec));
    }
    // The first word of a command with two words must be a command or alias of the same plugin. This prevents a
    // plugin from adding a subcommand to another plugin's command.
    let foreign = |word: &&String| word.split_once(' ').is_some_and(|(first, _)| !words.contains(first));
    if let Some(word) = words.iter().find(foreign) {
        return Err(format!(
            "it describes the command `{word}`, but not the command `{}`, which the same plugin must describe",
            word.split(' ').next().unwrap_or_default()
        ));
    }
    let settings = description.settings.into_iter().map(setting).collect::<Result<_, _>>()?;
    Ok(Description { commands: specs, settings })
}

fn spec(plugin: &Arc<str>, command: commands::Command) -> Result<Spec, crate::command::SpecError> {
    let kind = match command.kind {
        commands::Kind::Query => CommandKind::Query,
        commands::Kind::Action => CommandKind::Action,
    };
    let parameters = command.parameters.into_iter().map(|parameter| Parameter {
        name: parameter.name,
        summary: parameter.summary,
        kind: match parameter.type_ {
            commands::ParameterType::Text => ParameterType::Text,
            commands::ParameterType::Integer => ParameterType::Integer,
            commands::ParameterType::Boolean => ParameterType::Boolean,
            commands::ParameterType::Duration => ParameterType::Duration,
            commands::ParameterType::App => ParameterType::App,
            commands::ParameterType::Environment => ParameterType::Environment,
            commands::ParameterType::Version => ParameterType::Version,
            commands::ParameterType::Person => ParameterType::Person,
            commands::ParameterType::Rest => ParameterType::Rest,
            commands::ParameterType::Role => ParameterType::Role,
        },
        required: parameter.required,
        named: parameter.named,
        source: parameter.source,
        choices: parameter.choices,
    });
    Spec::new(
        &command.name,
        command.aliases,
        &command.summary,
        &command.examples,
        kind,
        parameters.collect(),
        Target::Plugin(plugin.clone()),
    )
}

fn setting(setting: commands::Setting) -> Result<Setting, String> {
    let name = crate::base::clean(&setting.name);
    if Regex::new("^[a-z][a-z0-9-]{0,31}$").is_ok_and(|shape| !shape.is_match(&setting.name)) {
        return Err(format!(
            "the setting `{name}` has an invalid name: begin with a lower case letter, and use at most 32 lower case \
             letters, digits and dashes"
        ));
    }
    let pattern = (!setting.pattern.is_empty()).then(|| ValuePattern::new(&setting.pattern)).transpose();
    let pattern = pattern.map_err(|reason| format!("the setting `{name}` has an invalid pattern: {reason}"))?;
    let summary = crate::base::clean(&setting.summary);
    Ok(Setting { name, summary, required: setting.required, pattern, many: setting.many })
}
