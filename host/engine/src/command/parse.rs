//! Parses the words after a command's name into arguments. First, clap separates the flags from the other words. Then
//! each value is parsed by the type of its parameter.

use std::{sync::Arc, time::Duration};

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::{
    builtin::Builtin,
    hint,
    spec::{CommandKind, DRY_RUN, OVERRIDE, Parameter, ParameterType, Spec, Target, WAIT},
    vocabulary::Vocabulary,
};
use crate::{
    base::{check_visible, parse_duration, written_duration},
    model::Attribute,
};

/// The value of one argument of a command. Stored job journals contain the serialized value, so its format must stay
/// compatible.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Value {
    /// A text, a version, a person, or the name of an app, an environment or a role.
    Text(String),
    /// An integer, or a duration in milliseconds.
    Integer(i64),
    Boolean(bool),
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Integer(number) => number.fmt(f),
            Self::Boolean(yes) => yes.fmt(f),
        }
    }
}

/// A parsed command line with valid arguments.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    spec: Arc<Spec>,
    // Each value with the index of its parameter, in the order of the parameters.
    arguments: Vec<(usize, Value)>,
    line: String,
    options: Options,
}

/// The host's own options, which every action accepts in addition to its parameters.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Options {
    /// Whether the job waits in a queue if another job holds a deployment lock that the job needs. If `false`, the job
    /// fails at once.
    #[serde(default)]
    pub(crate) wait: bool,
    /// Whether the host only shows the plan and changes nothing.
    #[serde(default, skip)]
    pub(crate) dry_run: bool,
    /// The reason for overriding a required approval; `None` if the approval is not overridden.
    #[serde(default, rename = "override", skip_serializing_if = "Option::is_none")]
    pub(crate) override_reason: Option<String>,
}

impl Command {
    pub(crate) fn spec(&self) -> &Arc<Spec> {
        &self.spec
    }

    /// Returns each argument that was given, with its parameter.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = (&Parameter, &Value)> {
        self.arguments.iter().map(|(index, value)| (&self.spec.parameters[*index], value))
    }

    /// Returns the normalized command line. A person can type this line to run the same command, unless one of its
    /// values begins with a dash: the parser would read such a value as a flag.
    pub(crate) fn line(&self) -> &str {
        &self.line
    }

    /// Returns the target that decides which right the command needs. Everybody may list the freezes, but `freeze` with
    /// an environment needs the same kind of right as `unfreeze`.
    pub(crate) fn target_of_right(&self) -> Target {
        match self.spec.target {
            Target::Host(Builtin::Freeze) if self.acts() => Target::Host(Builtin::Unfreeze),
            _ => self.spec.target.clone(),
        }
    }

    pub(crate) fn is_dry_run(&self) -> bool {
        self.options.dry_run
    }

    pub(crate) fn override_reason(&self) -> Option<&str> {
        self.options.override_reason.as_deref()
    }

    /// Returns whether the command changes something. A plugin's action with the flag `--dry-run` changes nothing.
    pub(crate) fn acts(&self) -> bool {
        match &self.spec.target {
            Target::Host(builtin) => builtin.changes(self),
            Target::Plugin(_) => self.spec.kind == CommandKind::Action && !self.is_dry_run(),
        }
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// Returns each argument that names a person, with the index of the argument's parameter.
    pub(crate) fn people(&self) -> impl Iterator<Item = (usize, &str)> {
        self.arguments.iter().filter_map(|(index, value)| match value {
            Value::Text(text) if self.spec.parameters[*index].kind == ParameterType::Person => {
                Some((*index, text.as_str()))
            }
            _ => None,
        })
    }

    /// Replaces the argument of the parameter with the index `place` by the person's id `id`. Returns the changed
    /// command.
    pub(crate) fn with_person(mut self, place: usize, id: String) -> Self {
        for (index, value) in &mut self.arguments {
            if *index == place {
                *value = Value::Text(id.clone());
            }
        }
        self.line = line(&self.spec, &self.arguments, &self.options);
        self
    }

    /// Returns the app that the command changes or reads; `None` if the command has none.
    pub(crate) fn app(&self) -> Option<&str> {
        self.typed(Attribute::App).next()
    }

    /// Returns every combination of an app and an environment that the person typed, targets and sources. The person
    /// needs a right for each of them. Returns one combination without an environment if none was typed; likewise for
    /// the app.
    pub(crate) fn places(&self) -> Vec<(Option<&str>, Option<&str>)> {
        let all = |attribute| {
            let named: Vec<Option<&str>> = self.named(attribute).map(Some).collect();
            if named.is_empty() { vec![None] } else { named }
        };
        let environments = all(Attribute::Environment);
        let apps = all(Attribute::App).into_iter();
        apps.flat_map(|app| environments.iter().map(move |environment| (app, *environment))).collect()
    }

    /// Returns the environment that the command changes; `None` if the command has none.
    pub(crate) fn environment(&self) -> Option<&str> {
        self.typed(Attribute::Environment).next()
    }

    /// Returns the line of this command with the environment replaced by `environment`, and without options of the host
    /// such as `--wait`. Returns `None` if the command lacks an app, an environment or a version, and so does not count
    /// as a deployment.
    pub(crate) fn line_for(&self, environment: &str) -> Option<String> {
        for attribute in [Attribute::App, Attribute::Environment, Attribute::Version] {
            self.typed(attribute).next()?;
        }
        let elsewhere = |(index, value): &(usize, Value)| {
            let parameter = &self.spec.parameters[*index];
            match parameter.kind == ParameterType::Environment && !parameter.source {
                true => (*index, Value::Text(environment.to_owned())),
                false => (*index, value.clone()),
            }
        };
        let arguments: Vec<(usize, Value)> = self.arguments.iter().map(elsewhere).collect();
        Some(line(&self.spec, &arguments, &Options::default()))
    }

    /// Returns whether the person typed `value` as the target of the command, for example `staging` as the environment.
    pub(crate) fn has_typed(&self, attribute: Attribute, value: &str) -> bool {
        self.typed(attribute).any(|typed| typed == value)
    }

    /// Returns whether the person typed `value` as the argument of the parameter `name`. The names of pipeline
    /// parameters are often in upper case with underscores, so `DB_HOST` is the parameter `db-host`.
    pub(crate) fn has_argument(&self, name: &str, value: &str) -> bool {
        let name = name.to_ascii_lowercase().replace('_', "-");
        self.arguments().any(|(parameter, given)| parameter.name == name && given.to_string() == value)
    }

    /// Returns the targets that the person typed for an attribute: for the attribute `environment`, the environment
    /// that the command changes. An action has at most one. Leaves out the parameters from which a command only reads
    /// ([`Parameter::source`]). Returns nothing for an attribute that is not the type of a parameter, such as `key`.
    pub(crate) fn typed(&self, attribute: Attribute) -> impl Iterator<Item = &str> {
        self.of_type(attribute).filter(|(parameter, _)| !parameter.source).map(|(_, text)| text)
    }

    /// Returns all values that the person typed for an attribute, targets and sources.
    pub(crate) fn named(&self, attribute: Attribute) -> impl Iterator<Item = &str> {
        self.of_type(attribute).map(|(_, text)| text)
    }

    fn of_type(&self, attribute: Attribute) -> impl Iterator<Item = (&Parameter, &str)> {
        self.arguments().filter_map(move |(parameter, value)| match value {
            Value::Text(text) if parameter.kind.attribute() == Some(attribute) => Some((parameter, text.as_str())),
            _ => None,
        })
    }
}

/// The reason why a typed line is not a valid command, and a suggestion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParseError {
    /// The reason, as complete sentences.
    pub message: String,
    /// A line that the person can type instead.
    pub hint: Option<String>,
}

impl ParseError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " Try: {hint}"),
            None => Ok(()),
        }
    }
}

impl Command {
    /// Restores a command from a job's journal. `given` contains each argument with the name of its parameter. An
    /// argument whose parameter no longer exists is left out.
    pub(crate) fn recorded<'a>(
        spec: Arc<Spec>,
        given: impl Iterator<Item = (&'a str, &'a Value)>,
        line: String,
        options: Options,
    ) -> Self {
        let place = |name: &str| spec.parameters.iter().position(|parameter| parameter.name == name);
        let arguments = given.filter_map(|(name, value)| Some((place(name)?, value.clone()))).collect();
        Self { spec, arguments, line, options }
    }
}

/// Parses the words after a command's name, and checks the arguments.
pub(crate) fn arguments(
    spec: &Arc<Spec>,
    words: &[String],
    vocabulary: &Vocabulary<'_>,
) -> Result<Command, ParseError> {
    arguments_with(spec, words, vocabulary, &|text| text)
}

/// Checks the words after a command's name. A word can contain a placeholder for a value that is not available yet. An
/// argument with a placeholder is not checked.
pub(crate) fn check(
    spec: &Arc<Spec>,
    words: &[String],
    vocabulary: &Vocabulary<'_>,
    is_placeholder: impl Fn(char) -> bool,
) -> Result<(), ParseError> {
    let (texts, _) = assign(spec, words)?;
    for (parameter, text) in spec.parameters.iter().zip(&texts) {
        match text {
            Some(text) if text.contains(&is_placeholder) => {}
            Some(text) => drop(value(parameter, text, vocabulary)?),
            None if parameter.required => return Err(missing(spec, parameter)),
            None => {}
        }
    }
    Ok(())
}

fn missing(spec: &Spec, parameter: &Parameter) -> ParseError {
    let message = format!("`{}` needs {}.", spec.name, parameter.name.to_uppercase());
    ParseError::new(message).with_hint(spec.usage())
}

/// Parses the words after a command's name, and checks the arguments. `restore` replaces the placeholders in a text by
/// the inserted values.
pub(crate) fn arguments_with(
    spec: &Arc<Spec>,
    words: &[String],
    vocabulary: &Vocabulary<'_>,
    restore: &dyn Fn(String) -> String,
) -> Result<Command, ParseError> {
    let (texts, mut options) = assign(spec, words)?;
    options.override_reason = options.override_reason.map(restore);
    let texts: Vec<Option<String>> = texts.into_iter().map(|text| text.map(restore)).collect();
    let mut arguments = Vec::with_capacity(texts.len());
    for (index, parameter) in spec.parameters.iter().enumerate() {
        match &texts[index] {
            Some(text) => arguments.push((index, value(parameter, text, vocabulary)?)),
            None if parameter.required => return Err(missing(spec, parameter)),
            None => {}
        }
    }
    let line = line(spec, &arguments, &options);
    let command = Command { spec: spec.clone(), arguments, line, options };
    check_combination(&command, vocabulary)?;
    Ok(command)
}

/// Assigns the words to the parameters. Returns one text for each parameter, in order, and the host's options. The text
/// of a parameter without an argument is `None`.
fn assign(spec: &Spec, words: &[String]) -> Result<(Vec<Option<String>>, Options), ParseError> {
    if words.is_empty() {
        return Ok((vec![None; spec.parameters.len()], Options::default()));
    }
    let matches = spec.flags.lock().try_get_matches_from_mut(rewritten(spec, words));
    let mut matches = matches.map_err(|error| flag_problem(&error, spec))?;
    let mut options = Options::default();
    if spec.kind == CommandKind::Action {
        options.wait = matches.get_flag(WAIT);
        options.dry_run = matches.get_flag(DRY_RUN);
        options.override_reason = matches.remove_one::<String>(OVERRIDE);
        if options.override_reason.as_ref().is_some_and(|reason| reason.trim().is_empty()) {
            return Err(ParseError::new("`--override` needs a reason.").with_hint(spec.usage()));
        }
    }
    let mut places = matches.remove_many::<String>("").into_iter().flatten();
    let mut texts = Vec::with_capacity(spec.parameters.len());
    for parameter in &spec.parameters {
        let named = matches.remove_one::<String>(&parameter.name);
        let off = parameter.kind == ParameterType::Boolean && matches.get_flag(&format!("no-{}", parameter.name));
        texts.push(match named {
            Some(text) => Some(text),
            None if off => Some("false".to_owned()),
            None if parameter.named => None,
            None if parameter.kind == ParameterType::Rest => {
                let rest: Vec<String> = places.by_ref().collect();
                (!rest.is_empty()).then(|| rest.join(" "))
            }
            None => places.next(),
        });
    }
    if let Some(extra) = places.next() {
        let message = format!("`{}` has too many arguments: `{extra}`.", spec.name);
        return Err(ParseError::new(message).with_hint(spec.usage()));
    }
    Ok((texts, options))
}

/// Rewrites each word `key=value` to `--key=value` if the command has a parameter with the name `key`. Does not change
/// words after `--`.
fn rewritten(spec: &Spec, words: &[String]) -> Vec<String> {
    let mut raw = false;
    let mut rewrite = |word: &String| {
        raw |= word == "--";
        match word.split_once('=') {
            Some((key, _)) if !raw && spec.parameters.iter().any(|parameter| parameter.name == key) => {
                format!("--{word}")
            }
            _ => word.clone(),
        }
    };
    words.iter().map(&mut rewrite).collect()
}

fn flag_problem(error: &clap::Error, spec: &Spec) -> ParseError {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => texts.first().cloned(),
        _ => None,
    };
    let flag = context(ContextKind::InvalidArg).unwrap_or_default();
    let flag = flag.split([' ', '=']).next().unwrap_or_default();
    let message = match error.kind() {
        ErrorKind::UnknownArgument => match context(ContextKind::SuggestedArg) {
            Some(meant) => format!("`{}` has no flag `{flag}`. Did you mean `{meant}`?", spec.name),
            None => format!("`{}` has no flag `{flag}`. Put `--` before a value that begins with a dash.", spec.name),
        },
        ErrorKind::ArgumentConflict => format!("`{flag}` is given twice."),
        ErrorKind::InvalidValue | ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues | ErrorKind::NoEquals => {
            format!("`{flag}` needs a value.")
        }
        _ => format!("The flags of `{}` cannot be read. Write a flag as `--name` or `--name=VALUE`.", spec.name),
    };
    ParseError::new(message).with_hint(spec.usage())
}

/// Parses one value by the type of its parameter.
fn value(parameter: &Parameter, text: &str, vocabulary: &Vocabulary<'_>) -> Result<Value, ParseError> {
    let name = parameter.name.to_uppercase();
    // A person must be able to read the version that a pipeline receives.
    if parameter.kind == ParameterType::Version {
        check_visible(text).map_err(|reason| ParseError::new(format!("{name} is not valid: {reason}.")))?;
    }
    if !parameter.choices.is_empty() {
        let choice = named(text, parameter.choices.iter().map(String::as_str));
        return choice.ok_or_else(|| hint::unknown_choice(parameter, text));
    }
    let wrong = |wanted: &str| Err(ParseError::new(format!("{name} must be {wanted}, but is `{text}`.")));
    match parameter.kind {
        ParameterType::App => {
            let apps = vocabulary.apps().map(|app| app.name.as_str());
            one_of("app", text, apps.clone(), apps)
        }
        ParameterType::Environment => {
            one_of("environment", text, vocabulary.environments(), vocabulary.seen_environments())
        }
        ParameterType::Role => one_of("role", text, vocabulary.roles(), vocabulary.roles()),
        ParameterType::Integer => text.parse().map(Value::Integer).or_else(|_| wrong("an integer")),
        ParameterType::Boolean => match text.to_lowercase().as_str() {
            "true" | "yes" | "on" => Ok(Value::Boolean(true)),
            "false" | "no" | "off" => Ok(Value::Boolean(false)),
            _ => wrong("true or false"),
        },
        ParameterType::Duration => match parse_duration(text).map(|span| i64::try_from(span.as_millis())) {
            Some(Ok(milliseconds)) => Ok(Value::Integer(milliseconds)),
            _ => wrong("a duration, for example 90s, 2h or 1d12h"),
        },
        ParameterType::Text | ParameterType::Version | ParameterType::Person | ParameterType::Rest
            if text.is_empty() =>
        {
            Err(ParseError::new(format!("{name} is empty.")))
        }
        ParameterType::Text | ParameterType::Version | ParameterType::Person | ParameterType::Rest => {
            Ok(Value::Text(text.to_owned()))
        }
    }
}

/// Returns the name in `names` that equals `text`. The error for an unknown name suggests the names in `suggested`.
fn one_of<'a>(
    what: &str,
    text: &str,
    names: impl Iterator<Item = &'a str> + Clone,
    suggested: impl Iterator<Item = &'a str> + Clone,
) -> Result<Value, ParseError> {
    named(text, names).ok_or_else(|| hint::unknown_value(what, text, suggested))
}

/// Returns the name in `names` that equals `text`, ignoring upper and lower case. If several names differ only in case,
/// prefers the exact match.
fn named<'a>(text: &str, mut names: impl Iterator<Item = &'a str> + Clone) -> Option<Value> {
    let exact = names.clone().find(|name| *name == text);
    exact.or_else(|| names.find(|name| name.eq_ignore_ascii_case(text))).map(|name| Value::Text(name.to_owned()))
}

/// Checks the arguments together: the app must have a deployment to the environment, and the deployment must accept
/// the version.
fn check_combination(command: &Command, vocabulary: &Vocabulary<'_>) -> Result<(), ParseError> {
    let (Some(app), Some(environment)) = (command.app(), command.environment()) else { return Ok(()) };
    let Some(configured) = vocabulary.app(app) else { return Ok(()) };
    let Some(deployment) = configured.deployments.iter().find(|deployment| deployment.environment == environment)
    else {
        let known: Vec<&str> =
            vocabulary.deployments(configured).map(|deployment| deployment.environment.as_str()).collect();
        let other = if known.is_empty() { String::new() } else { format!(", only to: {}", known.join(", ")) };
        return Err(ParseError::new(format!("`{app}` has no deployment to `{environment}`{other}.")));
    };
    let Some(pattern) = deployment.parameters.get("version") else { return Ok(()) };
    if let Some(version) = command.named(Attribute::Version).find(|version| !pattern.matches(version)) {
        let message = format!(
            "`{version}` is not a valid version of `{app}` for `{environment}`: {}.",
            pattern.requirement(version)
        );
        return Err(ParseError::new(message));
    }
    Ok(())
}

/// Builds the normalized command line that [`Command::line`] returns.
pub(crate) fn line(spec: &Spec, arguments: &[(usize, Value)], options: &Options) -> String {
    let mut words = vec![spec.name.clone()];
    // Options come first, because a parameter for the rest of the line would take later options as text.
    words.extend(options.wait.then(|| format!("--{WAIT}")));
    words.extend(options.dry_run.then(|| format!("--{DRY_RUN}")));
    words.extend(options.override_reason.iter().map(|reason| format!("--{OVERRIDE} {}", shell_words::quote(reason))));
    for (index, value) in arguments {
        let parameter = &spec.parameters[*index];
        let text = match value {
            Value::Integer(number) if parameter.kind == ParameterType::Duration => {
                written_duration(Duration::from_millis(u64::try_from(*number).unwrap_or_default()))
            }
            Value::Text(text) if parameter.kind != ParameterType::Rest => shell_words::quote(text).into_owned(),
            value => value.to_string(),
        };
        words.push(if parameter.named { format!("--{}={text}", parameter.name) } else { text });
    }
    words.join(" ")
}
