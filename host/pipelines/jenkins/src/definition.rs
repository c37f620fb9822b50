//! Checks the values of a run against the parameters that its job defines.
//!
//! Invariant: a value that Jenkins would drop or replace without an error is refused before the build is triggered.
//! Source: Jenkins' `ParametersDefinitionProperty.buildWithParameters` reads only the parameters that the job defines;
//! `BooleanParameterDefinition` reads every text except `true` as false; `ChoiceParameterDefinition` rejects other values.

use std::collections::BTreeMap;

use crate::{client::JobInfo, client::ParameterDefinition, job_path::JobPath};

/// The maximum number of names that a message lists.
const MAX_LISTED: usize = 20;

/// What a job accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Accepted {
    /// Whether the job defines parameters.
    pub(crate) has_parameters: bool,
    /// Whether the job defines the parameter that carries the key of a run.
    pub(crate) carries_key: bool,
    /// The lowest number that the build can get.
    pub(crate) next_build_number: u64,
}

/// Checks the values for a job. `run_parameter` is the name of the parameter that carries the key.
///
/// # Errors
/// The job cannot be built with these values: the reason for people.
pub(crate) fn check(
    job: &JobPath,
    info: &JobInfo,
    values: &BTreeMap<String, String>,
    run_parameter: &str,
) -> Result<Accepted, String> {
    let Some(next_build_number) = info.next_build_number else {
        return Err(format!("`{job}` is a folder in Jenkins and not a job; add the name of the job or of the branch"));
    };
    if info.buildable == Some(false) {
        return Err(format!("the job `{job}` is disabled in Jenkins; enable it there"));
    }
    let Some(defined) = info.parameters() else {
        if values.is_empty() {
            return Ok(Accepted { has_parameters: false, carries_key: false, next_build_number });
        }
        let names = listed(values.keys().map(String::as_str));
        return Err(format!(
            "the job `{job}` defines no parameters, so Jenkins would ignore {names}; add them to the job (a pipeline \
             defines its parameters only after its first build)"
        ));
    };
    let find = |name: &str| defined.iter().find(|parameter| parameter.name == name);
    let unknown: Vec<&str> = values.keys().map(String::as_str).filter(|name| find(name).is_none()).collect();
    if !unknown.is_empty() {
        let shown = defined.iter().map(|parameter| parameter.name.as_str()).filter(|name| *name != run_parameter);
        return Err(format!(
            "the job `{job}` does not define {}, so Jenkins would ignore the value; it defines {}; correct the name or the job",
            listed(unknown.into_iter()),
            listed(shown)
        ));
    }
    for (name, value) in values {
        if let Some(problem) = find(name).and_then(|parameter| parameter.problem(value)) {
            return Err(format!("the parameter `{name}` of the job `{job}` {problem}"));
        }
    }
    if let Some(parameter) = find(run_parameter).filter(|parameter| !parameter.is_text()) {
        return Err(format!(
            "the parameter `{run_parameter}` of the job `{job}` carries the key of a run, but its kind is {}; make it a string \
             parameter",
            parameter.kind
        ));
    }
    Ok(Accepted { has_parameters: true, carries_key: find(run_parameter).is_some(), next_build_number })
}

impl ParameterDefinition {
    /// Returns whether Jenkins keeps each text as the value and shows it. Older versions do not tell the kind.
    fn is_text(&self) -> bool {
        matches!(self.kind.as_str(), "" | "StringParameterDefinition" | "TextParameterDefinition")
    }

    /// Returns why the parameter cannot have a value, as the end of a sentence.
    fn problem(&self, value: &str) -> Option<String> {
        match self.kind.as_str() {
            "BooleanParameterDefinition" if value != "true" && value != "false" => {
                Some("must be `true` or `false`".to_owned())
            }
            "FileParameterDefinition" => Some("is a file, which a deployment cannot upload".to_owned()),
            "ChoiceParameterDefinition" => {
                let choices = self.choices();
                let is_known = choices.is_empty() || choices.iter().any(|choice| choice == value);
                (!is_known).then(|| format!("must be one of {}", listed(choices.iter().map(String::as_str))))
            }
            _ => None,
        }
    }
}

/// Returns names in backquotes, separated by commas.
fn listed<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{}`", wardroom::base::clean(name))).collect();
    match names.len() {
        0 => "no other parameter".to_owned(),
        count if count > MAX_LISTED => {
            format!("{} and {} more", names[..MAX_LISTED].join(", "), count - MAX_LISTED)
        }
        _ => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(json: &str, values: &[(&str, &str)]) -> Result<Accepted, String> {
        let info: JobInfo = serde_json::from_str(json).unwrap();
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        check(&JobPath::parse("cms").unwrap(), &info, &values, "WARDROOM_RUN")
    }

    const JOB: &str = r#"{"buildable":true,"nextBuildNumber":7,"property":[{"parameterDefinitions":[
        {"name":"TAG","type":"StringParameterDefinition"},
        {"name":"FORCE","type":"BooleanParameterDefinition"},
        {"name":"TARGET","type":"ChoiceParameterDefinition","choices":["staging","production"]},
        {"name":"PACKAGE","type":"FileParameterDefinition"},
        {"name":"WARDROOM_RUN","type":"StringParameterDefinition"}]}]}"#;

    #[test]
    fn a_value_that_jenkins_would_drop_or_change_is_refused() {
        for (values, message) in [
            (
                &[("TAG", "1"), ("REGION", "eu"), ("ZONE", "a")][..],
                "the job `cms` does not define `REGION`, `ZONE`, so Jenkins would ignore the value; it defines `TAG`, \
                 `FORCE`, `TARGET`, `PACKAGE`; correct the name or the job",
            ),
            (&[("FORCE", "yes")], "the parameter `FORCE` of the job `cms` must be `true` or `false`"),
            (&[("TARGET", "prod")], "the parameter `TARGET` of the job `cms` must be one of `staging`, `production`"),
            (
                &[("PACKAGE", "x")],
                "the parameter `PACKAGE` of the job `cms` is a file, which a deployment cannot upload",
            ),
        ] {
            assert_eq!(checked(JOB, values).unwrap_err(), message);
        }
        let accepted = Accepted { has_parameters: true, carries_key: true, next_build_number: 7 };
        let values = [("TAG", "anything"), ("FORCE", "false"), ("TARGET", "staging")];
        assert_eq!(checked(JOB, &values).unwrap(), accepted);
    }

    #[test]
    fn only_a_job_that_can_be_built_is_accepted() {
        assert!(checked("{}", &[]).unwrap_err().contains("is a folder"));
        let disabled = r#"{"buildable":false,"nextBuildNumber":7}"#;
        assert!(checked(disabled, &[]).unwrap_err().contains("is disabled"));
        let plain = r#"{"buildable":true,"nextBuildNumber":1}"#;
        let accepted = Accepted { has_parameters: false, carries_key: false, next_build_number: 1 };
        assert_eq!(checked(plain, &[]).unwrap(), accepted);
        assert!(checked(plain, &[("TAG", "1")]).unwrap_err().contains("defines no parameters"));
    }
}
