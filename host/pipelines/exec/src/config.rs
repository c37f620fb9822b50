//! One `[app.A.deploy.E]` with a `run`: what will be started, checked as far as it can be without starting it.
//!
//! Secrets stay references here; they are read when a run starts.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use wardroom::{
    config::{Located, Table},
    port::SecretRef,
};

use crate::{order::Launch, template::Template};

/// Where programs are looked up, for the host and for the run.
const SEARCH_PATH: &str = "/usr/local/bin:/usr/bin:/bin";
const TIMEOUT: Duration = Duration::from_secs(3600);
const GRACE: Duration = Duration::from_secs(10);

/// One pipeline.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// An absolute path.
    program: String,
    /// What the program is told that it is called.
    name: String,
    arguments: Vec<Template>,
    /// An absolute path.
    directory: String,
    environment: BTreeMap<String, Setting>,
    user: Option<String>,
    pub(crate) timeout: Duration,
    pub(crate) grace: Duration,
}

#[derive(Debug, Clone)]
enum Setting {
    Text(Template),
    Secret(SecretRef),
}

impl Entry {
    /// Reads the table's keys; problems go to its list. `None` where there were any.
    pub(crate) fn read(parameters: &[String], table: &mut Table) -> Option<Self> {
        let before = table.problems().count();
        let folder = std::path::absolute(table.folder()).unwrap_or_else(|_| table.folder().to_owned());
        let environment = read_environment(parameters, table);
        let run = match table.strings("run") {
            Some(run) if run.value.is_empty() => {
                table.problem(
                    &run.at,
                    "`run` is empty, and must name a program",
                    "run = [\"./program\", \"argument\"]".to_owned(),
                );
                None
            }
            run => run,
        };
        let directory = read_directory(&folder, table);
        let user = table.string("user").map(|user| user.value);
        let timeout = read_duration("timeout", TIMEOUT, table);
        let grace = read_duration("grace", GRACE, table);

        let mut words = run?.value.into_iter();
        let written = words.next()?;
        let program = find_program(&written, &folder, &environment, table);
        let arguments: Vec<Template> = words.filter_map(|word| read_template(&word, parameters, table)).collect();
        if table.problems().count() == before {
            report_unused(parameters, &arguments, &environment, table);
        }
        if table.problems().count() > before {
            return None;
        }
        let program = program?;
        // As a shell does it: a name that was looked up is passed on as it was written.
        let name = if written.value.contains('/') { program.clone() } else { written.value };
        Some(Self { program, name, arguments, directory: directory?, environment, user, timeout, grace })
    }

    /// What to start with these parameters; reads the secrets.
    ///
    /// # Errors
    /// Says which parameter or secret is missing, never a secret's value.
    pub(crate) fn launch(&self, parameters: &BTreeMap<String, String>) -> Result<Launch, String> {
        let fill = |template: &Template| {
            let text = template.fill(parameters).map_err(|name| format!("the parameter `{name}` is missing"))?;
            if text.contains('\0') { Err("a parameter has a zero byte in it".to_owned()) } else { Ok(text) }
        };
        let mut environment = BTreeMap::new();
        for (name, setting) in &self.environment {
            let value = match setting {
                Setting::Text(template) => fill(template)?,
                Setting::Secret(secret) => secret
                    .resolve()
                    .map_err(|error| format!("cannot read the secret for `{name}`: {error}"))?
                    .expose()
                    .to_owned(),
            };
            environment.insert(name.clone(), value);
        }
        Ok(Launch {
            program: self.program.clone(),
            name: self.name.clone(),
            arguments: self.arguments.iter().map(fill).collect::<Result<_, _>>()?,
            directory: self.directory.clone(),
            environment,
            user: self.user.clone(),
        })
    }
}

fn read_template(text: &Located<String>, parameters: &[String], table: &Table) -> Option<Template> {
    Template::parse(&text.value, parameters).map_err(|wrong| table.problem(&text.at, wrong.message, wrong.fix)).ok()
}

fn read_environment(parameters: &[String], table: &mut Table) -> BTreeMap<String, Setting> {
    let mut settings = BTreeMap::from([
        ("PATH".to_owned(), Setting::Text(Template::literal(SEARCH_PATH))),
        ("LANG".to_owned(), Setting::Text(Template::literal("C.UTF-8"))),
    ]);
    let Some(mut named) = table.table("env") else { return settings };
    for key in named.keys() {
        let name = key.value;
        let good = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !name.starts_with(|c: char| c.is_ascii_digit());
        if !good || name.is_empty() {
            named.problem(
                &key.at,
                format!("`{name}` is no name of an environment variable"),
                "letters, digits and `_`".to_owned(),
            );
        }
        if named.is_table(&name) {
            if name == "PATH" {
                named.problem(
                    &key.at,
                    "`PATH` cannot be a secret: programs are looked up in it",
                    format!("PATH = {SEARCH_PATH:?}"),
                );
            }
            if let Some(secret) = named.secret(&name) {
                settings.insert(name, Setting::Secret(secret.value));
            }
        } else if let Some(template) = named.string(&name).and_then(|text| read_template(&text, parameters, &named)) {
            if name == "PATH" && template.parameters().next().is_some() {
                named.problem(
                    &key.at,
                    "`PATH` takes no parameters: programs are looked up in it",
                    format!("PATH = {SEARCH_PATH:?}"),
                );
            }
            settings.insert(name, Setting::Text(template));
        }
    }
    named.finish();
    settings
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
            format!("`{}` is no folder", path.display()),
            "dir = \"...\"   (a folder that is there)".to_owned(),
        );
        return None;
    }
    as_text(&path, &at, table)
}

fn read_duration(key: &str, default: Duration, table: &mut Table) -> Duration {
    let Some(duration) = table.duration(key) else { return default };
    if duration.value.is_zero() {
        table.problem(&duration.at, format!("`{}.{key}` is no time at all", table.path()), format!("{key} = \"10m\""));
    }
    duration.value
}

fn find_program(
    written: &Located<String>,
    folder: &Path,
    environment: &BTreeMap<String, Setting>,
    table: &Table,
) -> Option<String> {
    // Read as a template without parameters, so that a place for one is told from a brace in a name.
    let name = match Template::parse(&written.value, &[]).map(|template| template.fill(&BTreeMap::new())) {
        Ok(Ok(name)) if !name.is_empty() => name,
        _ => {
            let message =
                format!("the program of `run` is `{}`, and must be a name or path without parameters", written.value);
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
            Some(Setting::Text(template)) => template.fill(&BTreeMap::new()).ok()?,
            _ => return None,
        };
        let found = search.split(':').filter(|part| part.starts_with('/')).map(|part| Path::new(part).join(&name));
        let Some(path) = found.into_iter().find(is_executable) else {
            let message = format!("the program `{name}` of `run` is not in `{search}`");
            table.problem(
                &written.at,
                message,
                format!("run = [\"./{name}\", ...]   (a path relative to this file), or env = {{ PATH = \"...\" }}"),
            );
            return None;
        };
        path
    };
    as_text(&found, &written.at, table)
}

fn is_executable(path: &PathBuf) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

fn as_text(path: &Path, at: &wardroom::config::At, table: &Table) -> Option<String> {
    if path.to_str().is_none() {
        table.problem(at, format!("`{}` is not UTF-8", path.display()), "a path of plain letters".to_owned());
    }
    path.to_str().map(str::to_owned)
}

/// A version that is typed and then not used would be a deployment of something else.
fn report_unused(
    parameters: &[String],
    arguments: &[Template],
    environment: &BTreeMap<String, Setting>,
    table: &Table,
) {
    let settings = environment.values().filter_map(|setting| match setting {
        Setting::Text(template) => Some(template),
        Setting::Secret(_) => None,
    });
    let used: BTreeSet<&str> = arguments.iter().chain(settings).flat_map(Template::parameters).collect();
    for name in parameters.iter().filter(|name| !used.contains(name.as_str())) {
        let message = format!("[{}] has the parameter `{name}`, and neither `run` nor `env` uses it", table.path());
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
