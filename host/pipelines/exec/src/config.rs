//! Reads the configuration of one exec pipeline: an `[app.NAME.deploy.ENVIRONMENT]` table with the key `run`.
//!
//! The configuration stores references to secrets. The secrets are read when a pipeline run starts.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use wardroom::base::{Key, KeyKind, Located, SecretRef, Table, TableKeys, Template};

use crate::protocol::ProgramSpec;

/// The value of `PATH` for a program if the key `env` does not set `PATH`.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// Minimum value of the keys `timeout` and `grace` in the configuration. With a timeout of 0, every pipeline run would
/// fail.
const MIN_DURATION: Duration = Duration::from_millis(1);

/// The keys of an exec pipeline in `[app.NAME.deploy.ENVIRONMENT]`.
pub(crate) static KEYS: TableKeys = TableKeys {
    path: "app.NAME.deploy.ENVIRONMENT",
    about: "A program on the host's computer. `{NAME}` in `run` and `env` is replaced by the value of the parameter \
            `NAME`; `{{` and `}}` are literal braces. `run` or `env` must use each parameter.",
    keys: &[
        Key::strings(
            "run",
            "The program and its arguments; no shell is involved. The program is a path relative to the folder of the main \
             configuration file, or a name that is looked up in `PATH`.",
        )
        .required_unless("with `pipeline`"),
        Key::string(
            "dir",
            "The working folder of the program, relative to the main file. The default is the folder of \
             the main file.",
        ),
        Key::table(
            "env",
            &VARIABLES,
            "The environment variables of the program, in addition to `PATH`, `LANG` and `HOME`.",
        ),
        Key::string(
            "user",
            "The user that runs the program. The default is the host's user; for another user, the host must run as \
             root.",
        ),
        Key::duration("timeout", "The maximum duration of a pipeline run. A longer run is stopped and fails.")
            .between(MIN_DURATION, Duration::MAX)
            .default("1h"),
        Key::duration(
            "grace",
            "The time between SIGTERM and SIGKILL when a pipeline run is stopped, and for the processes that the program \
             leaves running.",
        )
        .between(MIN_DURATION, Duration::MAX)
        .default("10s"),
        Key::boolean(
            "leave_running",
            "Whether the processes that the program leaves running continue after the end of a pipeline run. The default \
             ends them. Their output after that is not kept, and writing to the standard output of the program fails.",
        )
        .default("false"),
    ],
};

static VARIABLES: TableKeys = TableKeys {
    path: "app.NAME.deploy.ENVIRONMENT.env",
    about: "The environment variables of the program. `PATH` and `LANG` have defaults that can be replaced.",
    keys: &[Key::any(
        "VARIABLE",
        KeyKind::StringOrSecret,
        "The value of the variable: a text that can contain parameters, or a secret that is read when the pipeline run \
         starts. The value of `PATH` is a text without parameters.",
    )],
};

#[derive(Debug, Clone)]
pub(crate) struct ExecPipeline {
    /// The absolute path of the program.
    program: String,
    /// The name that the program receives as `argv[0]`.
    name: String,
    arguments: Vec<Template>,
    /// The absolute path of the working folder.
    directory: String,
    environment: BTreeMap<String, Variable>,
    user: Option<String>,
    pub(crate) timeout: Duration,
    pub(crate) grace: Duration,
    pub(crate) leave_running: bool,
}

#[derive(Debug, Clone)]
enum Variable {
    Text(Template),
    Secret(SecretRef),
}

impl ExecPipeline {
    /// Reads the keys of a pipeline's table. If the keys are invalid, adds configuration problems and returns `None`.
    /// `parameters` are the names of the pipeline's parameters.
    pub(crate) fn read(parameters: &[String], table: &mut Table) -> Option<Self> {
        let before = table.problems().count();
        let folder = std::path::absolute(table.folder()).unwrap_or_else(|_| table.folder().to_owned());
        let environment = read_environment(parameters, table);
        let run = match table.strings("run") {
            Some(run) if run.value.is_empty() => {
                table.problem(
                    &run.at,
                    "`run` is empty; it must name a program",
                    "run = [\"./program\", \"argument\"]".to_owned(),
                );
                None
            }
            run => run,
        };
        let directory = read_directory(&folder, table);
        let user = table.string("user").map(|user| user.value);
        let timeout = table.duration_or_default("timeout");
        let grace = table.duration_or_default("grace");
        let leave_running = table.boolean_or_default("leave_running");

        let mut words = run?.value.into_iter();
        let written = words.next()?;
        let program = find_program(&written, &folder, &environment, table);
        let arguments: Vec<Template> = words.filter_map(|word| table.template(&word, parameters)).collect();
        if table.problems().count() == before {
            report_unused(parameters, &arguments, &environment, table);
        }
        if table.problems().count() > before {
            return None;
        }
        let program = program?;
        // As in a shell, `argv[0]` of a program that was found in `PATH` is its name, not its path.
        let name = if written.value.contains('/') { program.clone() } else { written.value };
        Some(Self { program, name, arguments, directory: directory?, environment, user, timeout, grace, leave_running })
    }

    /// Returns the program to start: replaces `{name}` in the configured arguments and environment variables by the
    /// values in `parameters`, and reads the secrets.
    ///
    /// # Errors
    /// A parameter or a secret is missing. The message contains the name of the parameter or secret, never a value.
    pub(crate) fn program(&self, parameters: &BTreeMap<String, String>) -> Result<ProgramSpec, String> {
        let fill = |template: &Template| {
            let text = template.fill(parameters).map_err(|name| format!("the parameter `{name}` is missing"))?;
            if text.contains('\0') {
                return Err("the value of a pipeline parameter contains a NUL byte".to_owned());
            }
            Ok(text)
        };
        let (mut environment, mut secrets) = (BTreeMap::new(), Vec::new());
        for (name, variable) in &self.environment {
            let value = match variable {
                Variable::Text(template) => fill(template)?,
                Variable::Secret(secret) => {
                    let secret = secret.resolve().map_err(|error| {
                        format!("cannot read the secret for the environment variable `{name}`: {error}")
                    })?;
                    secrets.push(secret.expose().to_owned());
                    secret.expose().to_owned()
                }
            };
            environment.insert(name.clone(), value);
        }
        Ok(ProgramSpec {
            path: self.program.clone(),
            name: self.name.clone(),
            arguments: self.arguments.iter().map(fill).collect::<Result<_, _>>()?,
            directory: self.directory.clone(),
            environment,
            user: self.user.clone(),
            secrets,
        })
    }

    /// Resolves the secrets of the pipeline, so that the host redacts them before the first run, and again after a
    /// restart. A secret that cannot be read is reported when a run starts.
    pub(crate) fn resolve_secrets(&self) {
        for variable in self.environment.values() {
            if let Variable::Secret(secret) = variable {
                let _ = secret.resolve();
            }
        }
    }
}

fn read_environment(parameters: &[String], table: &mut Table) -> BTreeMap<String, Variable> {
    let mut variables = BTreeMap::from([
        ("PATH".to_owned(), Variable::Text(Template::literal(DEFAULT_PATH))),
        ("LANG".to_owned(), Variable::Text(Template::literal("C.UTF-8"))),
    ]);
    let Some(mut named) = table.table("env") else { return variables };
    for key in named.keys() {
        let name = key.value;
        let good = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !name.starts_with(|c: char| c.is_ascii_digit());
        if !good || name.is_empty() {
            named.problem(
                &key.at,
                format!("`{name}` is not a valid name of an environment variable"),
                "a name of letters, digits and `_` that does not begin with a digit".to_owned(),
            );
        }
        if named.is_table(&name) {
            if name == "PATH" {
                named.problem(
                    &key.at,
                    "`PATH` cannot be a secret: the host searches `PATH` for the program",
                    format!("PATH = {DEFAULT_PATH:?}"),
                );
            }
            if let Some(secret) = named.secret(&name) {
                variables.insert(name, Variable::Secret(secret.value));
            }
        } else if let Some(template) = named.string(&name).and_then(|text| named.template(&text, parameters)) {
            if name == "PATH" && template.placeholders().next().is_some() {
                named.problem(
                    &key.at,
                    "the value of `PATH` cannot contain pipeline parameters, because the host searches `PATH` for the program",
                    format!("PATH = {DEFAULT_PATH:?}"),
                );
            }
            variables.insert(name, Variable::Text(template));
        }
    }
    named.finish();
    variables
}

fn read_directory(folder: &Path, table: &mut Table) -> Option<String> {
    let at = table.at_key("dir");
    let path = match table.string("dir") {
        Some(dir) => folder.join(dir.value),
        None => folder.to_owned(),
    };
    if !path.is_dir() {
        table.problem(
            &at,
            format!("the working folder `{}` does not exist or is not a folder", path.display()),
            "dir = \"...\"   (an existing folder)".to_owned(),
        );
        return None;
    }
    as_text(&path, &at, table)
}

fn find_program(
    written: &Located<String>,
    folder: &Path,
    environment: &BTreeMap<String, Variable>,
    table: &Table,
) -> Option<String> {
    // The program is a template without parameters: `{{` is a literal brace, and `{name}` is an error.
    let name = match Template::parse(&written.value).map(|template| template.fill(&BTreeMap::new())) {
        Ok(Ok(name)) if !name.is_empty() => name,
        _ => {
            let message = format!(
                "`{}` cannot be the program of `run`: the program must be a name or a path without parameters",
                written.value
            );
            table.problem(&written.at, message, "run = [\"./program\", \"{version}\"]".to_owned());
            return None;
        }
    };
    let found = if name.contains('/') {
        let path = folder.join(&name);
        if !path.is_file() {
            let message = format!("the program `{name}` of `run` does not exist");
            table.problem(&written.at, message, format!("a program at `{}`", path.display()));
            return None;
        }
        if !is_executable(&path) {
            let message = format!("the program `{name}` of `run` is not executable");
            table.problem(&written.at, message, format!("chmod +x {}   (in a shell)", path.display()));
            return None;
        }
        path
    } else {
        let search = match environment.get("PATH") {
            Some(Variable::Text(template)) => template.fill(&BTreeMap::new()).ok()?,
            _ => return None,
        };
        let candidates = search.split(':').filter(|part| part.starts_with('/')).map(|part| Path::new(part).join(&name));
        let Some(path) = candidates.into_iter().find(is_executable) else {
            let message = format!("the program `{name}` of `run` is in no folder of `PATH` (`{search}`)");
            table.problem(
                &written.at,
                message,
                format!(
                    "run = [\"./{name}\", ...]   (a path relative to the main file), or env = {{ PATH = \"...\" }}"
                ),
            );
            return None;
        };
        path
    };
    as_text(&found, &written.at, table)
}

fn is_executable(path: &PathBuf) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

fn as_text(path: &Path, at: &wardroom::base::At, table: &Table) -> Option<String> {
    if path.to_str().is_none() {
        table.problem(at, format!("the path `{}` is not UTF-8 text", path.display()), "a path in UTF-8".to_owned());
    }
    path.to_str().map(str::to_owned)
}

/// Adds a configuration problem for each parameter that neither `run` nor `env` uses. The program would not receive the
/// values that people type for such a parameter.
fn report_unused(
    parameters: &[String],
    arguments: &[Template],
    environment: &BTreeMap<String, Variable>,
    table: &Table,
) {
    let templates = environment.values().filter_map(|variable| match variable {
        Variable::Text(template) => Some(template),
        Variable::Secret(_) => None,
    });
    let used: BTreeSet<&str> = arguments.iter().chain(templates).flat_map(Template::placeholders).collect();
    for name in parameters.iter().filter(|name| !used.contains(name.as_str())) {
        let message = format!("neither `run` nor `env` uses the parameter `{name}` of [{}]", table.path());
        table.problem(
            &table.at_key("run"),
            message,
            format!(
                "run = [..., \"{{{name}}}\"], or env = {{ {} = \"{{{name}}}\" }}",
                name.to_uppercase().replace('-', "_")
            ),
        );
    }
}
