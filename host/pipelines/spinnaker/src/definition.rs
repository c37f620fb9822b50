//! Finds the pipeline of a run, and checks the values of the run against the parameters that the pipeline defines.
//!
//! Invariant: a value that the pipeline would not use as it is meant is refused before the pipeline is triggered.
//! Source: Gate's `PipelineService.groovy` (`trigger`), which checks only that required parameters have a value.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wardroom::base::clean;

use crate::{
    client::{ParameterConfig, PipelineConfig},
    pipeline_path::PipelinePath,
};

/// The maximum number of names that a message lists.
const MAX_LISTED: usize = 20;

/// What is sent to start a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Trigger {
    pub(crate) path: PipelinePath,
    /// The id of the pipeline. With it, the pipeline that was checked is started, and its name can have any character.
    pub(crate) id: Option<String>,
    pub(crate) values: BTreeMap<String, String>,
}

/// Who wrote the path of a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The operator, in the configuration.
    Configured,
    /// A caller. The rules of the operator are patterns for paths, so that only one path may name a pipeline.
    Given,
}

/// Returns the pipeline with this name, or else, in a configured path, the one with this id. Spinnaker ignores the case of
/// an application, which a given path may not.
pub(crate) fn find<'p>(
    path: &PipelinePath,
    origin: Origin,
    pipelines: &'p [PipelineConfig],
) -> Option<&'p PipelineConfig> {
    let by = |of: fn(&PipelineConfig) -> Option<&str>| {
        pipelines.iter().find(move |pipeline| of(pipeline) == Some(&*path.pipeline))
    };
    let named = by(|pipeline| pipeline.name.as_deref());
    match origin {
        Origin::Configured => named.or_else(|| by(|pipeline| pipeline.id.as_deref())),
        Origin::Given => {
            named.filter(|found| found.application.as_ref().is_none_or(|application| *application == path.application))
        }
    }
}

/// Returns the reason for which a pipeline was not found.
pub(crate) fn not_found(path: &PipelinePath, pipelines: &[PipelineConfig]) -> String {
    let PipelinePath { application, pipeline } = path;
    if pipelines.is_empty() {
        return format!(
            "Spinnaker has no application `{application}` with pipelines that the host's account can see; check the name, \
             and give a role of the account the permission READ on the application"
        );
    }
    let names = listed(pipelines.iter().filter_map(|pipeline| pipeline.name.as_deref()));
    format!("the application `{application}` in Spinnaker has no pipeline `{pipeline}`; it has {names}")
}

/// Checks the values for a pipeline.
///
/// # Errors
/// The pipeline cannot be started with these values: the reason for people.
pub(crate) fn check(
    path: &PipelinePath,
    pipeline: &PipelineConfig,
    values: BTreeMap<String, String>,
) -> Result<Trigger, String> {
    if is_true(&pipeline.disabled) {
        return Err(format!("the pipeline `{path}` is disabled in Spinnaker; enable it there"));
    }
    // Orca evaluates expressions in the parameters of an execution, with its own rights.
    if let Some((name, _)) = values.iter().find(|(_, value)| value.contains("${")) {
        return Err(format!(
            "the value of the parameter `{}` of the pipeline `{path}` contains `${{`, which begins an expression in \
             Spinnaker; write the expression in the pipeline",
            clean(name)
        ));
    }
    let defined = pipeline.parameter_config.as_deref().unwrap_or_default();
    let find = |name: &str| defined.iter().find(|parameter| parameter.name == name);
    // A pipeline of a template inherits parameters that its configuration does not list.
    let is_whole = pipeline.kind.as_str() != Some("templatedPipeline");
    let unknown: Vec<&str> = values.keys().map(String::as_str).filter(|name| find(name).is_none()).collect();
    if is_whole && !unknown.is_empty() {
        return Err(format!(
            "the pipeline `{path}` does not define {}; add the parameter to the pipeline in Spinnaker, or correct \
             `values`; it defines {}",
            listed(unknown.into_iter()),
            listed(defined.iter().map(|parameter| parameter.name.as_str()))
        ));
    }
    for parameter in defined {
        let name = clean(&parameter.name);
        match values.get(&parameter.name) {
            Some(value) => {
                if let Some(options) = parameter.options().filter(|options| !options.contains(&value.as_str())) {
                    return Err(format!(
                        "the parameter `{name}` of the pipeline `{path}` must be one of {}",
                        listed(options.into_iter())
                    ));
                }
            }
            None if parameter.needs_value() => {
                return Err(format!(
                    "the pipeline `{path}` requires a value for the parameter `{name}`; add it to `values`"
                ));
            }
            None => {}
        }
    }
    Ok(Trigger { path: path.clone(), id: pipeline.id.clone().filter(|id| !id.is_empty()), values })
}

impl ParameterConfig {
    pub(crate) fn needs_value(&self) -> bool {
        let has_default = match &self.default_value {
            Value::Null => false,
            Value::String(text) => !text.is_empty(),
            _ => true,
        };
        is_true(&self.required) && !has_default
    }

    /// Returns the values between which the parameter allows to choose; `None` if it allows any value.
    pub(crate) fn options(&self) -> Option<Vec<&str>> {
        let options = self.options.as_array().filter(|_| is_true(&self.has_options))?;
        let options: Vec<&str> =
            options.iter().filter_map(|option| option.get("value").unwrap_or(option).as_str()).collect();
        (!options.is_empty()).then_some(options)
    }
}

fn is_true(value: &Value) -> bool {
    value.as_bool().unwrap_or_default() || value.as_str() == Some("true")
}

/// Returns names in backquotes, separated by commas.
fn listed<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{}`", clean(name))).collect();
    match names.len() {
        0 => "none".to_owned(),
        count if count > MAX_LISTED => {
            format!("{} and {} more", names[..MAX_LISTED].join(", "), count - MAX_LISTED)
        }
        _ => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIPELINE: &str = r#"{"id":"p-1","name":"Deploy","parameterConfig":[
        {"name":"TAG","required":true,"default":""},
        {"name":"TARGET","required":true,"default":"staging","hasOptions":true,"options":[{"value":"staging"},{"value":"production"}]},
        {"name":"NOTE","required":false,"hasOptions":false,"options":[{"value":""}]}]}"#;

    fn checked(json: &str, values: &[(&str, &str)]) -> Result<Trigger, String> {
        let pipeline: PipelineConfig = serde_json::from_str(json).unwrap();
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        check(&PipelinePath::parse("cms/Deploy").unwrap(), &pipeline, values)
    }

    #[test]
    fn a_value_that_the_pipeline_does_not_use_is_refused() {
        for (values, message) in [
            (
                &[("TAG", "1"), ("TAGS", "1"), ("ZONE", "a")][..],
                "the pipeline `cms/Deploy` does not define `TAGS`, `ZONE`; add the parameter to the pipeline in \
                 Spinnaker, or correct `values`; it defines `TAG`, `TARGET`, `NOTE`",
            ),
            (
                &[("TAG", "1"), ("TARGET", "prod")],
                "the parameter `TARGET` of the pipeline `cms/Deploy` must be one of `staging`, `production`",
            ),
            (
                &[("NOTE", "x")],
                "the pipeline `cms/Deploy` requires a value for the parameter `TAG`; add it to `values`",
            ),
            (
                &[("TAG", "1-${#toJson(execution)}")],
                "the value of the parameter `TAG` of the pipeline `cms/Deploy` contains `${`, which begins an expression in \
                 Spinnaker; write the expression in the pipeline",
            ),
        ] {
            assert_eq!(checked(PIPELINE, values).unwrap_err(), message);
        }
        let accepted = checked(PIPELINE, &[("TAG", "1"), ("NOTE", "any")]).unwrap();
        assert_eq!((accepted.id.as_deref(), accepted.values.len()), (Some("p-1"), 2));
    }

    #[test]
    fn a_disabled_pipeline_is_refused_and_a_template_can_inherit_parameters() {
        let disabled = r#"{"name":"Deploy","disabled":true}"#;
        assert_eq!(
            checked(disabled, &[]).unwrap_err(),
            "the pipeline `cms/Deploy` is disabled in Spinnaker; enable it there"
        );
        let plain = r#"{"name":"Deploy"}"#;
        assert!(checked(plain, &[("TAG", "1")]).unwrap_err().ends_with("it defines none"));
        assert!(checked(r#"{"name":"Deploy","type":"templatedPipeline"}"#, &[("TAG", "1")]).is_ok());
    }

    #[test]
    fn a_pipeline_is_found_by_its_name_before_its_id() {
        let list: Vec<PipelineConfig> = serde_json::from_str(
            r#"[{"id":"b","name":"a","application":"x"},{"id":"a","name":"c"},{"id":"d","name":"d/e"}]"#,
        )
        .unwrap();
        let find = |text: &str, origin| {
            find(&PipelinePath::parse(text).unwrap(), origin, &list).and_then(|found| found.id.as_deref())
        };
        let id = |text: &str| find(text, Origin::Configured);
        assert_eq!((id("x/a"), id("x/b"), id("x/d/e"), id("x/e")), (Some("b"), Some("b"), Some("d"), None));
        assert_eq!((find("x/a", Origin::Given), find("X/a", Origin::Given)), (Some("b"), None));
        assert_eq!((find("x/b", Origin::Given), find("x/d/e", Origin::Given)), (None, Some("d")), "an id is no path");
        let path = PipelinePath::parse("x/e").unwrap();
        assert_eq!(
            not_found(&path, &list),
            "the application `x` in Spinnaker has no pipeline `e`; it has `a`, `c`, `d/e`"
        );
        assert!(not_found(&path, &[]).starts_with("Spinnaker has no application `x` with pipelines"));
    }
}
