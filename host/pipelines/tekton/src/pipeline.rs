//! Reads the configuration of a Tekton pipeline, `[app.NAME.deploy.ENVIRONMENT]`, and builds the specification of its
//! PipelineRun.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Map, Value, json};
use wardroom::base::{Key, KeyKind, Located, Table, TableKeys, Template};

use crate::{
    config::Settings,
    names::is_name,
    workspace::{KEYS as WORKSPACE, read_name, read_workspace},
};

/// The shortest and the longest timeout of a run.
const TIMEOUTS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30 * 24 * 3600));

/// The keys of a Tekton pipeline in `[app.NAME.deploy.ENVIRONMENT]`.
pub(crate) static KEYS: TableKeys = TableKeys {
    path: "app.NAME.deploy.ENVIRONMENT",
    about: "A Pipeline of Tekton. `pipeline` is `SYSTEM:PIPELINE` or `SYSTEM:NAMESPACE/PIPELINE`.",
    keys: &[
        Key::table(
            "values",
            &VALUES,
            "The values of the Pipeline's parameters. A parameter of the deployment that no value uses is passed to the \
             Pipeline under its own name.",
        ),
        Key::string(
            "service_account",
            "The service account of the run's pods. The default is the one of Tekton's configuration.",
        ),
        Key::table("timeouts", &TIMEOUT_KEYS, "The timeouts of the run. Tekton's default is one hour."),
        Key::tables(
            "workspaces",
            &WORKSPACE,
            "The volumes for the Pipeline's workspaces, by the name of the workspace.",
        ),
    ],
};

static VALUES: TableKeys = TableKeys {
    path: "app.NAME.deploy.ENVIRONMENT.values",
    about: "The values of the parameters of a Pipeline.",
    keys: &[Key::any(
        "PARAMETER",
        KeyKind::StringsOrTable(&PROPERTIES),
        "The value of the Pipeline's parameter: a string, a list for a parameter of the type `array`, or a table for one \
         of the type `object`. `{NAME}` is replaced by the value of the deployment's parameter `NAME`; `{{` and `}}` are \
         literal braces.",
    )],
};

static PROPERTIES: TableKeys = TableKeys {
    path: "app.NAME.deploy.ENVIRONMENT.values.PARAMETER",
    about: "The properties of a parameter of the type `object`.",
    keys: &[Key::any("PROPERTY", KeyKind::String, "The value of the property, with placeholders as above.")],
};

static TIMEOUT_KEYS: TableKeys = TableKeys {
    path: "app.NAME.deploy.ENVIRONMENT.timeouts",
    about: "The timeouts of a run. `tasks` and `finally` together must not be longer than `pipeline`.",
    keys: &[
        Key::duration("pipeline", "The timeout of the whole run.").between(TIMEOUTS.0, TIMEOUTS.1),
        Key::duration("tasks", "The timeout of the tasks.").between(TIMEOUTS.0, TIMEOUTS.1),
        Key::duration("finally", "The timeout of the tasks below `finally`.").between(TIMEOUTS.0, TIMEOUTS.1),
    ],
};

/// The value of a parameter, with placeholders.
#[derive(Debug, Clone)]
enum ValueTemplate {
    Text(Template),
    List(Vec<Template>),
    Object(BTreeMap<String, Template>),
}

/// A pipeline: a Pipeline in the cluster and what a run of it gets.
#[derive(Debug, Clone)]
pub(crate) struct TektonPipeline {
    pub(crate) namespace: String,
    /// The name of the Pipeline.
    pub(crate) pipeline: String,
    values: BTreeMap<String, ValueTemplate>,
    service_account: Option<String>,
    timeouts: Map<String, Value>,
    pub(crate) workspaces: BTreeMap<String, Value>,
}

impl TektonPipeline {
    /// Reads the keys of a pipeline's table. `path` is the text after the colon of `pipeline`. If a value is invalid,
    /// adds configuration problems and returns `None`.
    pub(crate) fn read(
        path: Option<&str>,
        parameters: &[String],
        settings: &Settings,
        table: &mut Table,
    ) -> Option<Self> {
        let before = table.problems().count();
        let values = read_values(parameters, table);
        let service_account = read_name(table, "service_account", "deployer");
        let timeouts = read_timeouts(table);
        let mut workspaces = BTreeMap::new();
        for (name, mut written) in table.tables("workspaces") {
            workspaces.extend(read_workspace(&mut written).map(|volume| (name.value, volume)));
            written.finish();
        }
        let (namespace, pipeline) = match path.unwrap_or_default().split_once('/') {
            Some((namespace, pipeline)) => (namespace, pipeline),
            None => (settings.namespace.as_str(), path.unwrap_or_default()),
        };
        let at = table.at_key("pipeline");
        if !is_name(pipeline) {
            let message = format!("`{}` is not the name of a Pipeline", path.unwrap_or_default());
            let example = format!("pipeline = \"{}:deploy\"   (or NAMESPACE/PIPELINE after the colon)", settings.name);
            table.problem(&at, message, example);
        } else if !settings.namespaces.contains(namespace) {
            let message = format!("[pipelines.{}] does not allow the namespace `{namespace}`", settings.name);
            table.problem(&at, message, format!("namespaces = [\"{namespace}\"]   (in [pipelines.{}])", settings.name));
        }
        let read = Self {
            namespace: namespace.to_owned(),
            pipeline: pipeline.to_owned(),
            values,
            service_account,
            timeouts,
            workspaces,
        };
        (table.problems().count() == before).then_some(read)
    }

    /// Returns a Pipeline that no table configures. Each value is passed on as it is.
    pub(crate) fn open<'n>(namespace: &str, pipeline: &str, names: impl Iterator<Item = &'n String>) -> Self {
        let own =
            |name: &String| Some((name.clone(), ValueTemplate::Text(Template::parse(&format!("{{{name}}}")).ok()?)));
        Self {
            namespace: namespace.to_owned(),
            pipeline: pipeline.to_owned(),
            values: names.filter_map(own).collect(),
            service_account: None,
            timeouts: Map::new(),
            workspaces: BTreeMap::new(),
        }
    }

    /// Returns the values of the Pipeline's parameters for these values of the deployment's parameters: strings, lists
    /// of strings and objects with strings.
    ///
    /// # Errors
    /// A parameter of the deployment is missing. The message contains its name.
    pub(crate) fn values(&self, parameters: &BTreeMap<String, String>) -> Result<BTreeMap<String, Value>, String> {
        let fill = |template: &Template| {
            template.fill(parameters).map(Value::String).map_err(|name| format!("the parameter `{name}` is missing"))
        };
        let value = |(name, value): (&String, &ValueTemplate)| {
            let value = match value {
                ValueTemplate::Text(text) => fill(text)?,
                ValueTemplate::List(items) => Value::Array(items.iter().map(fill).collect::<Result<_, _>>()?),
                ValueTemplate::Object(properties) => {
                    let filled = properties.iter().map(|(name, text)| Ok((name.clone(), fill(text)?)));
                    Value::Object(filled.collect::<Result<_, String>>()?)
                }
            };
            Ok((name.clone(), value))
        };
        self.values.iter().map(value).collect()
    }

    /// Returns the specification of a PipelineRun with these values.
    pub(crate) fn spec(&self, values: &BTreeMap<String, Value>) -> Value {
        let mut spec = Map::new();
        spec.insert("pipelineRef".to_owned(), json!({ "name": self.pipeline }));
        if !values.is_empty() {
            let params = values.iter().map(|(name, value)| json!({ "name": name, "value": value }));
            spec.insert("params".to_owned(), params.collect());
        }
        if let Some(account) = &self.service_account {
            spec.insert("taskRunTemplate".to_owned(), json!({ "serviceAccountName": account }));
        }
        if !self.timeouts.is_empty() {
            spec.insert("timeouts".to_owned(), Value::Object(self.timeouts.clone()));
        }
        if !self.workspaces.is_empty() {
            let bound = self.workspaces.iter().map(|(name, volume)| {
                let mut binding = volume.clone();
                if let Value::Object(binding) = &mut binding {
                    binding.insert("name".to_owned(), Value::String(name.clone()));
                }
                binding
            });
            spec.insert("workspaces".to_owned(), bound.collect());
        }
        Value::Object(spec)
    }
}

fn read_values(parameters: &[String], table: &mut Table) -> BTreeMap<String, ValueTemplate> {
    let mut values = BTreeMap::new();
    let mut used = BTreeSet::new();
    if let Some(mut written) = table.table("values") {
        for key in written.keys() {
            let value = read_value(&key.value, parameters, &mut written, &mut used);
            values.extend(value.map(|value| (key.value, value)));
        }
        written.finish();
    }
    for name in parameters.iter().filter(|name| !used.contains(*name)) {
        if values.contains_key(name) {
            let message = format!("`values` sets `{name}`, but does not use the parameter `{name}`");
            table.problem(&table.at_key("values"), message, format!("values = {{ {name} = \"{{{name}}}\" }}"));
        } else if let Ok(template) = Template::parse(&format!("{{{name}}}")) {
            values.insert(name.clone(), ValueTemplate::Text(template));
        }
    }
    values
}

fn read_value(
    name: &str,
    parameters: &[String],
    table: &mut Table,
    used: &mut BTreeSet<String>,
) -> Option<ValueTemplate> {
    let mut parse = |table: &Table, text: &Located<String>| {
        let template = table.template(text, parameters)?;
        used.extend(template.placeholders().map(str::to_owned));
        Some(template)
    };
    if table.is_table(name) {
        let mut object = table.table(name)?;
        let mut properties = BTreeMap::new();
        for key in object.keys() {
            let Some(text) = object.string(&key.value) else { continue };
            properties.extend(parse(&object, &text).map(|template| (key.value, template)));
        }
        object.finish();
        return Some(ValueTemplate::Object(properties));
    }
    if table.is_list(name) {
        let items = table.strings(name)?.value;
        return Some(ValueTemplate::List(items.iter().filter_map(|text| parse(table, text)).collect()));
    }
    let text = table.string(name)?;
    parse(table, &text).map(ValueTemplate::Text)
}

fn read_timeouts(table: &mut Table) -> Map<String, Value> {
    let Some(mut written) = table.table("timeouts") else { return Map::new() };
    let at = written.at().clone();
    let mut read = |key: &str| written.duration(key).map(|duration| duration.value);
    let (pipeline, tasks, finally) = (read("pipeline"), read("tasks"), read("finally"));
    if let Some(pipeline) = pipeline
        && tasks.unwrap_or_default().saturating_add(finally.unwrap_or_default()) > pipeline
    {
        let message = "the timeouts `tasks` and `finally` together are longer than `pipeline`";
        let fix = "timeouts = { pipeline = \"1h\", tasks = \"50m\", finally = \"10m\" }";
        written.problem(&at, message, fix.to_owned());
    }
    written.finish();
    let named = [("pipeline", pipeline), ("tasks", tasks), ("finally", finally)];
    let set = named.into_iter().filter_map(|(name, timeout)| Some((name.to_owned(), timeout?)));
    // A duration of Go. Tekton has no fractions of a second in timeouts.
    set.map(|(name, timeout)| (name, Value::String(format!("{}s", timeout.as_secs())))).collect()
}
