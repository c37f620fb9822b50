//! Reads the pipeline systems, `[pipelines.*]`, and the pipeline of each deployment, `[app.*.deploy.*]`.

use std::{collections::BTreeMap, sync::Arc};

use super::people::patterns;
use crate::{
    adapter::{Backends, ObservedBackend, Pipelines, PipelinesBuilder, PipelinesFactory},
    base::{At, Key, Located, Pattern, Table, TableKeys, nearest},
    model::{BackendId, Catalog, OpenPipelines, ValuePattern},
};

/// The configuration keys of a table `[pipelines.*]`. The factory for the pipeline system's kind adds more keys.
pub(crate) static PIPELINES_KEYS: TableKeys = TableKeys {
    path: "pipelines.NAME",
    about: "A pipeline system. Its kind adds other keys. Local commands (`exec`) do not need a `[pipelines.NAME]`.",
    keys: &[
        Key::string("kind", "The kind of the system. The build must include it.").required(),
        Key::array(
            "open",
            &OPEN_KEYS,
            "Pipelines that plugins can name as `SYSTEM:PATH`, without an app that deploys with them. Without this key, \
             plugins can only use the pipelines of apps.",
        ),
    ],
};

pub(crate) static OPEN_KEYS: TableKeys = TableKeys {
    path: "pipelines.NAME.open",
    about: "Opened pipelines of a system. Roles, approvals, freezes and grants apply to them as to the app and the \
            environment of this table. The first table that has the path of a pipeline applies.",
    keys: &[
        Key::strings(
            "paths",
            "Patterns for the paths of the pipelines. `*` matches a part without a slash, and `**` anything.",
        )
        .required(),
        Key::string("app", "The app as which the pipelines count.").required(),
        Key::string("environment", "The environment as which the pipelines count.").required(),
    ],
};

/// The pipeline systems that the configuration has: one for each `[pipelines.NAME]`, and one for each kind of pipeline,
/// such as `run`, that is configured inside a deployment.
pub(super) struct Systems<'r> {
    factories: &'r [Arc<dyn PipelinesFactory>],
    named: BTreeMap<String, NamedSystem>,
    inline: BTreeMap<&'static str, Option<Box<dyn PipelinesBuilder>>>,
    pub(super) open: Vec<OpenDraft>,
}

/// A `[[pipelines.NAME.open]]` table whose app and environment are not checked yet.
pub(super) struct OpenDraft {
    system: String,
    paths: Vec<Pattern>,
    app: Located<String>,
    environment: Located<String>,
}

struct NamedSystem {
    /// Creates the pipelines of this system. `None` if the system's table has configuration problems, which are then
    /// reported once, and not again for each pipeline.
    builder: Option<Box<dyn PipelinesBuilder>>,
    /// The keys that a deployment on this pipeline system can have.
    keys: &'static TableKeys,
}

/// A deployment whose backend is not built yet.
pub(super) struct Draft {
    pub(super) app: String,
    pub(super) environment: String,
    /// The name of the pipeline, for example `cms/staging`.
    pub(super) pipeline: String,
    pub(super) parameters: BTreeMap<String, ValuePattern>,
    pub(super) system: SystemName,
    /// The pipeline in its system, as `SYSTEM:PATH`; `None` for a local command.
    pub(super) path: Option<String>,
    at: At,
    /// The path of the table.
    table: String,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SystemName {
    Named(String),
    Inline(&'static str),
}

/// A pipeline, or an environment with opened pipelines.
pub(crate) struct PipelineUse {
    /// The path of its table, for example `app.cms.deploy.staging`.
    pub(crate) table: String,
    /// The name of its `[pipelines.NAME]`; `None` for a local command.
    pub(crate) system: Option<String>,
    pub(crate) app: String,
    pub(crate) environment: String,
    pub(crate) at: At,
}

/// Returns all pipelines.
pub(super) fn uses(drafts: &[Draft], open: &[OpenDraft]) -> Vec<PipelineUse> {
    let configured = drafts.iter().map(|draft| {
        let Draft { app, environment, at, table, .. } = draft;
        let system = match &draft.system {
            SystemName::Named(name) => Some(name.clone()),
            SystemName::Inline(_) => None,
        };
        let (app, environment) = (app.clone(), environment.clone());
        PipelineUse { table: table.clone(), system, app, environment, at: at.clone() }
    });
    let opened = open.iter().map(|OpenDraft { system, app, environment, .. }| PipelineUse {
        table: format!("pipelines.{system}.open"),
        system: Some(system.clone()),
        app: app.value.clone(),
        environment: environment.value.clone(),
        at: environment.at.clone(),
    });
    configured.chain(opened).collect()
}

/// Checks the names in a `[[pipelines.NAME.open]]` table.
pub(super) fn opened(
    root: &Table,
    draft: OpenDraft,
    catalog: &Catalog,
    built: &BTreeMap<SystemName, BackendId>,
) -> Option<OpenPipelines> {
    let OpenDraft { system, paths, app, environment } = draft;
    let apps: Vec<&str> = catalog.apps().map(|app| app.name.as_str()).collect();
    let environments: Vec<&str> = catalog.environments().collect();
    for (what, name, known) in [("app", &app, &apps), ("environment", &environment, &environments)] {
        if !known.contains(&name.value.as_str()) {
            let fix = match nearest(&name.value, known.iter().copied()) {
                Some(meant) => format!("{what} = \"{meant}\""),
                None => format!("[{what}.{}]", name.value),
            };
            root.problem(&name.at, format!("there is no {what} `{}`", name.value), fix);
        }
    }
    let backend = *built.get(&SystemName::Named(system.clone()))?;
    Some(OpenPipelines { system, paths, app: app.value, environment: environment.value, backend })
}

fn read_open(system: &str, table: &mut Table) -> Option<OpenDraft> {
    let paths = table.strings("paths");
    if paths.is_none() {
        table.missing("paths", "[\"web/**\"]");
    }
    let app = table.required_string("app", "\"cms\"");
    let environment = table.required_string("environment", "\"staging\"");
    let paths = patterns(table, &paths?.value);
    Some(OpenDraft { system: system.to_owned(), paths, app: app?, environment: environment? })
}

impl<'r> Systems<'r> {
    pub(super) fn read(root: &mut Table, factories: &'r [Arc<dyn PipelinesFactory>]) -> Self {
        let mut systems = Self { factories, named: BTreeMap::new(), inline: BTreeMap::new(), open: Vec::new() };
        for (name, mut table) in root.tables("pipelines") {
            let kinds: Vec<&str> = factories.iter().map(|factory| factory.kind()).collect();
            let kind = table.required_string("kind", &format!("\"{}\"", kinds.first().unwrap_or(&"jenkins")));
            let mut system = NamedSystem { builder: None, keys: &TableKeys::NONE };
            for mut open in table.array("open") {
                systems.open.extend(read_open(&name.value, &mut open));
                open.finish();
            }
            if let Some(kind) = kind {
                match factories.iter().find(|factory| factory.kind() == kind.value) {
                    Some(factory) => {
                        table.add_keys(factory.system_keys().keys);
                        system = NamedSystem { builder: factory.system(Some(&mut table)), keys: factory.keys() };
                        table.finish();
                    }
                    None => {
                        let message = format!(
                            "this build does not support pipeline systems of kind `{}`; it supports: {}",
                            kind.value,
                            kinds.join(", ")
                        );
                        let known = ["jenkins", "spinnaker", "tekton"].contains(&kind.value.as_str());
                        let fix = known.then(|| format!("cargo build -p wardroom-cli --features {}", kind.value));
                        table.problem(&kind.at, message, fix);
                    }
                }
            }
            systems.named.insert(name.value, system);
        }
        systems
    }

    /// Reads the table of the pipeline `name`, and passes it to its system.
    pub(super) fn pipeline(&mut self, app: &str, environment: &str, name: String, mut table: Table) -> Option<Draft> {
        let (at, place) = (table.at().clone(), table.path().to_owned());
        // 1. Read the patterns of the parameters.
        let mut parameters = BTreeMap::new();
        if let Some(mut patterns) = table.table("parameters") {
            for key in patterns.keys() {
                let Some(text) = patterns.string(&key.value) else { continue };
                match ValuePattern::new(&text.value) {
                    Ok(pattern) => {
                        parameters.insert(key.value, pattern);
                    }
                    Err(reason) => {
                        let message = format!("`{}` is not a valid regular expression: {reason}", text.value);
                        patterns.problem(&text.at, message, format!("{} = '[0-9]+\\.[0-9]+\\.[0-9]+'", key.value));
                    }
                }
            }
            patterns.finish();
        }
        // 2. Find the pipeline system: by the key `pipeline`, or by a key such as `run`.
        let names: Vec<String> = parameters.keys().cloned().collect();
        let pipeline = table.string("pipeline");
        let written = pipeline.as_ref().map(|pipeline| pipeline.value.clone());
        let inline = self.factories.iter().find(|factory| factory.inline_key().is_some_and(|key| table.has(key)));
        let system = match (pipeline, inline) {
            (Some(pipeline), None) => {
                let Some((system, path)) = pipeline.value.split_once(':').filter(|(_, path)| !path.is_empty()) else {
                    let message = format!("`{}` is not a pipeline of the form `SYSTEM:PATH`", pipeline.value);
                    table.problem(&pipeline.at, message, "pipeline = \"ci:cms/deploy\"".to_owned());
                    return None;
                };
                let Some(found) = self.named.get_mut(system) else {
                    let meant = nearest(system, self.named.keys().map(String::as_str));
                    let fix = meant.map_or_else(
                        || format!("[pipelines.{system}]"),
                        |meant| format!("pipeline = \"{meant}:{path}\""),
                    );
                    table.problem(&pipeline.at, format!("there is no [pipelines.{system}]"), fix);
                    return None;
                };
                // 3. Pass the pipeline to its system. Configuration problems of the system are already reported.
                table.add_keys(found.keys.keys);
                found.builder.as_mut()?.pipeline(&name, Some(path), &names, &mut table);
                SystemName::Named(system.to_owned())
            }
            (None, Some(factory)) => {
                let kind = factory.kind();
                table.add_keys(factory.keys().keys);
                let builder = self.inline.entry(kind).or_insert_with(|| factory.system(None));
                builder.as_mut()?.pipeline(&name, None, &names, &mut table);
                SystemName::Inline(kind)
            }
            (pipeline, _) => {
                let message = if pipeline.is_some() {
                    "has both `pipeline` and a key such as `run`; only one of them is allowed"
                } else {
                    "has neither `pipeline` nor a key such as `run`, so the pipeline is unknown"
                };
                let message = format!("[{}] {message}", table.path());
                let fix = "run = [\"./deploy.sh\", \"{version}\"]   or   pipeline = \"ci:path\"".to_owned();
                table.problem(table.at(), message, fix);
                return None;
            }
        };
        table.finish();
        Some(Draft {
            app: app.to_owned(),
            environment: environment.to_owned(),
            pipeline: name,
            parameters,
            system,
            path: written,
            at,
            table: place,
        })
    }

    pub(super) fn build(self, backends: &mut Backends) -> BTreeMap<SystemName, BackendId> {
        let named = self.named.into_iter().map(|(name, system)| (SystemName::Named(name), system.builder));
        let inline = self.inline.into_iter().map(|(kind, builder)| (SystemName::Inline(kind), builder));
        let built = |(name, builder): (SystemName, Option<Box<dyn PipelinesBuilder>>)| {
            let shown = match &name {
                SystemName::Named(name) => name.clone(),
                SystemName::Inline(kind) => (*kind).to_owned(),
            };
            let system: Arc<dyn Pipelines> = builder?.build();
            Some((name, backends.add(ObservedBackend::new(shown, system))))
        };
        named.chain(inline).filter_map(built).collect()
    }
}
