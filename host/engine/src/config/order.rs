//! Checks the promotion order of the environments, which the key `after` of each `[environment.NAME]` defines.
//!
//! Invariant: after the checks, every `after` names an existing environment, the order has no cycle, and
//! the host knows the version of every deployment to which the order applies.

use std::collections::{BTreeMap, HashMap};

use crate::{
    base::{At, Table, nearest},
    model::{Catalog, Deployment, Environment},
};

/// Reports a configuration problem for each `after` that names an unknown environment or is part of a cycle, and
/// removes this `after`.
pub(crate) fn check(root: &Table, environments: &mut [Environment]) {
    let names: Vec<String> = environments.iter().map(|environment| environment.name.clone()).collect();
    for environment in environments.iter_mut() {
        let known = |name: &str| names.iter().any(|known| known == name);
        let Some(after) = environment.after.take_if(|after| !known(&after.value)) else { continue };
        let others = names.iter().map(String::as_str).filter(|name| *name != environment.name);
        let fix = match nearest(&after.value, others) {
            Some(meant) => format!("after = \"{meant}\""),
            None => format!("[environment.{}]", after.value),
        };
        root.problem(&after.at, format!("there is no environment `{}`", after.value), fix);
    }
    let next: HashMap<String, String> = environments
        .iter()
        .filter_map(|environment| Some((environment.name.clone(), environment.after.as_ref()?.value.clone())))
        .collect();
    for environment in environments.iter_mut() {
        if !is_in_cycle(&environment.name, &next) {
            continue;
        }
        let Some(after) = environment.after.take() else { continue };
        let message = match after.value == environment.name {
            true => format!("environment `{}` comes after itself in the promotion order", environment.name),
            false => format!(
                "the promotion order has a cycle: `{0}` comes after `{1}`, and `{1}` comes after `{0}`",
                environment.name, after.value
            ),
        };
        root.problem(&after.at, message, "an order without a cycle; the first environment has no `after`".to_owned());
    }
}

/// Reports a configuration problem for each deployment whose version the promotion order must check, but whose pipeline
/// has no parameter `version`. The host would refuse every such deployment.
pub(crate) fn check_versions(root: &Table, catalog: &Catalog, positions: &BTreeMap<String, At>) {
    for deployment in catalog.apps().flat_map(|app| &app.deployments) {
        let Deployment { pipeline, app, environment, parameters, .. } = deployment;
        if parameters.contains_key("version") || catalog.required_before(app, environment).is_none() {
            continue;
        }
        let Some(at) = positions.get(pipeline) else { continue };
        let message = format!(
            "the pipeline `{pipeline}` has no parameter `version`, so the promotion order of `{environment}` would refuse \
             every deployment"
        );
        root.problem(at, message, "parameters = { version = '[0-9]+\\.[0-9]+\\.[0-9]+' }".to_owned());
    }
}

fn is_in_cycle(name: &str, next: &HashMap<String, String>) -> bool {
    let following = std::iter::successors(next.get(name), |name| next.get(*name));
    // A cycle without `name` never ends, so follow each environment at most once.
    following.take(next.len()).any(|known| known == name)
}
