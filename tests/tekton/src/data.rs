//! The objects of the cluster, as JSON, and the reactions of Tekton's controller that a test does not control.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

/// The kind, the namespace and the name of an object.
pub(crate) type Id = (String, String, String);

/// A user of the cluster.
#[derive(Debug, Clone, Default)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) groups: Vec<String>,
}

/// The output of a container: each line with its time.
pub(crate) type Output = Vec<(Timestamp, Vec<u8>)>;

#[derive(Debug, Default)]
pub(crate) struct Data {
    pub(crate) objects: BTreeMap<Id, Value>,
    pub(crate) namespaces: BTreeSet<String>,
    /// The users by their token.
    pub(crate) tokens: BTreeMap<String, User>,
    /// The permissions that no user has: verb, resource, namespace.
    pub(crate) denied: BTreeSet<(String, String, String)>,
    /// The API groups that are installed.
    pub(crate) groups: BTreeSet<String>,
    /// The output of the containers by pod and container; `None` for a container that waits.
    pub(crate) output: BTreeMap<(String, String), Option<Output>>,
    /// The status with which new runs of a Pipeline end at once.
    pub(crate) ends_with: BTreeMap<String, (String, String)>,
    /// The `spec.status` with which a cancellation of a run succeeds; any if empty.
    pub(crate) ends_after: Option<String>,
    /// The values of `spec.status` that were patched, by the name of the run.
    pub(crate) stops: Vec<(String, String)>,
    /// Whether the controller of Tekton does not run.
    pub(crate) is_held: bool,
    pub(crate) clock_skew: i64,
    version: u64,
    last_line: Option<Timestamp>,
}

impl Data {
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::now() + SignedDuration::from_secs(self.clock_skew)
    }

    /// Returns the time of the server in whole seconds, as objects have it.
    pub(crate) fn now_text(&self) -> String {
        Timestamp::from_second(self.now().as_second()).map(|time| time.to_string()).unwrap_or_default()
    }

    /// Returns a time for a line, later than those before.
    pub(crate) fn line_time(&mut self) -> Timestamp {
        let next = self.last_line.map(|last| last + SignedDuration::from_nanos(1));
        let time = next.map_or(self.now(), |next| next.max(self.now()));
        self.last_line = Some(time);
        time
    }

    /// Adds or replaces an object, and gives it a new version.
    pub(crate) fn put(&mut self, id: Id, mut object: Value) -> Value {
        self.version += 1;
        let version = self.version;
        let now = self.now_text();
        let metadata = &mut object["metadata"];
        metadata["resourceVersion"] = json!(version.to_string());
        if metadata["uid"].is_null() {
            metadata["uid"] = json!(format!("uid-{version}"));
            metadata["creationTimestamp"] = json!(now);
        }
        metadata["name"] = json!(id.2);
        metadata["namespace"] = json!(id.1);
        self.objects.insert(id, object.clone());
        object
    }

    /// Returns the id of a PipelineRun.
    pub(crate) fn run_id(&self, run: &str) -> Option<Id> {
        self.objects.keys().find(|(kind, _, name)| kind == "pipelineruns" && name == run).cloned()
    }

    /// Changes a PipelineRun.
    pub(crate) fn change_run(&mut self, run: &str, change: impl FnOnce(&mut Value)) {
        let Some(id) = self.run_id(run) else { return };
        let Some(mut object) = self.objects.get(&id).cloned() else { return };
        change(&mut object);
        self.put(id, object);
    }

    /// Sets the condition `Succeeded` of an object.
    pub(crate) fn condition(status: &mut Value, state: &str, reason: &str, message: &str) {
        status["conditions"] = json!([
            { "type": "Succeeded", "status": state, "reason": reason, "message": message },
        ]);
    }

    /// Lets Tekton's controller see a new PipelineRun.
    pub(crate) fn begin(&mut self, run: &str) {
        let now = self.now_text();
        let id = self.run_id(run);
        let pipeline = id.and_then(|id| {
            let name = self.objects[&id]["spec"]["pipelineRef"]["name"].as_str()?.to_owned();
            Some(self.objects.get(&("pipelines".to_owned(), id.1, name.clone())).cloned().map(|found| (name, found)))
        });
        let Some(Some((name, pipeline))) = pipeline else { return };
        let ends_with = self.ends_with.get(&name).cloned();
        self.change_run(run, |object| {
            let status = &mut object["status"];
            status["startTime"] = json!(now);
            status["pipelineSpec"] = pipeline["spec"].clone();
            let message = "Tasks Completed: 0 (Failed: 0, Cancelled 0), Incomplete: 1, Skipped: 0";
            Self::condition(status, "Unknown", "Running", message);
        });
        if let Some((state, reason)) = ends_with {
            self.end(run, &state, &reason, "");
        }
    }

    pub(crate) fn end(&mut self, run: &str, state: &str, reason: &str, message: &str) {
        let now = self.now_text();
        self.change_run(run, |object| {
            let status = &mut object["status"];
            Self::condition(status, state, reason, message);
            status["completionTime"] = json!(now);
        });
    }

    /// Lets Tekton's controller react to a change of `spec.status`.
    pub(crate) fn stopped(&mut self, run: &str, how: &str) {
        self.stops.push((run.to_owned(), how.to_owned()));
        let ends = self.ends_after.as_ref().is_none_or(|after| after == how);
        if ends {
            let message = format!("PipelineRun \"{run}\" was cancelled");
            self.end(run, "False", "Cancelled", &message);
        } else {
            self.change_run(run, |object| {
                Self::condition(&mut object["status"], "Unknown", "CancelledRunningFinally", "");
            });
        }
    }

    /// Adds a TaskRun to a run, or changes it.
    pub(crate) fn task(&mut self, run: &str, task: &str, change: impl FnOnce(&mut Value)) {
        let Some((_, namespace, _)) = self.run_id(run) else { return };
        let name = format!("{run}-{task}");
        let id = ("taskruns".to_owned(), namespace, name.clone());
        let now = self.now_text();
        let mut object = match self.objects.get(&id) {
            Some(object) => object.clone(),
            None => {
                self.change_run(run, |object| {
                    let child = json!({
                        "apiVersion": "tekton.dev/v1", "kind": "TaskRun", "name": name, "pipelineTaskName": task,
                    });
                    push(&mut object["status"]["childReferences"], child);
                });
                let labels = json!({ "tekton.dev/pipelineRun": run, "tekton.dev/pipelineTask": task });
                let status = json!({ "podName": format!("{name}-pod"), "startTime": now, "steps": [] });
                json!({ "metadata": { "labels": labels }, "status": status })
            }
        };
        change(&mut object);
        self.put(id, object);
    }
}

/// Appends to a list, which is created if it is missing.
pub(crate) fn push(list: &mut Value, item: Value) {
    match list {
        Value::Array(items) => items.push(item),
        other => *other = json!([item]),
    }
}

/// Applies a JSON merge patch (RFC 7396).
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(fields) = target.as_object_mut() else { return };
    for (name, value) in patch {
        if value.is_null() {
            fields.remove(name);
        } else {
            merge(fields.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}
