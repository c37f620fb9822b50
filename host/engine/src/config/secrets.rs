//! Reads the tables of the secret stores, and checks which pipelines refer to their secrets.

use super::{read::Registry, systems::PipelineUse};
use crate::{
    adapter::{SecretStores, Secrets, secret_source},
    base::{At, Key, SecretScope, SecretSources, SecretUse, Table, TableKeys, nearest},
    model::Catalog,
};

/// The stores whose tables were read, and the references that the tables after them can have.
pub(super) struct Reading {
    stores: Vec<std::sync::Arc<dyn Secrets>>,
    pub(super) sources: SecretSources,
}

/// Reads the tables of each registered secret store.
pub(super) fn read(root: &mut Table, registry: &Registry) -> Reading {
    let (mut stores, mut sources) = (Vec::new(), Vec::new());
    for factory in &registry.secrets {
        let keys = factory.keys();
        let mut part = root.split(keys);
        let store = factory.read(&mut part);
        part.finish();
        root.add_keys(keys);
        sources.push(secret_source(factory.reference_key(), &store));
        stores.push(store);
    }
    for &name in &registry.left_out_secrets {
        if sources.iter().any(|source| source.key.name == name) {
            continue;
        }
        if root.has(name) {
            let message = format!("this build does not include secrets of {name}");
            root.problem(&root.at_key(name), message, format!("cargo build -p wardroom-cli --features {name}"));
            root.add_keys(&[Key::tables(name, &TableKeys::NONE, "")]);
            let _ = root.tables(name);
        }
        sources.push(SecretSources::left_out(name));
    }
    Reading { stores, sources: SecretSources::new(sources) }
}

impl Reading {
    /// Checks the references, after all tables were read.
    pub(super) fn finish(self, root: &Table, catalog: &Catalog, pipelines: &[PipelineUse]) -> SecretStores {
        let uses = self.sources.uses();
        for used in &uses {
            if let Some(scope) = &used.secret.scope {
                check_environments(root, catalog, scope);
                check_use(root, used, scope, pipelines);
            }
        }
        SecretStores::new(self.stores, uses)
    }
}

/// Reports an environment of a scope that does not exist. A problem that is reported twice counts once.
fn check_environments(root: &Table, catalog: &Catalog, scope: &SecretScope) {
    for name in scope.environments.iter().filter(|name| catalog.environment(name).is_none()) {
        let fix = match nearest(name, catalog.environments()) {
            Some(meant) => format!("environments = [\"{meant}\"]"),
            None => format!("[environment.{name}]"),
        };
        root.problem(&scope.at, format!("`{}.environments` names `{name}`, which is no environment", scope.table), fix);
    }
}

/// Reports each pipeline outside of the scope's environments that uses a secret: in its own table, or through the table of
/// its pipeline system.
fn check_use(root: &Table, used: &SecretUse, scope: &SecretScope, pipelines: &[PipelineUse]) {
    let is_outside = |environment: &str| scope.environments.iter().all(|allowed| allowed != environment);
    let environments = scope.environments.join(", ");
    let limit = format!("whose secrets are only for pipelines in {environments} ({})", scope.at);
    let report = |at: &At, pipeline: &str, environment: &str, through: &str| {
        let message = format!(
            "`{}` uses a secret of [{}], {limit}; the pipeline `{pipeline}` is in {environment}{through}",
            used.path, scope.table
        );
        let fix = format!("a secret of another server, or `environments` in [{}] with {environment}", scope.table);
        root.problem(at, message, fix);
    };
    // Names can contain dots, so that two tables can have the same path. The secret must be allowed in both.
    let is_below = |table: &str| used.path.strip_prefix(table).is_some_and(|rest| rest.starts_with('.'));
    if used.path.starts_with("app.") {
        let mut owners = pipelines.iter().filter(|pipeline| is_below(&pipeline.table)).peekable();
        if owners.peek().is_none() {
            let message = format!("`{}` uses a secret of [{}], {limit}; it is in no pipeline", used.path, scope.table);
            root.problem(&used.at, message, None);
        }
        for PipelineUse { app, environment, .. } in owners.filter(|pipeline| is_outside(&pipeline.environment)) {
            report(&used.at, &format!("{app}/{environment}"), environment, "");
        }
        return;
    }
    for pipeline in pipelines.iter().filter(|pipeline| is_outside(&pipeline.environment)) {
        let Some(name) = pipeline.system.as_ref().filter(|name| is_below(&format!("pipelines.{name}"))) else {
            continue;
        };
        let through = format!(" and runs on [pipelines.{name}] ({})", pipeline.at);
        report(&used.at, &format!("{}/{}", pipeline.app, pipeline.environment), &pipeline.environment, &through);
    }
}

#[cfg(test)]
mod tests;
