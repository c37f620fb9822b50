//! Reads the configuration of a Jenkins backend, `[pipelines.NAME]`, and of its pipelines,
//! `[app.NAME.deploy.ENVIRONMENT]`.
//!
//! Invariant: reading a table opens no connection and resolves no secret.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use reqwest::Url;
use wardroom::base::{Key, KeyKind, SecretRef, Table, TableKeys, Template};
use wardroom_account::read_server_url;

use crate::job_path::JobPath;

/// The shortest and the longest timeout of a request.
const TIMEOUTS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(300));

/// The keys of a Jenkins backend in `[pipelines.NAME]`.
pub(crate) static SYSTEM_KEYS: TableKeys = TableKeys {
    path: "pipelines.NAME",
    about: "A Jenkins server (`kind = \"jenkins\"`). The table requires a host that is built with the feature `jenkins`.",
    keys: &[
        Key::string("url", "The URL of Jenkins, http or https, with its path if it has one.").required(),
        Key::string("user", "The id of the Jenkins user that starts the builds.").required(),
        Key::secret("token", "The API token of the user.").required_unless("with `password`"),
        Key::secret(
            "password",
            "The password of the user, for a Jenkins without API tokens. The host then also requests a crumb and keeps \
             its session.",
        ),
        Key::string("ca", "A PEM file with certificates that are trusted in addition to the system's certificates."),
        Key::duration("timeout", "The timeout of each request to Jenkins.")
            .between(TIMEOUTS.0, TIMEOUTS.1)
            .default("30s"),
        Key::string(
            "run_parameter",
            "The name of the parameter that carries the key of a run. A job that defines this parameter can be checked \
             for a build with certainty after a lost answer.",
        )
        .default("WARDROOM_RUN"),
    ],
};

/// The keys of a Jenkins pipeline in `[app.NAME.deploy.ENVIRONMENT]`.
pub(crate) static KEYS: TableKeys = TableKeys {
    path: "app.NAME.deploy.ENVIRONMENT",
    about: "A job on a Jenkins server. `pipeline` is `SYSTEM:JOB`; `JOB` is the full name of the job, for example \
            `web/cms/deploy`. A slash in the name of a branch is written `%2F`.",
    keys: &[Key::table(
        "values",
        &VALUES,
        "The values of the job's parameters. A parameter of the pipeline that no value uses is passed to the job under its \
         own name.",
    )],
};

static VALUES: TableKeys = TableKeys {
    path: "app.NAME.deploy.ENVIRONMENT.values",
    about: "The values of the parameters of a Jenkins job.",
    keys: &[Key::any(
        "PARAMETER",
        KeyKind::String,
        "The value of the job's parameter. `{NAME}` is replaced by the value of the pipeline's parameter `NAME`; `{{` and \
         `}}` are literal braces.",
    )],
};

/// How the user signs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignIn {
    /// With an API token. Jenkins then requires no crumb.
    Token,
    /// With a password. Jenkins then requires a crumb that belongs to a session.
    Password,
}

/// A `[pipelines.NAME]` table.
#[derive(Debug, Clone)]
pub(crate) struct System {
    /// The `NAME` of the table.
    pub(crate) name: String,
    pub(crate) url: Url,
    pub(crate) user: String,
    pub(crate) secret: SecretRef,
    pub(crate) sign_in: SignIn,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) timeout: Duration,
    pub(crate) run_parameter: String,
}

impl System {
    /// Reads every key of the table except `kind`. Returns `None` if a key is missing or invalid; the configuration
    /// problems are added to the table.
    pub(crate) fn read(table: &mut Table) -> Option<Self> {
        let before = table.problems().count();
        let name = table.path().strip_prefix("pipelines.").unwrap_or(table.path()).to_owned();
        let url = read_server_url(table, "url", "https://ci.example.org", |url| {
            let is_page = url.path().contains("/job/") || url.path().trim_end_matches('/').ends_with("/api");
            is_page.then_some("is the URL of a job or of the API; write the URL of Jenkins itself")
        });
        let user = table.required_string("user", "\"wardroom\"");
        if let Some(user) = user.as_ref().filter(|user| user.value.is_empty() || user.value.contains(':')) {
            let message = format!("`{}.user` is empty or contains a colon", table.path());
            table.problem(&user.at, message, "user = \"wardroom\"".to_owned());
        }
        let secret = read_secret(table);
        let ca = table.string("ca").map(|path| table.folder().join(path.value));
        let timeout = table.duration_or_default("timeout");
        let run_parameter = table.string_or_default("run_parameter");
        if run_parameter.is_empty() {
            let message = format!("`{}.run_parameter` is empty", table.path());
            table.problem(&table.at_key("run_parameter"), message, "run_parameter = \"WARDROOM_RUN\"".to_owned());
        }
        let (secret, sign_in) = secret?;
        let system = Self { name, url: url?, user: user?.value, secret, sign_in, ca, timeout, run_parameter };
        (table.problems().count() == before).then_some(system)
    }
}

fn read_secret(table: &mut Table) -> Option<(SecretRef, SignIn)> {
    match (table.has("token"), table.has("password")) {
        (true, true) => {
            let message = format!("[{}] has both `token` and `password`; only one of them is allowed", table.path());
            // Read both, so that neither is reported as unknown.
            let _ = (table.secret("token"), table.secret("password"));
            table.problem(table.at(), message, "token = { env = \"JENKINS_TOKEN\" }".to_owned());
            None
        }
        (false, true) => table.secret("password").map(|secret| (secret.value, SignIn::Password)),
        (false, false) => {
            table.missing("token", "{ env = \"JENKINS_TOKEN\" }");
            None
        }
        (true, false) => table.secret("token").map(|secret| (secret.value, SignIn::Token)),
    }
}

/// A pipeline: a job and the values of its parameters.
#[derive(Debug, Clone)]
pub(crate) struct JenkinsPipeline {
    pub(crate) job: JobPath,
    /// The value of each parameter of the job that the host passes, by its name.
    values: BTreeMap<String, Template>,
}

impl JenkinsPipeline {
    /// Reads the keys of a pipeline's table. `path` is the text after the colon of `pipeline`. If a value is invalid,
    /// adds configuration problems and returns `None`.
    pub(crate) fn read(
        path: Option<&str>,
        parameters: &[String],
        run_parameter: &str,
        table: &mut Table,
    ) -> Option<Self> {
        let before = table.problems().count();
        let mut values = BTreeMap::new();
        if let Some(mut written) = table.table("values") {
            for key in written.keys() {
                let Some(text) = written.string(&key.value) else { continue };
                if key.value == run_parameter {
                    let message = format!("`{run_parameter}` carries the key of the run, so it cannot have a value");
                    written.problem(&key.at, message, "another `run_parameter` in the [pipelines.NAME]".to_owned());
                }
                values.extend(written.template(&text, parameters).map(|template| (key.value, template)));
            }
            written.finish();
        }
        let used: BTreeSet<String> = values.values().flat_map(Template::placeholders).map(str::to_owned).collect();
        for name in parameters.iter().filter(|name| !used.contains(*name)) {
            if name == run_parameter {
                let message = format!("`{run_parameter}` carries the key of the run, so it cannot be a parameter");
                table.problem(table.at(), message, "another `run_parameter` in the [pipelines.NAME]".to_owned());
            } else if values.contains_key(name) {
                let message = format!("`values` sets `{name}`, but does not use the parameter `{name}`");
                table.problem(&table.at_key("values"), message, format!("values = {{ {name} = \"{{{name}}}\" }}"));
            } else if let Ok(template) = Template::parse(&format!("{{{name}}}")) {
                values.insert(name.clone(), template);
            }
        }
        let job = match JobPath::parse(path.unwrap_or_default()) {
            Ok(job) => Some(job),
            Err(why) => {
                let message = format!("`{}` is not the full name of a Jenkins job: it {why}", path.unwrap_or_default());
                let example = "pipeline = \"ci:web/cms/deploy\"   (the full name that the job's page shows)";
                table.problem(&table.at_key("pipeline"), message, example.to_owned());
                None
            }
        };
        (table.problems().count() == before).then_some(Self { job: job?, values })
    }

    /// Returns the values of the job's parameters for these values of the pipeline's parameters.
    ///
    /// # Errors
    /// A parameter of the pipeline is missing. The message contains its name.
    pub(crate) fn values(&self, parameters: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, String> {
        let fill = |(name, template): (&String, &Template)| {
            let value = template.fill(parameters).map_err(|name| format!("the parameter `{name}` is missing"))?;
            Ok((name.clone(), value))
        };
        self.values.iter().map(fill).collect()
    }
}
