//! Reads the environments and the apps: `[environment.*]` and `[app.*]`.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    approvals::{TERMS_KEYS, Terms},
    order,
    systems::{PipelineUse, Systems, opened, uses},
};
use crate::{
    adapter::{Backends, PipelinesFactory},
    base::{Key, KeyKind, Located, Table, TableKeys, nearest},
    model::{App, Catalog, Deployment, DirectPolicy, Environment, RoomName},
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
        Key::tables(
            "rollback",
            &ROLLBACK_KEYS,
            "The pipeline that rolls the app back in an environment, by the environment's name. Without it, `rollback` \
             runs the pipeline of `deploy` with the earlier version.",
        ),
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

/// The configuration keys of a table `[app.*.rollback.*]`. The factory of the pipeline's system adds more keys.
pub(crate) static ROLLBACK_KEYS: TableKeys = TableKeys {
    path: "app.NAME.rollback.ENVIRONMENT",
    about: "The pipeline that rolls an app back in an environment. Its name in rules and in the journal is \
            `NAME/ENVIRONMENT/rollback`. It has the keys of `[app.NAME.deploy.ENVIRONMENT]`.",
    keys: DEPLOY_KEYS.keys,
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

pub(crate) struct Apps {
    pub(crate) catalog: Catalog,
    pub(crate) backends: Backends,
    /// The approval rules from the tables `[environment.*.approval]`, by the name of the environment.
    pub(crate) terms: BTreeMap<String, Terms>,
    /// All pipelines, with the place of their tables.
    pub(crate) pipelines: Vec<PipelineUse>,
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
            let pipeline = format!("{}/{}", name.value, environment.value);
            positions.insert(pipeline.clone(), deploy.at().clone());
            drafts.extend(systems.pipeline(&name.value, &environment.value, pipeline, deploy));
        }
        for (environment, rollback) in table.tables("rollback") {
            let pipeline = format!("{}/{}", name.value, environment.value);
            if !positions.contains_key(&pipeline) {
                let message =
                    format!("{} has no deployment to `{}` that could be rolled back", name.value, environment.value);
                let fix = format!("[app.{}.deploy.{}]", name.value, environment.value);
                rollback.problem(&environment.at, message, fix);
            }
            let pipeline = format!("{pipeline}/rollback");
            drafts.extend(systems.pipeline(&name.value, &environment.value, pipeline, rollback));
        }
        table.finish();
        let app = App {
            name: name.value.clone(),
            title,
            room,
            owners,
            direct,
            deployments: Vec::new(),
            rollbacks: Vec::new(),
        };
        catalog.apps.insert(name.value, app);
    }
    // 3. Build the pipeline backends. Add the deployments to their apps, except deployments whose system has problems.
    let mut backends = Backends::default();
    let open = std::mem::take(&mut systems.open);
    let pipelines = uses(&drafts, &open);
    let built = systems.build(&mut backends);
    for draft in open {
        catalog.open.extend(opened(root, draft, &catalog, &built));
    }
    for draft in drafts {
        let Some(&backend) = built.get(&draft.system) else { continue };
        if let Some(app) = catalog.apps.get_mut(&draft.app) {
            let is_rollback = draft.pipeline.ends_with("/rollback");
            let own = if is_rollback { &mut app.rollbacks } else { &mut app.deployments };
            own.push(Deployment {
                pipeline: draft.pipeline,
                app: draft.app,
                environment: draft.environment,
                parameters: draft.parameters,
                path: draft.path,
                is_open: false,
                backend,
            });
        }
    }
    order::check_versions(root, &catalog, &positions);
    Apps { catalog, backends, terms, pipelines }
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
