//! Reads the environments, the apps and their pipelines: `[environment.*]`, `[app.*]`, `[app.*.deploy.*]` and
//! `[pipelines.*]`.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    approvals::{TERMS_KEYS, Terms},
    order,
    people::patterns,
};
use crate::{
    adapter::{Backends, ObservedBackend, Pipelines, PipelinesBuilder, PipelinesFactory},
    base::{Key, KeyKind, Located, Pattern, Table, TableKeys, nearest},
    model::{App, BackendId, Catalog, Deployment, DirectPolicy, Environment, OpenPipelines, RoomName, ValuePattern},
};

pub(crate) static ENVIRONMENT_KEYS: TableKeys = TableKeys {
    path: "environment.NAME",
    about: "An environment. The command `where` lists the environments in the order of these tables. A name has up to \
            64 letters, digits, dots, dashes and underscores.",
    keys: &[
        Key::string(
            "after",
            "The previous environment in the promotion order. A version must succeed in the previous environment \
             first. Without this key, the environment accepts any version.",
        ),
        Key::table("approval", &TERMS_KEYS, "The approval that every effect in the environment needs."),
    ],
};

pub(crate) static APP_KEYS: TableKeys = TableKeys {
    path: "app.NAME",
    about: "An app. A name has up to 64 letters, digits, dots, dashes and underscores.",
    keys: &[
        Key::string("title", "The name of the app in messages. The default is the name of the table."),
        Key::string(
            "room",
            "The room for approval requests, and for the actions that people start in direct messages. Without this key, \
             the room of the command.",
        ),
        Key::choice(
            "direct",
            &["show", "refuse"],
            "Whether an action from a direct message is shown in `room`, or refused.",
        )
        .default("show"),
        Key::strings(
            "owners",
            "The people, groups and rooms whose members can grant roles on this app in chat. Without this key, only admins \
             can.",
        ),
        Key::tables("deploy", &DEPLOY_KEYS, "The pipeline of the app in each environment, by the environment's name."),
    ],
};

/// The configuration keys of a table `[app.*.deploy.*]`. The factory of the deployment's pipeline system adds more
/// keys.
pub(crate) static DEPLOY_KEYS: TableKeys = TableKeys {
    path: "app.NAME.deploy.ENVIRONMENT",
    about: "The pipeline of an app in an environment. Its name in rules and in the journal is `NAME/ENVIRONMENT`. More \
            keys depend on the kind of the pipeline.",
    keys: &[
        Key::table(
            "parameters",
            &PARAMETER_KEYS,
            "The parameters of the pipeline, each with a regular expression for its value. Without this key, the pipeline \
             has no parameters.",
        ),
        Key::string(
            "pipeline",
            "The pipeline in another system, as `SYSTEM:PATH`. `SYSTEM` is the name of a `[pipelines.NAME]`. Without \
             it, a key such as `run` is required, which configures a pipeline without a `[pipelines.NAME]`.",
        ),
    ],
};

static PARAMETER_KEYS: TableKeys = TableKeys {
    path: "app.NAME.deploy.ENVIRONMENT.parameters",
    about: "The parameters of the pipeline.",
    keys: &[Key::any(
        "PARAMETER",
        KeyKind::String,
        "A regular expression of at most 1,000 bytes that the whole value must match. A value that begins with `-` is \
         refused unless the expression begins with `-`.",
    )],
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
pub(crate) struct Systems<'r> {
    factories: &'r [Arc<dyn PipelinesFactory>],
    named: BTreeMap<String, NamedSystem>,
    inline: BTreeMap<&'static str, Option<Box<dyn PipelinesBuilder>>>,
    open: Vec<OpenDraft>,
}

/// A `[[pipelines.NAME.open]]` table whose app and environment are not checked yet.
struct OpenDraft {
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

struct Draft {
    app: String,
    environment: String,
    parameters: BTreeMap<String, ValuePattern>,
    system: SystemName,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum SystemName {
    Named(String),
    Inline(&'static str),
}

pub(crate) struct Apps {
    pub(crate) catalog: Catalog,
    pub(crate) backends: Backends,
    /// The approval rules from the tables `[environment.*.approval]`, by the name of the environment.
    pub(crate) terms: BTreeMap<String, Terms>,
}

pub(crate) fn read(root: &mut Table, factories: &[Arc<dyn PipelinesFactory>], networks: &[&str]) -> Apps {
    let mut catalog = Catalog::default();
    let mut terms = BTreeMap::new();
    // 1. Read the environments, and check their promotion order.
    for (name, mut table) in root.tables("environment") {
        check_name(&table, "an environment", &name);
        if let Some(mut approval) = table.table("approval") {
            terms.insert(name.value.clone(), Terms::read(&mut approval, networks));
            approval.finish();
        }
        let after = table.string("after");
        table.finish();
        catalog.environments.push(Environment { name: name.value, after });
    }
    order::check(root, &mut catalog.environments);
    // 2. Read the pipeline systems, then the apps with their deployments.
    let mut systems = Systems::read(root, factories);
    let (mut drafts, mut positions) = (Vec::new(), BTreeMap::new());
    for (name, mut table) in root.tables("app") {
        check_name(&table, "an app", &name);
        let title = table.string("title").map_or_else(|| name.value.clone(), |title| crate::base::clean(&title.value));
        let room = RoomName::read(&mut table, "room", networks);
        let owners = table.strings("owners").map(|owners| owners.value).unwrap_or_default();
        let direct = match table.choice("direct").map(|word| word.value) {
            Some("refuse") => DirectPolicy::Refuse,
            _ => DirectPolicy::Show,
        };
        for (environment, deploy) in table.tables("deploy") {
            if catalog.environment(&environment.value).is_none() {
                let meant = nearest(&environment.value, catalog.environments());
                let fix = meant.map_or_else(
                    || format!("[environment.{}]", environment.value),
                    |meant| format!("[app.{}.deploy.{meant}]", name.value),
                );
                deploy.problem(&environment.at, format!("there is no environment `{}`", environment.value), fix);
            }
            positions.insert(format!("{}/{}", name.value, environment.value), deploy.at().clone());
            drafts.extend(systems.deployment(&name.value, &environment.value, deploy));
        }
        table.finish();
        catalog
            .apps
            .insert(name.value.clone(), App { name: name.value, title, room, owners, direct, deployments: Vec::new() });
    }
    // 3. Build the pipeline backends. Add the deployments to their apps, except deployments whose system has problems.
    let mut backends = Backends::default();
    let open = std::mem::take(&mut systems.open);
    let built = systems.build(&mut backends);
    for draft in open {
        catalog.open.extend(opened(root, draft, &catalog, &built));
    }
    for draft in drafts {
        let Some(&backend) = built.get(&draft.system) else { continue };
        if let Some(app) = catalog.apps.get_mut(&draft.app) {
            app.deployments.push(Deployment {
                pipeline: format!("{}/{}", draft.app, draft.environment),
                app: draft.app,
                environment: draft.environment,
                parameters: draft.parameters,
                is_open: false,
                backend,
            });
        }
    }
    order::check_versions(root, &catalog, &positions);
    Apps { catalog, backends, terms }
}

/// Checks the names in a `[[pipelines.NAME.open]]` table.
fn opened(
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

/// Reports a configuration problem if the name of an app or environment is not valid. `what` is the kind of the name
/// with its article: `an app` or `an environment`.
fn check_name(table: &Table, what: &str, name: &Located<String>) {
    let text = &name.value;
    let valid = text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.len() <= 64
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if !valid {
        let fix = "a name of letters, digits, dots, dashes and underscores that begins with a letter or digit";
        table.problem(&name.at, format!("`{text}` is not a valid name for {what}"), fix.to_owned());
    }
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
    fn read(root: &mut Table, factories: &'r [Arc<dyn PipelinesFactory>]) -> Self {
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
                        table.problem(&kind.at, message, None);
                    }
                }
            }
            systems.named.insert(name.value, system);
        }
        systems
    }

    fn deployment(&mut self, app: &str, environment: &str, mut table: Table) -> Option<Draft> {
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
        let name = format!("{app}/{environment}");
        let pipeline = table.string("pipeline");
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
                let message = format!("[app.{app}.deploy.{environment}] {message}");
                let fix = "run = [\"./deploy.sh\", \"{version}\"]   or   pipeline = \"ci:path\"".to_owned();
                table.problem(table.at(), message, fix);
                return None;
            }
        };
        table.finish();
        Some(Draft { app: app.to_owned(), environment: environment.to_owned(), parameters, system })
    }

    fn build(self, backends: &mut Backends) -> BTreeMap<SystemName, BackendId> {
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
