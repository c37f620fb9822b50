//! Parses the words after a command's name into arguments. First, clap separates the flags from the other words. Then
//! each value is parsed by the type of its parameter.

use std::sync::Arc;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::{
    composed::is_placeholder,
    free_text::{Arguments, FreeText, check_reason},
    hint,
    parsed::{Command, Options, Value},
    spec::{CommandKind, DRY_RUN, OVERRIDE, Parameter, ParameterType, Spec, WAIT},
    vocabulary::Vocabulary,
};
use crate::{
    base::{PREFIX, check_visible, parse_duration},
    model::Attribute,
};

/// The reason why a typed line is not a valid command, and a suggestion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParseError {
    /// The reason, as complete sentences.
    pub message: String,
    /// A line that the person can type instead.
    pub hint: Option<String>,
    /// Whether the line does not begin with a command.
    pub is_unknown: bool,
}

impl ParseError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, is_unknown: false }
    }

    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Returns the text for a room, in which the suggestion has the bot's prefix.
    pub(crate) fn for_room(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{} Try: {PREFIX}{hint}", self.message),
            None => self.message.clone(),
        }
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

/// Parses what follows a command's name, and checks the arguments.
pub(crate) fn arguments(
    spec: &Arc<Spec>,
    arguments: &Arguments,
    vocabulary: &Vocabulary<'_>,
) -> Result<Command, ParseError> {
    arguments_with(spec, arguments, vocabulary, &|text| text)
}

/// Parses the words after a command's name, and checks the arguments.
pub(crate) fn arguments_of_words(
    spec: &Arc<Spec>,
    words: &[String],
    vocabulary: &Vocabulary<'_>,
) -> Result<Command, ParseError> {
    arguments(spec, &Arguments::of_words(spec, words), vocabulary)
}

/// Checks the words after a command's name. A word can contain a placeholder for a value that is not available yet. An
/// argument with a placeholder is not checked.
pub(crate) fn check(spec: &Arc<Spec>, words: &[String], vocabulary: &Vocabulary<'_>) -> Result<(), ParseError> {
    let texts = texts(spec, words)?;
    for (parameter, text) in spec.parameters.iter().zip(&texts) {
        match text {
            Some(text) if text.contains(is_placeholder) => {}
            Some(text) => drop(value(parameter, text, vocabulary)?),
            None if parameter.required => return Err(missing(spec, parameter)),
            None => {}
        }
    }
    Ok(())
}

/// Returns the text of each parameter, in order. The text of a parameter without an argument is `None`.
pub(super) fn texts(spec: &Spec, words: &[String]) -> Result<Vec<Option<String>>, ParseError> {
    assign(spec, &Arguments::of_words(spec, words)).map(|(texts, _)| texts)
}

fn missing(spec: &Spec, parameter: &Parameter) -> ParseError {
    let message = format!("`{}` needs {}.", spec.name, parameter.name.to_uppercase());
    ParseError::new(message).with_hint(spec.usage())
}

/// Parses what follows a command's name, and checks the arguments. `restore` replaces the placeholders in a text by the
/// inserted values.
pub(crate) fn arguments_with(
    spec: &Arc<Spec>,
    given: &Arguments,
    vocabulary: &Vocabulary<'_>,
    restore: &dyn Fn(String) -> String,
) -> Result<Command, ParseError> {
    let (texts, mut options) = assign(spec, given)?;
    options.override_reason = options.override_reason.map(restore);
    options.override_reason.as_deref().map_or(Ok(()), check_reason)?;
    let texts: Vec<Option<String>> = texts.into_iter().map(|text| text.map(restore)).collect();
    let mut arguments = Vec::with_capacity(texts.len());
    for (index, parameter) in spec.parameters.iter().enumerate() {
        match &texts[index] {
            Some(text) => arguments.push((index, value(parameter, text, vocabulary)?)),
            None if parameter.required => return Err(missing(spec, parameter)),
            None => {}
        }
    }
    let command = Command::new(spec.clone(), arguments, options);
    check_combination(&command, vocabulary)?;
    Ok(command)
}

/// Assigns the words and the free text to the parameters. Returns one text for each parameter, in order, and the host's
/// options. The text of a parameter without an argument is `None`.
fn assign(spec: &Spec, given: &Arguments) -> Result<(Vec<Option<String>>, Options), ParseError> {
    let Arguments { words, free_text } = given;
    if words.is_empty() && free_text.is_none() {
        return Ok((vec![None; spec.parameters.len()], Options::default()));
    }
    let matches = spec.flags.lock().try_get_matches_from_mut(rewritten(spec, words));
    let mut matches = matches.map_err(|error| flag_problem(&error, spec))?;
    let mut options = Options::default();
    if spec.kind == CommandKind::Action {
        options.wait = matches.get_flag(WAIT);
        options.dry_run = matches.get_flag(DRY_RUN);
        options.override_reason = match free_text {
            Some(FreeText::Override(reason)) => Some(reason.clone()),
            _ => matches.remove_one::<String>(OVERRIDE),
        };
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
            None if parameter.kind == ParameterType::Rest => match free_text {
                Some(FreeText::Rest(text)) => Some(text.clone()),
                _ => None,
            },
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
        ParameterType::Text
        | ParameterType::Version
        | ParameterType::Person
        | ParameterType::Rest
        | ParameterType::Job => match text.is_empty() {
            true => Err(ParseError::new(format!("{name} is empty."))),
            false => Ok(Value::Text(text.to_owned())),
        },
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
    // The error must not describe a deployment that the person may not see. The check of the rights refuses the command.
    if !vocabulary.sees(Some(app), Some(environment)) {
        return Ok(());
    }
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
