//! Apps, environments, and how each app reaches each environment: `[environment.*]`, `[app.*]`, `[app.*.deploy.*]`.

use std::{collections::BTreeMap, fmt, sync::Arc};

use regex::Regex;

use super::{
    approvals::Terms,
    direct::{self, Direct},
    order,
    problem::{At, nearest},
    room::RoomName,
    table::{Located, Table},
};
use crate::port::{
    Pipelines, Watched,
    pipelines::{PipelinesBuilder, PipelinesFactory},
};

/// The configured apps and environments.
#[derive(Default)]
pub struct Catalog {
    apps: BTreeMap<String, App>,
    environments: Vec<Environment>,
    systems: Vec<Arc<Watched>>,
}

/// One `[environment.NAME]`.
#[derive(Debug)]
pub struct Environment {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub at: At,
    /// Who has to approve of every effect there.
    pub(super) approval: Option<Terms>,
    /// The environment in which a version must have succeeded before it comes here, and where that is said.
    pub after: Option<Located<String>>,
}

/// One `[app.NAME]`.
#[derive(Debug)]
pub struct App {
    /// The name that is typed.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// Where it is talked about: approvals are asked for there.
    pub room: Option<RoomName>,
    /// Who may grant roles on it in chat, as it is written.
    pub owners: Vec<Located<String>>,
    /// What becomes of actions from a direct message.
    pub direct: Direct,
    /// Its deployments, in the order of the file.
    pub deployments: Vec<Deployment>,
}

/// One `[app.NAME.deploy.ENVIRONMENT]`.
pub struct Deployment {
    /// The app.
    pub app: String,
    /// The environment.
    pub environment: String,
    /// Its name in rules and journal: `cms/staging`.
    pub pipeline: String,
    /// Its parameters, each with what it takes.
    pub parameters: BTreeMap<String, ValuePattern>,
    /// The system that runs it.
    pub system: Arc<dyn Pipelines>,
    /// Where it stands.
    pub at: At,
}

impl fmt::Debug for Deployment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deployment").field("pipeline", &self.pipeline).field("at", &self.at).finish_non_exhaustive()
    }
}

/// What a parameter takes: a regular expression on the whole value.
#[derive(Debug, Clone)]
pub struct ValuePattern {
    text: String,
    whole: Regex,
    dash: bool,
}

impl ValuePattern {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is wrong with it, one line.
    pub fn new(text: &str) -> Result<Self, String> {
        let whole = Regex::new(&format!(r"\A(?:{text})\z")).map_err(|error| match error {
            regex::Error::Syntax(message) => {
                message.lines().last().unwrap_or("").trim_start_matches("error: ").to_owned()
            }
            other => other.to_string(),
        })?;
        // A value such as `-rf` becomes a program's flag: it is taken only where the expression itself begins with a dash.
        let bare = text.trim_start_matches(['^', '(', '?', ':']);
        let dash = bare.starts_with('-') || bare.starts_with("\\-") || bare.starts_with("[-");
        Ok(Self { text: text.to_owned(), whole, dash })
    }

    /// Whether a whole value fits.
    pub fn takes(&self, value: &str) -> bool {
        (self.dash || !value.starts_with('-')) && !value.contains('\0') && self.whole.is_match(value)
    }

    /// What a value that does not fit must do, for people.
    pub fn wanted(&self, value: &str) -> String {
        match value.starts_with('-') && !self.dash {
            true => "it must not begin with a dash".to_owned(),
            false => format!("it must match {}", self.text),
        }
    }

    /// The expression as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl Catalog {
    /// The apps, by name.
    pub fn apps(&self) -> impl Iterator<Item = &App> + Clone {
        self.apps.values()
    }

    /// One app.
    pub fn app(&self, name: &str) -> Option<&App> {
        self.apps.get(name)
    }

    /// The environments, in the order of the file.
    pub fn environments(&self) -> impl Iterator<Item = &str> + Clone {
        self.environments.iter().map(|environment| environment.name.as_str())
    }

    /// All that is known of them.
    pub(super) fn all_environments(&self) -> &[Environment] {
        &self.environments
    }

    /// One environment.
    pub fn environment(&self, name: &str) -> Option<&Environment> {
        self.environments.iter().find(|environment| environment.name == name)
    }

    /// The environment in which a version of an app must have succeeded before it comes to this one, and the rule that says
    /// so. One that the app is not deployed to is left out, and the one before that counts.
    pub fn before<'a>(&'a self, app: &str, environment: &str) -> Option<(&'a str, &'a At)> {
        let app = self.app(app)?;
        let rule = self.environment(environment)?.after.as_ref()?;
        let mut after = rule;
        // The reader refuses circles.
        while !app.deployments.iter().any(|deployment| deployment.environment == after.value) {
            after = self.environment(&after.value)?.after.as_ref()?;
        }
        Some((&after.value, &rule.at))
    }

    /// The pipelines systems: those of tables by their names, then those that inline pipelines of a kind share.
    pub fn systems(&self) -> &[Arc<Watched>] {
        &self.systems
    }

    /// The deployment that a pipeline's name stands for.
    pub fn pipeline(&self, name: &str) -> Option<&Deployment> {
        let (app, environment) = name.split_once('/')?;
        self.apps.get(app)?.deployments.iter().find(|deployment| deployment.environment == environment)
    }
}

/// The systems of `[pipelines.*]` and the one that inline pipelines of a kind share, while they are being filled.
pub(super) struct Systems<'r> {
    factories: &'r [Arc<dyn PipelinesFactory>],
    // `None` where the system's own table had problems: what refers to it is not blamed again.
    named: BTreeMap<String, Option<Box<dyn PipelinesBuilder>>>,
    inline: BTreeMap<&'static str, Option<Box<dyn PipelinesBuilder>>>,
}

struct Draft {
    app: String,
    environment: String,
    parameters: BTreeMap<String, ValuePattern>,
    system: SystemName,
    at: At,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum SystemName {
    Named(String),
    Inline(&'static str),
}

/// Reads the environments, the pipelines systems and the apps.
pub(super) fn read(root: &mut Table, factories: &[Arc<dyn PipelinesFactory>], networks: &[&str]) -> Catalog {
    let mut catalog = Catalog::default();
    for (name, mut table) in root.tables("environment") {
        if !is_name(&name.value) {
            table.problem(&name.at, format!("`{}` is no name for an environment", name.value), NAME_RULE.to_owned());
        }
        let at = table.at().clone();
        let approval = table.table("approval").map(|mut terms| {
            let read = Terms::read(&mut terms, networks);
            terms.finish();
            read
        });
        let after = table.string("after");
        table.finish();
        catalog.environments.push(Environment { name: name.value, at, approval, after });
    }
    order::check(root, &mut catalog.environments);
    let mut systems = Systems::read(root, factories);
    let mut drafts = Vec::new();
    for (name, mut table) in root.tables("app") {
        if !is_name(&name.value) {
            table.problem(&name.at, format!("`{}` is no name for an app", name.value), NAME_RULE.to_owned());
        }
        let title = table.string("title").map_or_else(|| name.value.clone(), |title| crate::reply::clean(&title.value));
        let room = RoomName::read(&mut table, "room", networks);
        let owners = table.strings("owners").map(|owners| owners.value).unwrap_or_default();
        let direct = direct::read(&mut table);
        for (environment, deploy) in table.tables("deploy") {
            if catalog.environment(&environment.value).is_none() {
                let meant = nearest(&environment.value, catalog.environments());
                let fix = meant.map_or_else(
                    || format!("[environment.{}]", environment.value),
                    |meant| format!("[app.{}.deploy.{meant}]", name.value),
                );
                deploy.problem(&environment.at, format!("there is no environment `{}`", environment.value), fix);
            }
            drafts.extend(systems.deployment(&name.value, &environment.value, deploy));
        }
        table.finish();
        catalog
            .apps
            .insert(name.value.clone(), App { name: name.value, title, room, owners, direct, deployments: Vec::new() });
    }
    let built = systems.build();
    catalog.systems = built.values().cloned().collect();
    for draft in drafts {
        let Some(system) = built.get(&draft.system) else { continue };
        if let Some(app) = catalog.apps.get_mut(&draft.app) {
            app.deployments.push(Deployment {
                pipeline: format!("{}/{}", draft.app, draft.environment),
                app: draft.app,
                environment: draft.environment,
                parameters: draft.parameters,
                system: system.clone(),
                at: draft.at,
            });
        }
    }
    catalog
}

/// What a name of an app or environment looks like.
const NAME_RULE: &str = "letters, digits, dots, dashes and underscores, beginning with a letter or digit";

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

impl<'r> Systems<'r> {
    fn read(root: &mut Table, factories: &'r [Arc<dyn PipelinesFactory>]) -> Self {
        let mut systems = Self { factories, named: BTreeMap::new(), inline: BTreeMap::new() };
        for (name, mut table) in root.tables("pipelines") {
            let kinds: Vec<&str> = factories.iter().map(|factory| factory.kind()).collect();
            let kind = table.required_string("kind", &format!("\"{}\"", kinds.first().unwrap_or(&"jenkins")));
            let mut builder = None;
            if let Some(kind) = kind {
                match factories.iter().find(|factory| factory.kind() == kind.value) {
                    Some(factory) => {
                        builder = factory.system(Some(&mut table));
                        table.finish();
                    }
                    None => {
                        let message = format!(
                            "this build has no pipelines of the kind `{}`; it has: {}",
                            kind.value,
                            kinds.join(", ")
                        );
                        table.problem(&kind.at, message, None);
                    }
                }
            }
            systems.named.insert(name.value, builder);
        }
        systems
    }

    fn deployment(&mut self, app: &str, environment: &str, mut table: Table) -> Option<Draft> {
        let at = table.at().clone();
        let mut parameters = BTreeMap::new();
        if let Some(mut patterns) = table.table("parameters") {
            for key in patterns.keys() {
                let Some(text) = patterns.string(&key.value) else { continue };
                match ValuePattern::new(&text.value) {
                    Ok(pattern) => {
                        parameters.insert(key.value, pattern);
                    }
                    Err(reason) => {
                        let message = format!("`{}` is no regular expression: {reason}", text.value);
                        patterns.problem(&text.at, message, format!("{} = '[0-9]+\\.[0-9]+\\.[0-9]+'", key.value));
                    }
                }
            }
            patterns.finish();
        }
        let names: Vec<String> = parameters.keys().cloned().collect();
        let name = format!("{app}/{environment}");
        let pipeline = table.string("pipeline");
        let inline = self.factories.iter().find(|factory| factory.inline_key().is_some_and(|key| table.has(key)));
        let system = match (pipeline, inline) {
            (Some(pipeline), None) => {
                let Some((system, path)) = pipeline.value.split_once(':').filter(|(_, path)| !path.is_empty()) else {
                    let message = format!("`{}` names no pipeline: a system, a colon, its name there", pipeline.value);
                    table.problem(&pipeline.at, message, "pipeline = \"ci:cms/deploy\"".to_owned());
                    return None;
                };
                let Some(builder) = self.named.get_mut(system) else {
                    let meant = nearest(system, self.named.keys().map(String::as_str));
                    let fix = meant.map_or_else(
                        || format!("[pipelines.{system}]"),
                        |meant| format!("pipeline = \"{meant}:{path}\""),
                    );
                    table.problem(&pipeline.at, format!("there is no [pipelines.{system}]"), fix);
                    return None;
                };
                builder.as_mut()?.pipeline(&name, Some(path), &names, &mut table);
                SystemName::Named(system.to_owned())
            }
            (None, Some(factory)) => {
                let kind = factory.kind();
                let builder = self.inline.entry(kind).or_insert_with(|| factory.system(None));
                builder.as_mut()?.pipeline(&name, None, &names, &mut table);
                SystemName::Inline(kind)
            }
            (pipeline, _) => {
                let message = if pipeline.is_some() {
                    "has both `pipeline` and the keys of another kind"
                } else {
                    "says nothing of what to run"
                };
                let message = format!("[app.{app}.deploy.{environment}] {message}");
                table.problem(
                    &at,
                    message,
                    "run = [\"./deploy.sh\", \"{version}\"]   or   pipeline = \"ci:path\"".to_owned(),
                );
                return None;
            }
        };
        table.finish();
        Some(Draft { app: app.to_owned(), environment: environment.to_owned(), parameters, system, at })
    }

    fn build(self) -> BTreeMap<SystemName, Arc<Watched>> {
        let named = self.named.into_iter().map(|(name, builder)| (SystemName::Named(name), builder));
        let inline = self.inline.into_iter().map(|(kind, builder)| (SystemName::Inline(kind), builder));
        let watched = |(name, builder): (SystemName, Option<Box<dyn PipelinesBuilder>>)| {
            let shown = match &name {
                SystemName::Named(name) => name.clone(),
                SystemName::Inline(kind) => (*kind).to_owned(),
            };
            let system: Arc<dyn Pipelines> = builder?.build();
            Some((name, Arc::new(Watched::new(shown, system))))
        };
        named.chain(inline).filter_map(watched).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_on_the_whole_value() {
        let version = ValuePattern::new(r"[0-9]+\.[0-9]+|latest").unwrap();
        assert!(version.takes("1.2") && version.takes("latest"));
        for value in ["1.2.3", "x1.2", "latest ", "1.2\n", "latest\nx"] {
            assert!(!version.takes(value), "{value:?}");
        }
    }

    #[test]
    fn a_leading_dash_needs_an_expression_that_begins_with_one() {
        assert!(!ValuePattern::new(".*").unwrap().takes("-rf"));
        assert!(ValuePattern::new("-?[0-9]+").unwrap().takes("-5"));
        assert!(ValuePattern::new(".*").unwrap().takes("a-rf"));
    }
}
