//! The JSON of Jenkins, as far as the backend reads it.
//!
//! Invariant: a field that is missing or null is read as its default value, because plugins add and leave out fields.
//! Invariant: each type has the `tree` query that requests its fields, and no other field is requested.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::job_path::JobPath;

/// The maximum size of a JSON response, in bytes.
pub(super) const MAX_JSON: usize = 8 << 20;

#[derive(Debug, Default, Deserialize)]
pub(crate) struct IssuedCrumb {
    #[serde(rename = "crumbRequestField")]
    pub(crate) field: String,
    pub(crate) crumb: String,
}

/// A job and the parameters that it defines.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct JobInfo {
    /// `None` for a folder.
    #[serde(default)]
    pub(crate) buildable: Option<bool>,
    /// `None` for a folder.
    #[serde(default, rename = "nextBuildNumber")]
    pub(crate) next_build_number: Option<u64>,
    #[serde(default, rename = "fullName")]
    pub(crate) full_name: Option<String>,
    #[serde(default, deserialize_with = "present")]
    property: Vec<Property>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Property {
    #[serde(default, rename = "parameterDefinitions")]
    parameters: Option<Vec<ParameterDefinition>>,
}

/// A parameter that a job defines.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct ParameterDefinition {
    #[serde(default)]
    pub(crate) name: String,
    /// The name of its class, for example `ChoiceParameterDefinition`.
    #[serde(default, rename = "type", deserialize_with = "or_default")]
    pub(crate) kind: String,
    /// The values of a choice.
    #[serde(default)]
    pub(crate) choices: Option<Value>,
    #[serde(default)]
    pub(crate) description: Option<String>,
    #[serde(default, rename = "defaultParameterValue")]
    default: Option<DefaultValue>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct DefaultValue {
    #[serde(default)]
    value: Value,
}

impl ParameterDefinition {
    /// Returns the default value; `None` for a secret, and for a parameter without one.
    pub(crate) fn default(&self) -> Option<String> {
        if self.kind.contains("Password") || self.kind.contains("Credentials") {
            return None;
        }
        text(&self.default.as_ref()?.value)
    }

    /// Returns the values of a choice; empty for another kind.
    pub(crate) fn choices(&self) -> Vec<String> {
        let choices = self.choices.as_ref().and_then(Value::as_array);
        choices.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    }
}

/// Returns a value as a person would type it.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    }
}

impl JobInfo {
    pub(super) const TREE: &str = "fullName,buildable,nextBuildNumber,property[parameterDefinitions[name,type,choices,description,defaultParameterValue[value]]]";

    /// Returns the parameters of the job; `None` if the job has none.
    pub(crate) fn parameters(&self) -> Option<&[ParameterDefinition]> {
        self.property.iter().find_map(|property| property.parameters.as_deref())
    }
}

/// The items that wait in the queue.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct QueueList {
    #[serde(default, deserialize_with = "present")]
    pub(crate) items: Vec<QueueItem>,
}

impl QueueList {
    /// The maximum number of items that one request returns.
    pub(crate) const MAX_ITEMS: usize = 2_000;

    /// Returns whether the list has every item of the queue.
    pub(crate) fn is_complete(&self) -> bool {
        self.items.len() < Self::MAX_ITEMS
    }
}

/// An item of the queue, also one that left it a short time ago.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct QueueItem {
    #[serde(default)]
    pub(crate) id: u64,
    /// Why the item waits, as a sentence of Jenkins.
    #[serde(default)]
    pub(crate) why: Option<String>,
    #[serde(default)]
    pub(crate) cancelled: Option<bool>,
    /// The build that was started for the item.
    #[serde(default)]
    pub(crate) executable: Option<Executable>,
    #[serde(default)]
    task: Option<Task>,
    #[serde(default, rename = "inQueueSince")]
    pub(crate) in_queue_since: Option<i64>,
    #[serde(default, deserialize_with = "present")]
    actions: Vec<Action>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Executable {
    #[serde(default)]
    pub(crate) number: Option<u64>,
    #[serde(default)]
    url: Option<String>,
    #[serde(default, rename = "queueId")]
    queue_id: Option<i64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Task {
    #[serde(default)]
    url: Option<String>,
}

impl QueueItem {
    pub(super) const TREE: &str = "id,why,cancelled,executable[number],task[url]";
    pub(super) const TREE_WITH_ACTIONS: &str =
        "id,why,inQueueSince,task[url],actions[parameters[name,value],causes[userId]]";

    /// Returns the job of the item; `None` if the item is a part of a build, for example a cell of a matrix.
    pub(crate) fn job(&self) -> Option<JobPath> {
        let (job, rest) = JobPath::of_url(self.task.as_ref()?.url.as_ref()?)?;
        rest.is_empty().then_some(job)
    }

    pub(crate) fn origin(&self) -> Origin {
        Origin::of(&self.actions)
    }
}

/// The newest builds of a job, newest first.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct JobBuilds {
    #[serde(default, rename = "nextBuildNumber")]
    pub(crate) next_build_number: Option<u64>,
    #[serde(default, alias = "allBuilds", deserialize_with = "present")]
    pub(crate) builds: Vec<Build>,
}

impl JobBuilds {
    /// The number of builds that Jenkins lists without loading all builds of a job.
    pub(crate) const NEWEST: usize = 100;
}

/// A build of a job.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Build {
    #[serde(default)]
    pub(crate) number: u64,
    #[serde(default, rename = "queueId")]
    pub(crate) queue_id: Option<i64>,
    #[serde(default)]
    pub(crate) building: Option<bool>,
    /// Whether the build is not completed, also while `building` is already false. Older versions do not have it.
    #[serde(default, rename = "inProgress")]
    pub(crate) in_progress: Option<bool>,
    /// `null` while the build runs.
    #[serde(default)]
    pub(crate) result: Option<String>,
    /// The time at which the build was scheduled, in milliseconds since 1970.
    #[serde(default)]
    pub(crate) timestamp: Option<i64>,
    /// In milliseconds; 0 while the build runs.
    #[serde(default)]
    pub(crate) duration: Option<i64>,
    #[serde(default, deserialize_with = "present")]
    actions: Vec<Action>,
}

impl Build {
    pub(super) const TREE: &str = "number,queueId,building,inProgress,result,timestamp,duration";
    pub(super) const TREE_OF_ACTIONS: &str = "actions[parameters[name,value],causes[userId]]";

    pub(crate) fn is_running(&self) -> bool {
        self.building.unwrap_or_default() || self.in_progress.unwrap_or_default()
    }

    /// Returns the id of the queue item from which the build came. Old builds have none.
    pub(crate) fn item(&self) -> Option<u64> {
        positive(self.queue_id)
    }

    pub(crate) fn origin(&self) -> Origin {
        Origin::of(&self.actions)
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Action {
    #[serde(default, deserialize_with = "present")]
    parameters: Vec<Parameter>,
    #[serde(default, deserialize_with = "present")]
    causes: Vec<Cause>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Parameter {
    #[serde(default)]
    name: String,
    #[serde(default)]
    value: Value,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Cause {
    #[serde(default, rename = "userId")]
    user: Option<String>,
}

/// Who started a build, and with which values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The values of the parameters. The value of a password is not in it.
    pub(crate) parameters: BTreeMap<String, String>,
    pub(crate) users: Vec<String>,
}

impl Origin {
    fn of(actions: &[Action]) -> Self {
        let parameters = actions.iter().flat_map(|action| &action.parameters);
        let parameters = parameters.filter_map(|given| Some((given.name.clone(), text(&given.value)?)));
        let users = actions.iter().flat_map(|action| &action.causes).filter_map(|cause| cause.user.clone());
        Self { parameters: parameters.collect(), users: users.collect() }
    }
}

/// A build that runs on an executor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunningBuild {
    pub(crate) job: JobPath,
    pub(crate) number: u64,
    /// The id of the queue item from which the build came.
    pub(crate) item: Option<u64>,
}

/// The executors of Jenkins and what they run.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Computers {
    #[serde(default, deserialize_with = "present")]
    computer: Vec<Computer>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Computer {
    #[serde(default, deserialize_with = "present")]
    executors: Vec<Executor>,
    #[serde(default, rename = "oneOffExecutors", deserialize_with = "present")]
    one_off_executors: Vec<Executor>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Executor {
    #[serde(default, rename = "currentExecutable")]
    current: Option<Executable>,
}

impl Computers {
    pub(super) const TREE: &str = "computer[executors[currentExecutable[number,url,queueId]],oneOffExecutors[currentExecutable[number,url,queueId]]]";

    /// Returns the builds that run: the job, the number, and the id of the queue item.
    pub(super) fn running(self) -> impl Iterator<Item = RunningBuild> {
        let executors = self
            .computer
            .into_iter()
            .flat_map(|computer| computer.executors.into_iter().chain(computer.one_off_executors));
        executors.filter_map(|executor| {
            let current = executor.current?;
            let (job, _) = JobPath::of_url(current.url.as_ref()?)?;
            Some(RunningBuild { job, number: current.number?, item: positive(current.queue_id) })
        })
    }
}

/// Returns the id of a queue item. Old builds have -1.
fn positive(id: Option<i64>) -> Option<u64> {
    id.and_then(|id| u64::try_from(id).ok()).filter(|id| *id > 0)
}

/// Reads a list without its nulls; a null in place of the list is an empty list.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let list: Option<Vec<Option<T>>> = Option::deserialize(deserializer)?;
    Ok(list.unwrap_or_default().into_iter().flatten().collect())
}

fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_plugins_add_or_leave_out_do_no_harm() {
        let job: JobInfo = serde_json::from_str(
            r#"{"_class":"x","buildable":true,"nextBuildNumber":3,"property":[{},null,{"_class":"y",
            "parameterDefinitions":[{"name":"A","type":null},{"name":"B","choices":["x"]}]}]}"#,
        )
        .unwrap();
        assert_eq!(job.parameters().unwrap().len(), 2);
        let folder: JobInfo = serde_json::from_str(r#"{"_class":"folder"}"#).unwrap();
        assert!(folder.buildable.is_none() && folder.parameters().is_none());
        let build: Build = serde_json::from_str(
            r#"{"number":7,"queueId":-1,"result":null,"actions":[{},null,{"parameters":[{"name":"A","value":true},
            {"name":"P"},{"name":"N","value":null},{"name":"B","value":"x"}]},{"causes":[{"userId":"bot"},{}]}]}"#,
        )
        .unwrap();
        let origin = build.origin();
        let expected = [("A", "true"), ("B", "x")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!((origin.parameters, origin.users), (BTreeMap::from(expected), vec!["bot".to_owned()]));
        assert_eq!(build.item(), None);
    }
}
