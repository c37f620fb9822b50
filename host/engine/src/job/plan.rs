//! What a job is about to do: its effects in their order, found out by running its plugin without any of them.
//!
//! Invariant: an effect of the real run is compared whole, call, attributes and arguments; ids that earlier effects gave stand
//! under the names that they have in the plan.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::policy::Need;

/// One effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Effect {
    /// `pipelines.trigger`
    pub(crate) call: String,
    /// What the rules see of it.
    pub(crate) attributes: BTreeMap<String, Vec<String>>,
    /// What the plugin gave the call.
    pub(crate) arguments: Value,
    /// Whether it has happened already.
    #[serde(default)]
    pub(crate) done: bool,
    /// Who has to approve of it.
    #[serde(default)]
    pub(crate) needs: Vec<Need>,
}

/// How a dry run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PlanEnd {
    /// The plugin came to its end.
    Ended,
    /// What comes behind depends on an answer that nobody can foretell.
    Depends,
    /// It came to no good end; how, one line.
    Broke(String),
}

/// What a command does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// In their order, those that have happened first.
    pub(crate) effects: Vec<Effect>,
    /// How the dry run ended.
    pub(crate) end: PlanEnd,
}

/// How an effect differs from the one that was approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unlike {
    /// One line.
    pub(crate) why: String,
}

impl Effect {
    /// Its name in a plan.
    pub(crate) fn placeholder(number: usize) -> String {
        format!("plan-{number}")
    }

    /// An effect, with the ids that earlier ones gave (in their order) under their names in the plan.
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

    /// What it is about, in words: `pipelines.trigger cms/production version 1.0.2`.
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

    /// The whole effect in one line: what it is about, and each argument that this does not say already.
    pub(crate) fn shown(&self) -> String {
        let mut said: Vec<&str> = self.attributes.values().flatten().map(String::as_str).collect();
        // A parameter's value alone says nothing of which one it is.
        let parameters = self.attributes.get("parameter").map(Vec::as_slice).unwrap_or_default();
        said.retain(|value| !parameters.iter().any(|parameter| parameter == value));
        let mut more = Vec::new();
        arguments("", &self.arguments, &said, &mut more);
        let more = if more.is_empty() { String::new() } else { format!(" with {}", more.join(", ")) };
        crate::base::clean(&format!("{}{more}", self.about()))
    }
}

impl Plan {
    /// Whether this effect is the one at its place.
    ///
    /// # Errors
    /// How it differs.
    pub(crate) fn holds(&self, place: usize, effect: &Effect) -> Result<(), Unlike> {
        let unlike = |why: String| Err(Unlike { why });
        let Some(planned) = self.effects.get(place) else {
            return unlike(format!("{} was not in the plan that was approved", effect.about()));
        };
        if planned.call != effect.call || planned.attributes != effect.attributes {
            return unlike(format!("{} was approved at this place, and not {}", planned.about(), effect.about()));
        }
        if planned.arguments != effect.arguments {
            let why = format!(
                "{} was approved with {}, and not with {}",
                planned.about(),
                short(&planned.arguments),
                short(&effect.arguments)
            );
            return unlike(why);
        }
        Ok(())
    }
}

/// Each value as `name=value`, without those that were said.
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

/// The plan's name of an id that an earlier effect gave.
fn renamed(text: &str, ids: &[Option<String>]) -> Option<String> {
    let place = ids.iter().position(|id| id.as_deref() == Some(text))?;
    Some(Effect::placeholder(place + 1))
}

/// Puts the plan's names where ids stand that earlier effects gave.
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
    fn an_effect_is_compared_whole_and_at_its_place() {
        let plan = Plan {
            effects: vec![effect("1.0", json!([{ "a": 1 }]), &[]), effect("1.1", json!([{ "a": 2 }]), &[])],
            end: PlanEnd::Ended,
        };
        assert_eq!(plan.holds(0, &effect("1.0", json!([{ "a": 1 }]), &[])), Ok(()));
        for (place, other) in [
            (1, effect("1.0", json!([{ "a": 1 }]), &[])),
            (0, effect("1.1", json!([{ "a": 1 }]), &[])),
            (0, effect("1.0", json!([{ "a": 2 }]), &[])),
            (0, Effect { call: "jobs.later".to_owned(), ..effect("1.0", json!([{ "a": 1 }]), &[]) }),
            (2, effect("1.0", json!([{ "a": 1 }]), &[])),
        ] {
            assert!(plan.holds(place, &other).is_err(), "{place} {other:?}");
        }
    }

    #[test]
    fn ids_of_earlier_effects_stand_under_their_names_in_the_plan() {
        let planned = effect("1.0", json!([{ "of": "plan-1", "deep": ["x", "plan-2"] }]), &[]);
        let ids = [Some("7f3ak-4".to_owned()), Some("7f3ak-9".to_owned())];
        let real = effect("1.0", json!([{ "of": "7f3ak-4", "deep": ["x", "7f3ak-9"] }]), &ids);
        assert_eq!(planned, real);
        let attributes = BTreeMap::from([("parameter".to_owned(), vec!["7f3ak-4".to_owned()])]);
        let passed = Effect::new("pipelines.trigger", attributes, json!([]), &ids);
        assert_eq!(passed.attributes["parameter"], ["plan-1"]);
        let other = effect("1.0", json!([{ "of": "7f3ak-9", "deep": ["x", "7f3ak-4"] }]), &ids);
        assert_ne!(planned, other, "another one's id is another effect");
    }

    #[test]
    fn an_effect_in_words() {
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
