//! A job's plan: the job's effects in order, computed by a dry run of the plugin.
//!
//! Invariant: an effect equals a planned effect only if the name of the host call, the attributes and the arguments are
//! all equal. A dry run does not produce the ids that effects return, so placeholders stand for these ids.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    base::{as_word, as_words, in_quotes},
    policy::Need,
};

/// The maximum number of waits that the description of one effect lists.
const MAX_WAITS: usize = 5;

/// An effect: a host call that changes something outside of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Effect {
    /// The name of the host call, such as `pipelines.trigger`.
    pub(crate) call: String,
    /// The attributes that rules match, such as `app` and `version`.
    pub(crate) attributes: BTreeMap<String, Vec<String>>,
    /// The arguments that the plugin passed to the host call, as JSON.
    pub(crate) arguments: Value,
    /// Whether the effect already happened in this job.
    #[serde(default)]
    pub(crate) done: bool,
    /// The approvals that the effect requires.
    #[serde(default)]
    pub(crate) needs: Vec<Need>,
    /// The waits between the previous effect and this effect, as text for people: `3 h`, `the end of plan-1`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) waits: Vec<String>,
}

/// The reason why a dry run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PlanEnd {
    /// The plugin returned. The plan is complete.
    Ended,
    /// The next effects depend on the result of an earlier host call, which a dry run cannot predict.
    Depends,
    /// The plugin failed during the dry run. Holds the reason in one line.
    Broke(String),
}

/// The effects that a command would have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// The effects in order; the effects that already happened come first.
    pub(crate) effects: Vec<Effect>,
    pub(crate) end: PlanEnd,
}

impl Effect {
    /// Returns the placeholder for the id that effect `number` returns: `plan-1` for the first effect.
    pub(crate) fn placeholder(number: usize) -> String {
        format!("plan-{number}")
    }

    /// Creates an effect, and replaces each id that an earlier effect returned by a placeholder. `ids` contains the
    /// returned id of each earlier effect, in order; `None` for an effect that returned no id.
    pub(crate) fn new(
        call: &str,
        mut attributes: BTreeMap<String, Vec<String>>,
        mut arguments: Value,
        ids: &[Option<String>],
    ) -> Self {
        replace_ids(&mut arguments, ids);
        attributes.values_mut().flatten().for_each(|value| replace_id(value, ids));
        Self { call: call.to_owned(), attributes, arguments, done: false, needs: Vec::new(), waits: Vec::new() }
    }

    /// Returns a short description of the effect: `pipelines.trigger cms/production version 1.0.2`. A value that is not
    /// a plain word has quotation marks.
    pub(crate) fn about(&self) -> String {
        let one =
            |name: &str| self.attributes.get(name).filter(|values| !values.is_empty()).map(|values| as_words(values));
        let target = match (one("app"), one("environment")) {
            (Some(app), Some(environment)) => Some(format!("{app}/{environment}")),
            (app, environment) => app.or(environment).or_else(|| one("pipeline")),
        };
        let more = |name: &str| one(name).map(|value| format!("{name} {value}"));
        let parts = [Some(self.call.clone()), target, more("version"), more("role"), more("person")];
        crate::base::clean(&parts.into_iter().flatten().collect::<Vec<_>>().join(" "))
    }

    /// Returns the whole effect in one line: the waits before it, the short description, and each argument that the
    /// description does not contain.
    pub(crate) fn shown(&self) -> String {
        let mut more = Vec::new();
        self.arguments("", &self.arguments, &mut more);
        let more = if more.is_empty() { String::new() } else { format!(" with {}", more.join(", ")) };
        let waits = match self.waits.as_slice() {
            [] => String::new(),
            waits if waits.len() <= MAX_WAITS => format!("after a wait for {}: ", waits.join(" and ")),
            waits => {
                format!("after a wait for {} and {} more: ", waits[..MAX_WAITS].join(" and "), waits.len() - MAX_WAITS)
            }
        };
        crate::base::clean(&format!("{waits}{}{more}", self.about()))
    }

    /// Appends each argument in `value` to `more` as `name=value`, except for arguments that the short description
    /// contains.
    fn arguments(&self, name: &str, value: &Value, more: &mut Vec<String>) {
        match value {
            Value::Object(fields) => match (fields.get("name"), fields.get("value"), fields.len()) {
                (Some(Value::String(name)), Some(value), 2) => self.arguments(name, value, more),
                _ => fields.iter().for_each(|(name, value)| self.arguments(name, value, more)),
            },
            Value::Array(values) => values.iter().for_each(|value| self.arguments(name, value, more)),
            Value::Null => {}
            Value::String(text) if self.describes(name, text) => {}
            Value::String(text) => more.push(format!("{}={}", as_word(name), in_quotes(text))),
            other => more.push(format!("{}={other}", as_word(name))),
        }
    }

    /// Returns whether the short description contains this argument. An argument is compared with the attribute of the
    /// same name, because another argument can have the same value.
    fn describes(&self, name: &str, value: &str) -> bool {
        let has =
            |attribute: &str| self.attributes.get(attribute).is_some_and(|values| values.iter().any(|v| v == value));
        match name {
            "app" | "environment" | "version" | "role" | "person" => has(name),
            // The description contains the name of a pipeline as `app/environment`.
            "pipeline" => has(name) && self.about().split(' ').nth(1) == Some(value),
            _ => false,
        }
    }
}

impl Plan {
    /// Checks that an effect equals the planned effect at this index, counted from 0.
    ///
    /// # Errors
    /// Fails if the effects differ. The error describes the difference in one line, for messages.
    pub(crate) fn check(&self, index: usize, effect: &Effect) -> Result<(), String> {
        let Some(planned) = self.effects.get(index) else {
            return Err(format!("{} is not in the approved plan", effect.about()));
        };
        if planned.call != effect.call || planned.attributes != effect.attributes {
            return Err(format!(
                "effect {} is {}, but the approved plan has {}",
                index + 1,
                effect.about(),
                planned.about()
            ));
        }
        if planned.arguments != effect.arguments {
            return Err(format!(
                "{} was approved with the arguments {}, not with {}",
                planned.about(),
                short(&planned.arguments),
                short(&effect.arguments)
            ));
        }
        Ok(())
    }
}

fn short(value: &Value) -> String {
    let mut text = crate::base::clean(&value.to_string());
    text.truncate(text.floor_char_boundary(200));
    text
}

/// Replaces an id that an earlier effect returned by a placeholder. Leaves any other text as it is.
fn replace_id(text: &mut String, ids: &[Option<String>]) {
    if let Some(index) = ids.iter().position(|id| id.as_deref() == Some(text.as_str())) {
        *text = Effect::placeholder(index + 1);
    }
}

/// Replaces each id that an earlier effect returned by a placeholder.
fn replace_ids(value: &mut Value, ids: &[Option<String>]) {
    match value {
        Value::String(text) => replace_id(text, ids),
        Value::Array(values) => values.iter_mut().for_each(|value| replace_ids(value, ids)),
        Value::Object(values) => values.values_mut().for_each(|value| replace_ids(value, ids)),
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
        let hidden = effect("1.0", json!([{ "drain": "no\u{fe0f}" }]), &[]).shown();
        assert!(hidden.ends_with(r#" with drain="no\u{fe0f}""#), "{hidden}");
        with.waits = vec!["the end of plan-1".to_owned(), "3 h".to_owned()];
        assert!(
            with.shown().starts_with("after a wait for the end of plan-1 and 3 h: pipelines.trigger cms/production")
        );
        let forged = effect("1.0.2 with dry_run=\"true\"", json!([]), &[]).shown();
        assert_eq!(forged, r#"pipelines.trigger cms/production version "1.0.2 with dry_run=\"true\"""#);
        let bare = Effect::new("jobs.cancel", BTreeMap::new(), json!([]), &[]);
        assert_eq!(bare.about(), "jobs.cancel");
    }

    #[test]
    fn an_argument_with_the_value_of_an_attribute_is_shown_under_its_name() {
        let arguments = json!([{ "command": "production", "arguments": [
            { "name": "environment", "value": "production" }, { "name": "app", "value": "production" }] }]);
        let shown = effect("1.0", arguments, &[]).shown();
        let expected = "pipelines.trigger cms/production version 1.0 with app=\"production\", command=\"production\"";
        assert_eq!(shown, expected);
    }
}
