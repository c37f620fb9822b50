//! A job's plan: its effects in order, computed by a dry run of its plugin.
//!
//! Invariant: an effect of the real run is compared whole: call, attributes and arguments. Ids that earlier effects
//! returned are replaced by their placeholders in the plan.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::policy::Need;

/// One effect: a call that changes something outside of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Effect {
    /// The call's name, for example `pipelines.trigger`.
    pub(crate) call: String,
    /// The attributes that rules match.
    pub(crate) attributes: BTreeMap<String, Vec<String>>,
    /// The arguments that the plugin passed.
    pub(crate) arguments: Value,
    /// Whether the effect already happened in this job.
    #[serde(default)]
    pub(crate) done: bool,
    /// The approvals that the effect requires.
    #[serde(default)]
    pub(crate) needs: Vec<Need>,
}

/// How a dry run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PlanEnd {
    /// The plugin returned.
    Ended,
    /// The next effects depend on a result that a dry run cannot predict.
    Depends,
    /// The plugin failed; the reason, in one line.
    Broke(String),
}

/// The plan of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// The effects in order; those that already happened come first.
    pub(crate) effects: Vec<Effect>,
    /// How the dry run ended.
    pub(crate) end: PlanEnd,
}

/// The difference between an effect and the one that was approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlanMismatch {
    /// One line.
    pub(crate) why: String,
}

impl Effect {
    /// The placeholder for the id that the effect at this number (from 1) returns.
    pub(crate) fn placeholder(number: usize) -> String {
        format!("plan-{number}")
    }

    /// An effect in which the ids that earlier effects returned are replaced by placeholders. `ids` are in the order of
    /// the effects.
    pub(crate) fn new(
        call: &str,
        mut attributes: BTreeMap<String, Vec<String>>,
        mut arguments: Value,
        ids: &[Option<String>],
    ) -> Self {
        rename(&mut arguments, ids);
        for value in attributes.values_mut().flatten() {
            if let Some(name) = renamed(value, ids) {
                *value = name;
            }
        }
        Self { call: call.to_owned(), attributes, arguments, done: false, needs: Vec::new() }
    }

    /// A short description: `pipelines.trigger cms/production version 1.0.2`.
    pub(crate) fn about(&self) -> String {
        let one =
            |name: &str| self.attributes.get(name).map(|values| values.join(", ")).filter(|text| !text.is_empty());
        let place = match (one("app"), one("environment")) {
            (Some(app), Some(environment)) => Some(format!("{app}/{environment}")),
            (app, environment) => app.or(environment).or_else(|| one("pipeline")),
        };
        let more = |name: &str| one(name).map(|value| format!("{name} {value}"));
        let words = [Some(self.call.clone()), place, more("version"), more("role"), more("person")];
        crate::base::clean(&words.into_iter().flatten().collect::<Vec<_>>().join(" "))
    }

    /// The whole effect in one line: its description, and every argument that the description does not contain.
    pub(crate) fn shown(&self) -> String {
        let mut said: Vec<&str> = self.attributes.values().flatten().map(String::as_str).collect();
        // A parameter's value does not name its parameter, so parameters are always listed as `name=value`.
        let parameters = self.attributes.get("parameter").map(Vec::as_slice).unwrap_or_default();
        said.retain(|value| !parameters.iter().any(|parameter| parameter == value));
        let mut more = Vec::new();
        arguments("", &self.arguments, &said, &mut more);
        let more = if more.is_empty() { String::new() } else { format!(" with {}", more.join(", ")) };
        crate::base::clean(&format!("{}{more}", self.about()))
    }
}

impl Plan {
    /// Checks that an effect equals the planned one at this index.
    ///
    /// # Errors
    /// The difference, in one line.
    pub(crate) fn check(&self, place: usize, effect: &Effect) -> Result<(), PlanMismatch> {
        let mismatch = |why: String| Err(PlanMismatch { why });
        let Some(planned) = self.effects.get(place) else {
            return mismatch(format!("{} is not in the approved plan", effect.about()));
        };
        if planned.call != effect.call || planned.attributes != effect.attributes {
            return mismatch(format!("the approved plan has {} here, not {}", planned.about(), effect.about()));
        }
        if planned.arguments != effect.arguments {
            let why = format!(
                "{} was approved with {}, not with {}",
                planned.about(),
                short(&planned.arguments),
                short(&effect.arguments)
            );
            return mismatch(why);
        }
        Ok(())
    }
}

/// Appends each value as `name=value`, except for values in `said`.
fn arguments(name: &str, value: &Value, said: &[&str], more: &mut Vec<String>) {
    match value {
        Value::Object(fields) => match (fields.get("name"), fields.get("value"), fields.len()) {
            (Some(Value::String(name)), Some(value), 2) => arguments(name, value, said, more),
            _ => fields.iter().for_each(|(name, value)| arguments(name, value, said, more)),
        },
        Value::Array(values) => values.iter().for_each(|value| arguments(name, value, said, more)),
        Value::Null => {}
        Value::String(text) if said.contains(&text.as_str()) => {}
        Value::String(text) => more.push(format!("{name}={text:?}")),
        other => more.push(format!("{name}={other}")),
    }
}

fn short(value: &Value) -> String {
    let mut text = crate::base::clean(&value.to_string());
    text.truncate(text.floor_char_boundary(200));
    text
}

/// The placeholder of an id that an earlier effect returned.
fn renamed(text: &str, ids: &[Option<String>]) -> Option<String> {
    let place = ids.iter().position(|id| id.as_deref() == Some(text))?;
    Some(Effect::placeholder(place + 1))
}

/// Replaces ids that earlier effects returned by their placeholders.
fn rename(value: &mut Value, ids: &[Option<String>]) {
    match value {
        Value::String(text) => {
            if let Some(name) = renamed(text, ids) {
                *text = name;
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| rename(value, ids)),
        Value::Object(values) => values.values_mut().for_each(|value| rename(value, ids)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn effect(version: &str, arguments: Value, ids: &[Option<String>]) -> Effect {
        let attributes = BTreeMap::from([
            ("app".to_owned(), vec!["cms".to_owned()]),
            ("environment".to_owned(), vec!["production".to_owned()]),
            ("version".to_owned(), vec![version.to_owned()]),
        ]);
        Effect::new("pipelines.trigger", attributes, arguments, ids)
    }

    #[test]
    fn an_effect_must_equal_the_planned_one_at_its_index() {
        let plan = Plan {
            effects: vec![effect("1.0", json!([{ "a": 1 }]), &[]), effect("1.1", json!([{ "a": 2 }]), &[])],
            end: PlanEnd::Ended,
        };
        assert_eq!(plan.check(0, &effect("1.0", json!([{ "a": 1 }]), &[])), Ok(()));
        for (place, other) in [
            (1, effect("1.0", json!([{ "a": 1 }]), &[])),
            (0, effect("1.1", json!([{ "a": 1 }]), &[])),
            (0, effect("1.0", json!([{ "a": 2 }]), &[])),
            (0, Effect { call: "jobs.later".to_owned(), ..effect("1.0", json!([{ "a": 1 }]), &[]) }),
            (2, effect("1.0", json!([{ "a": 1 }]), &[])),
        ] {
            assert!(plan.check(place, &other).is_err(), "{place} {other:?}");
        }
    }

    #[test]
    fn ids_of_earlier_effects_are_replaced_by_placeholders() {
        let planned = effect("1.0", json!([{ "of": "plan-1", "deep": ["x", "plan-2"] }]), &[]);
        let ids = [Some("7f3ak-4".to_owned()), Some("7f3ak-9".to_owned())];
        let real = effect("1.0", json!([{ "of": "7f3ak-4", "deep": ["x", "7f3ak-9"] }]), &ids);
        assert_eq!(planned, real);
        let attributes = BTreeMap::from([("parameter".to_owned(), vec!["7f3ak-4".to_owned()])]);
        let passed = Effect::new("pipelines.trigger", attributes, json!([]), &ids);
        assert_eq!(passed.attributes["parameter"], ["plan-1"]);
        let other = effect("1.0", json!([{ "of": "7f3ak-9", "deep": ["x", "7f3ak-4"] }]), &ids);
        assert_ne!(planned, other, "an id of another effect has another placeholder");
    }

    #[test]
    fn an_effect_is_described_in_one_line() {
        assert_eq!(effect("1.0", json!([]), &[]).about(), "pipelines.trigger cms/production version 1.0");
        let parameters = json!([{ "pipeline": "cms/production", "parameters": [
            { "name": "version", "value": "1.0" }, { "name": "drain", "value": "no, (done)" }] }]);
        let mut with = effect("1.0", parameters, &[]);
        with.attributes.insert("pipeline".to_owned(), vec!["cms/production".to_owned()]);
        with.attributes.insert("parameter".to_owned(), vec!["no, (done)".to_owned()]);
        assert_eq!(with.shown(), "pipelines.trigger cms/production version 1.0 with drain=\"no, (done)\"");
        let bare = Effect::new("jobs.cancel", BTreeMap::new(), json!([]), &[]);
        assert_eq!(bare.about(), "jobs.cancel");
    }
}
