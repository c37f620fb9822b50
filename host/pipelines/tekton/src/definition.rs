//! Checks the values and workspaces of a run against its Pipeline.
//!
//! Invariant: a value that Tekton would ignore, or that would make the run fail before its first task, is refused before
//! the PipelineRun is created.
//! Sources: Tekton's `pkg/apis/pipeline/v1/param_types.go` (types and their defaults) and
//! `pkg/reconciler/pipelinerun/resources/validate_params.go` (missing values, keys of objects, `enum`).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use wardroom::base::clean;

use crate::types::{ParamSpec, PipelineSpec};

/// The maximum number of names that a message lists.
const MAX_LISTED: usize = 20;

/// Checks the values and the names of the workspaces for a Pipeline. `shown` is the Pipeline for people.
///
/// # Errors
/// The Pipeline cannot be run with them: the reason for people.
pub(crate) fn check(
    shown: &str,
    pipeline: &PipelineSpec,
    values: &BTreeMap<String, Value>,
    workspaces: &BTreeSet<&str>,
) -> Result<(), String> {
    let find = |name: &str| pipeline.params.iter().find(|param| param.name == name);
    // 1. Values that the Pipeline does not define.
    let unknown: Vec<&str> = values.keys().map(String::as_str).filter(|name| find(name).is_none()).collect();
    if !unknown.is_empty() {
        return Err(format!(
            "the {shown} does not define {}, so Tekton would ignore the value; it defines {}",
            listed(unknown.into_iter(), "no other parameter"),
            listed(pipeline.params.iter().map(|param| param.name.as_str()), "no parameter")
        ));
    }
    // 2. Parameters without a value.
    let missing = pipeline.params.iter().filter(|param| param.default.is_none() && !values.contains_key(&param.name));
    let missing: Vec<&str> = missing.map(|param| param.name.as_str()).collect();
    if !missing.is_empty() {
        let names = listed(missing.into_iter(), "");
        return Err(format!("the {shown} needs a value for {names}, which has no default; add it to `values`"));
    }
    // 3. Values of a wrong type, and values that an `enum` does not list.
    for (name, value) in values {
        if let Some(problem) = find(name).and_then(|param| param.problem(value)) {
            return Err(format!("the parameter `{}` of the {shown} {problem}", clean(name)));
        }
    }
    // 4. Workspaces.
    let defines = |name: &str| pipeline.workspaces.iter().any(|workspace| workspace.name == name);
    if let Some(unknown) = workspaces.iter().find(|name| !defines(name)) {
        return Err(format!(
            "the {shown} has no workspace `{}`; it has {}",
            clean(unknown),
            listed(pipeline.workspaces.iter().map(|workspace| workspace.name.as_str()), "no workspace")
        ));
    }
    let unbound = pipeline.workspaces.iter().find(|space| !space.optional && !workspaces.contains(space.name.as_str()));
    match unbound {
        Some(unbound) => {
            Err(format!("the {shown} needs the workspace `{}`; add it to `workspaces`", clean(&unbound.name)))
        }
        None => Ok(()),
    }
}

impl ParamSpec {
    /// Returns the type of the parameter: the written one, else the one that Tekton derives.
    fn kind(&self) -> &str {
        match (&self.kind, &self.properties, &self.default) {
            (Some(kind), _, _) if !kind.is_empty() => kind,
            (_, Some(_), _) | (_, None, Some(Value::Object(_))) => "object",
            (_, None, Some(Value::Array(_))) => "array",
            _ => "string",
        }
    }

    /// Returns why the parameter cannot have a value, as the end of a sentence.
    fn problem(&self, value: &Value) -> Option<String> {
        let example = match self.kind() {
            "array" => "a list: `[\"a\", \"b\"]`",
            "object" => "a table: `{ key = \"value\" }`",
            _ => "a text: `\"a\"`",
        };
        let fits = match self.kind() {
            "array" => value.is_array(),
            "object" => value.is_object(),
            _ => value.is_string(),
        };
        if !fits {
            return Some(format!("has the type `{}`, so `values` needs {example}", clean(self.kind())));
        }
        if let (Some(properties), Value::Object(keys)) = (&self.properties, value) {
            let has_default = |key: &str| matches!(&self.default, Some(Value::Object(map)) if map.contains_key(key));
            let missing = properties.keys().find(|key| !keys.contains_key(*key) && !has_default(key));
            if let Some(missing) = missing {
                return Some(format!("needs the key `{}`", clean(missing)));
            }
        }
        if let (false, Some(text)) = (self.allowed.is_empty(), value.as_str())
            && !self.allowed.iter().any(|allowed| allowed == text)
        {
            return Some(format!("must be one of {}", listed(self.allowed.iter().map(String::as_str), "")));
        }
        None
    }
}

/// Returns names in backquotes, separated by commas. `none` is the text for no names.
fn listed<'n>(names: impl Iterator<Item = &'n str>, none: &str) -> String {
    let names: Vec<String> = names.map(|name| format!("`{}`", clean(name))).collect();
    match names.len() {
        0 => none.to_owned(),
        count if count > MAX_LISTED => format!("{} and {} more", names[..MAX_LISTED].join(", "), count - MAX_LISTED),
        _ => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn checked(values: Value, workspaces: &[&str]) -> Result<(), String> {
        let pipeline = json!({
            "params": [
                { "name": "TAG", "type": "string" },
                { "name": "TARGET", "type": "string", "default": "staging", "enum": ["staging", "production"] },
                { "name": "REGIONS", "type": "array", "default": ["eu"] },
                { "name": "IMAGE", "properties": { "repo": {}, "tag": {} }, "default": { "repo": "x" } },
                { "name": "LIST", "default": [] },
            ],
            "workspaces": [{ "name": "source" }, { "name": "cache", "optional": true }],
            "tasks": null,
        });
        let pipeline: PipelineSpec = serde_json::from_value(pipeline).unwrap();
        let Value::Object(values) = values else { panic!() };
        check("Pipeline `deploy`", &pipeline, &values.into_iter().collect(), &workspaces.iter().copied().collect())
    }

    #[test]
    fn a_value_that_tekton_would_ignore_or_reject_is_refused() {
        for (values, message) in [
            (
                json!({ "TAG": "1", "ZONE": "a" }),
                "the Pipeline `deploy` does not define `ZONE`, so Tekton would ignore the value; it defines `TAG`, \
                 `TARGET`, `REGIONS`, `IMAGE`, `LIST`",
            ),
            (json!({}), "the Pipeline `deploy` needs a value for `TAG`, which has no default; add it to `values`"),
            (
                json!({ "TAG": ["1"] }),
                "the parameter `TAG` of the Pipeline `deploy` has the type `string`, so `values` needs a text: `\"a\"`",
            ),
            (
                json!({ "TAG": "1", "TARGET": "prod" }),
                "the parameter `TARGET` of the Pipeline `deploy` must be one of `staging`, `production`",
            ),
            (
                json!({ "TAG": "1", "REGIONS": "eu" }),
                "the parameter `REGIONS` of the Pipeline `deploy` has the type `array`, so `values` needs a list: `[\"a\", \
                 \"b\"]`",
            ),
            (
                json!({ "TAG": "1", "LIST": "eu" }),
                "the parameter `LIST` of the Pipeline `deploy` has the type `array`, so `values` needs a list: `[\"a\", \
                 \"b\"]`",
            ),
            (
                json!({ "TAG": "1", "IMAGE": "x" }),
                "the parameter `IMAGE` of the Pipeline `deploy` has the type `object`, so `values` needs a table: `{ key = \
                 \"value\" }`",
            ),
            (json!({ "TAG": "1", "IMAGE": {} }), "the parameter `IMAGE` of the Pipeline `deploy` needs the key `tag`"),
        ] {
            assert_eq!(checked(values, &["source"]).unwrap_err(), message);
        }
        let all = json!({ "TAG": "1", "TARGET": "staging", "REGIONS": [], "IMAGE": { "tag": "1" } });
        assert_eq!(checked(all, &["source", "cache"]), Ok(()));
    }

    #[test]
    fn the_workspaces_must_fit() {
        let tag = || json!({ "TAG": "1" });
        assert_eq!(
            checked(tag(), &[]).unwrap_err(),
            "the Pipeline `deploy` needs the workspace `source`; add it to `workspaces`"
        );
        assert_eq!(
            checked(tag(), &["source", "other"]).unwrap_err(),
            "the Pipeline `deploy` has no workspace `other`; it has `source`, `cache`"
        );
    }
}
