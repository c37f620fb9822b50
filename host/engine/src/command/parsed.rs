//! A parsed command: its arguments, the host's options, and the line that a person can type for it.

use std::{sync::Arc, time::Duration};

use super::{
    builtin::Builtin,
    spec::{CommandKind, DRY_RUN, OVERRIDE, Parameter, ParameterType, Spec, Target, WAIT},
    tokens::{Words, quoted},
};
use crate::{
    base::{one_line, written_duration},
    model::{Attribute, is_job_id, parse_job_argument},
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
    /// Creates a command from valid arguments, each with the index of its parameter.
    pub(crate) fn new(spec: Arc<Spec>, arguments: Vec<(usize, Value)>, options: Options) -> Self {
        let line = line(&spec, &arguments, &options);
        Self { spec, arguments, line, options }
    }

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

    pub(crate) fn spec(&self) -> &Arc<Spec> {
        &self.spec
    }

    /// Returns each argument that was given, with its parameter.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = (&Parameter, &Value)> {
        self.arguments.iter().map(|(index, value)| (&self.spec.parameters[*index], value))
    }

    /// Returns the normalized command line. A person can type this line to run the same command. Line feeds in free text
    /// are blanks in this line.
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

    /// Returns the argument that is the rest of the message.
    pub(crate) fn rest(&self) -> Option<&str> {
        self.arguments().find_map(|(parameter, given)| match given {
            Value::Text(text) if parameter.kind == ParameterType::Rest => Some(text.as_str()),
            _ => None,
        })
    }

    /// Returns the targets that the person typed for an attribute: for the attribute `environment`, the environment
    /// that the command changes. An action has at most one. Leaves out the parameters from which a command only reads
    /// ([`Parameter::source`]). Returns nothing for an attribute that is not the type of a parameter, such as `key`.
    pub(crate) fn typed(&self, attribute: Attribute) -> impl Iterator<Item = &str> {
        self.of_type(attribute).filter(|(parameter, _)| !parameter.source).map(|(_, text)| text)
    }

    /// Returns all values that the person typed for an attribute, both as targets and as sources.
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

/// Builds the normalized command line that [`Command::line`] returns.
fn line(spec: &Spec, arguments: &[(usize, Value)], options: &Options) -> String {
    let mut words = vec![spec.name.clone()];
    // Flags come first, because free text takes everything up to the end of the line.
    words.extend(options.wait.then(|| format!("--{WAIT}")));
    words.extend(options.dry_run.then(|| format!("--{DRY_RUN}")));
    words.extend(options.override_reason.iter().map(|reason| format!("--{OVERRIDE}={}", quoted(&one_line(reason)))));
    let plain = |value: &Value, kind| match value {
        Value::Integer(number) if kind == ParameterType::Duration => {
            written_duration(Duration::from_millis(u64::try_from(*number).unwrap_or_default()))
        }
        value => one_line(&value.to_string()),
    };
    // The words by position come last if one of them could end the flags.
    let (mut by_name, mut by_position) = (Vec::new(), Vec::new());
    let takes_rest = spec.parameters.iter().any(is_rest);
    let (mut has_gap, mut ends_flags) = (false, false);
    for (index, parameter) in spec.parameters.iter().enumerate() {
        let value = arguments.iter().find(|(place, _)| *place == index).map(|(_, value)| plain(value, parameter.kind));
        let Some(value) = value else {
            // Without its value, the next value would stand in its place. Free text never stands in place of an id.
            let can_be_left_out = parameter.kind == ParameterType::Job && takes_rest;
            has_gap |= !parameter.named && !can_be_left_out;
            continue;
        };
        let id = |text: &str| is_job_id(parse_job_argument(text.split(' ').next().unwrap_or_default()).0);
        let is_misread = match parameter.kind {
            ParameterType::Job => takes_rest && !id(&value),
            ParameterType::Rest => id(&value) && index > 0 && arguments.iter().all(|(place, _)| *place + 1 != index),
            _ => false,
        };
        let (is_named, text) = (parameter.named || has_gap || is_misread, quoted(&value));
        match is_named {
            true => by_name.push((by_position.len(), format!("--{}={text}", parameter.name))),
            false if is_rest(parameter) => by_position.push(value),
            false => by_position.push(text.into_owned()),
        }
        ends_flags |=
            !is_named && (is_rest(parameter) || by_position.last().is_some_and(|text| is_like_flag(spec, text)));
    }
    if ends_flags {
        words.extend(by_name.into_iter().map(|(_, text)| text));
        // After `--`, no value is read as a flag.
        if let Some(first) = by_position.iter().position(|text| is_like_flag(spec, text)) {
            by_position.insert(first, "--".to_owned());
        }
        words.extend(by_position);
    } else {
        for (place, text) in by_name.into_iter().rev() {
            by_position.insert(place, text);
        }
        words.extend(by_position);
    }
    words.join(" ")
}

fn is_rest(parameter: &Parameter) -> bool {
    parameter.kind == ParameterType::Rest
}

/// Returns whether the parser would read the first word of a printed value as a flag.
fn is_like_flag(spec: &Spec, printed: &str) -> bool {
    let words = Words::of(printed);
    let Some(first) = words.iter().next().map(|word| word.text.as_str()) else { return false };
    let key = first.split_once('=').map(|(key, _)| key);
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    let is_number = |number: &str| {
        number.split_once('.').map_or_else(|| are_digits(number), |(whole, part)| are_digits(whole) && are_digits(part))
    };
    first.strip_prefix('-').is_some_and(|number| !is_number(number))
        || spec.parameters.iter().any(|parameter| Some(parameter.name.as_str()) == key)
}
