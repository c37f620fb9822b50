//! Reads the configuration of a Spinnaker backend, `[pipelines.NAME]`, and of its pipelines,
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
use wardroom_remote::IdentitySource;

use crate::pipeline_path::PipelinePath;

/// The shortest and the longest timeout of a request.
const TIMEOUTS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(300));

/// The keys of a Spinnaker backend in `[pipelines.NAME]`.
pub(crate) static SYSTEM_KEYS: TableKeys = TableKeys {
    path: "pipelines.NAME",
    about: "A Spinnaker (`kind = \"spinnaker\"`). Exactly one way to sign in is required: `certificate` with `key`, \
            `identity`, `token`, or `user` with `password`. The table requires a host that is built with the feature \
            `spinnaker`.",
    keys: &[
        Key::string("url", "The URL of Gate, http or https, with its path if it has one.").required(),
        Key::secret("certificate", "The client certificate in PEM form, followed by the certificates of its issuers."),
        Key::secret("key", "The private key of `certificate` in PEM form, without a passphrase."),
        Key::secret(
            "identity",
            "The client certificate and its private key in one PEM text. Like `certificate` and `key`, it is read again \
             for each request, so that a renewed certificate is used without a restart.",
        ),
        Key::secret("token", "An OAuth 2 access token, which is sent as `Authorization: Bearer`."),
        Key::string("user", "The user of a Gate with basic authentication."),
        Key::secret("password", "The password of `user`."),
        Key::string("ca", "A PEM file with certificates that are trusted in addition to the system's certificates."),
        Key::duration("timeout", "The timeout of each request to Gate.").between(TIMEOUTS.0, TIMEOUTS.1).default("30s"),
        Key::string(
            "ui",
            "The URL of Deck, for links to executions. Without it, messages contain no links to executions.",
        ),
    ],
};

/// The keys of a Spinnaker pipeline in `[app.NAME.deploy.ENVIRONMENT]`.
pub(crate) static KEYS: TableKeys = TableKeys {
    path: "app.NAME.deploy.ENVIRONMENT",
    about: "A pipeline of a Spinnaker. `pipeline` is `SYSTEM:APPLICATION/PIPELINE`; `APPLICATION` is the name of the \
            application in Spinnaker, and `PIPELINE` is the name or the id of the pipeline, for example \
            `cd:cms/Deploy to staging`.",
    keys: &[Key::table(
        "values",
        &VALUES,
        "The values of the pipeline's parameters in Spinnaker. A parameter of the pipeline that no value uses is passed \
         under its own name.",
    )],
};

static VALUES: TableKeys = TableKeys {
    path: "app.NAME.deploy.ENVIRONMENT.values",
    about: "The values of the parameters of a Spinnaker pipeline.",
    keys: &[Key::any(
        "PARAMETER",
        KeyKind::String,
        "The value of the parameter in Spinnaker. `{NAME}` is replaced by the value of the pipeline's parameter `NAME`; \
         `{{` and `}}` are literal braces.",
    )],
};

/// How the host signs in to Gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SignIn {
    Certificate(IdentitySource),
    Token(SecretRef),
    Password { user: String, password: SecretRef },
}

/// A `[pipelines.NAME]` table.
#[derive(Debug, Clone)]
pub(crate) struct GateSettings {
    /// The `NAME` of the table.
    pub(crate) name: String,
    pub(crate) url: Url,
    pub(crate) sign_in: SignIn,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) timeout: Duration,
    pub(crate) ui: Option<Url>,
}

impl GateSettings {
    /// Reads every key of the table except `kind`. Returns `None` if a key is missing or invalid; the configuration
    /// problems are added to the table.
    pub(crate) fn read(table: &mut Table) -> Option<Self> {
        let before = table.problems().count();
        let name = table.path().strip_prefix("pipelines.").unwrap_or(table.path()).to_owned();
        let url = read_server_url(table, "url", "https://gate.example.org:8085", |_| None);
        let is_plain = url.as_ref().is_some_and(|url| url.scheme() == "http");
        let sign_in = read_sign_in(table, is_plain);
        let ca = table.string("ca").map(|path| table.folder().join(path.value));
        let timeout = table.duration_or_default("timeout");
        let ui =
            if table.has("ui") { read_server_url(table, "ui", "https://deck.example.org", |_| None) } else { None };
        let settings = Self { name, url: url?, sign_in: sign_in?, ca, timeout, ui };
        (table.problems().count() == before).then_some(settings)
    }
}

fn read_sign_in(table: &mut Table, is_plain: bool) -> Option<SignIn> {
    const EXAMPLE: &str = "token = { env = \"GATE_TOKEN\" }";
    let before = table.problems().count();
    // Read every key, so that none is reported as unknown.
    let mut secret = |key: &str| table.secret(key).map(|secret| secret.value);
    let (certificate, key) = (secret("certificate"), secret("key"));
    let (identity, token, password) = (secret("identity"), secret("token"), secret("password"));
    let user = table.string("user");
    if table.problems().count() > before {
        return None;
    }
    let pairs = [
        ("certificate", certificate.is_some(), "key", key.is_some(), "key = { file = \"client.key\" }"),
        ("key", key.is_some(), "certificate", certificate.is_some(), "certificate = { file = \"client.pem\" }"),
        ("user", user.is_some(), "password", password.is_some(), "password = { env = \"GATE_PASSWORD\" }"),
        ("password", password.is_some(), "user", user.is_some(), "user = \"wardroom\""),
    ];
    for (given, is_given, other, has_other, example) in pairs {
        if is_given && !has_other {
            let message = format!("[{}] has `{given}`, but no `{other}`", table.path());
            table.problem(table.at(), message, example.to_owned());
            return None;
        }
    }
    if let Some(user) = user.as_ref().filter(|user| user.value.is_empty() || user.value.contains(':')) {
        let message = format!("`{}.user` is empty or contains a colon", table.path());
        table.problem(&user.at, message, "user = \"wardroom\"".to_owned());
    }
    let pair = certificate.zip(key).map(|(certificate, key)| IdentitySource::Pair { certificate, key });
    let ways = [
        pair.map(SignIn::Certificate),
        identity.map(IdentitySource::Bundle).map(SignIn::Certificate),
        token.map(SignIn::Token),
        user.zip(password).map(|(user, password)| SignIn::Password { user: user.value, password }),
    ];
    let mut ways = ways.into_iter().flatten();
    let (first, second) = (ways.next(), ways.next());
    let Some(sign_in) = first.filter(|_| second.is_none()) else {
        let message = format!(
            "[{}] needs exactly one way to sign in: `certificate` with `key`, `identity`, `token`, or `user` with \
             `password`",
            table.path()
        );
        table.problem(table.at(), message, EXAMPLE.to_owned());
        return None;
    };
    if is_plain && matches!(sign_in, SignIn::Certificate(_)) {
        let message = format!("`{}.url` is an http URL, but a client certificate needs https", table.path());
        table.problem(&table.at_key("url"), message, "url = \"https://gate.example.org:8085\"".to_owned());
        return None;
    }
    Some(sign_in)
}

/// A pipeline and the values of its parameters.
#[derive(Debug, Clone)]
pub(crate) struct SpinnakerPipeline {
    pub(crate) path: PipelinePath,
    /// The value of each parameter that the host passes, by its name.
    values: BTreeMap<String, Template>,
}

impl SpinnakerPipeline {
    /// Reads the keys of a pipeline's table. `path` is the text after the colon of `pipeline`. If a value is invalid,
    /// adds configuration problems and returns `None`.
    pub(crate) fn read(path: Option<&str>, parameters: &[String], table: &mut Table) -> Option<Self> {
        let before = table.problems().count();
        let mut values = BTreeMap::new();
        if let Some(mut written) = table.table("values") {
            for key in written.keys() {
                let Some(text) = written.string(&key.value) else { continue };
                values.extend(written.template(&text, parameters).map(|template| (key.value, template)));
            }
            written.finish();
        }
        let used: BTreeSet<String> = values.values().flat_map(Template::placeholders).map(str::to_owned).collect();
        for name in parameters.iter().filter(|name| !used.contains(*name)) {
            if values.contains_key(name) {
                let message = format!("`values` sets `{name}`, but does not use the parameter `{name}`");
                table.problem(&table.at_key("values"), message, format!("values = {{ {name} = \"{{{name}}}\" }}"));
            } else if let Ok(template) = Template::parse(&format!("{{{name}}}")) {
                values.insert(name.clone(), template);
            }
        }
        let path = match PipelinePath::parse(path.unwrap_or_default()) {
            Ok(path) => Some(path),
            Err(why) => {
                let message = format!("`{}` names no Spinnaker pipeline: it {why}", path.unwrap_or_default());
                let example = "pipeline = \"cd:cms/Deploy to staging\"   (the application, a slash, and the pipeline)";
                table.problem(&table.at_key("pipeline"), message, example.to_owned());
                None
            }
        };
        (table.problems().count() == before).then_some(Self { path: path?, values })
    }

    /// Returns the values of the parameters in Spinnaker for these values of the pipeline's parameters.
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
