//! Checks the promotion order of the environments, which the key `after` of each `[environment.NAME]` defines.
//!
//! Invariant: after the check, every `after` names an existing environment, and the order has no cycle.

use std::collections::HashMap;

use crate::{
    base::{Table, nearest},
    model::Environment,
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

fn is_in_cycle(name: &str, next: &HashMap<String, String>) -> bool {
    let following = std::iter::successors(next.get(name), |name| next.get(*name));
    // A cycle without `name` never ends, so follow each environment at most once.
    following.take(next.len()).any(|known| known == name)
}
