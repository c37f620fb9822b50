//! The arguments of a command by parameter name, with typed access.
//!
//! Invariant: the host has validated each argument, so a missing argument or a wrong type is an error of the plugin.
//! The functions then return a [`Failure`] and never panic.

use core::time::Duration;

use crate::bindings::exports::wardroom::plugin::commands::{Argument, Failure, Invocation, Value};
use crate::bindings::wardroom::plugin::types::Person;

/// The arguments of one typed command, and the person who typed it.
#[derive(Debug)]
pub struct Arguments {
    invocation: Invocation,
}

impl Arguments {
    /// Returns a required argument of the type text, app, environment, version, person, role or rest.
    ///
    /// # Errors
    /// `invalid` if the argument was not given or has another type.
    pub fn text(&self, name: &str) -> Result<&str, Failure> {
        self.optional(name).ok_or_else(|| missing(name))
    }

    /// Returns an optional argument of one of the types of [`Arguments::text`]; `None` if the argument was not given.
    pub fn optional(&self, name: &str) -> Option<&str> {
        match self.value(name)? {
            Value::Text(text) => Some(text),
            Value::Integer(_) | Value::Boolean(_) => None,
        }
    }

    /// Returns a required argument of the type integer.
    ///
    /// # Errors
    /// `invalid` if the argument was not given or has another type.
    pub fn integer(&self, name: &str) -> Result<i64, Failure> {
        self.optional_integer(name).ok_or_else(|| missing(name))
    }

    /// Returns an optional argument of the type integer; `None` if the argument was not given.
    pub fn optional_integer(&self, name: &str) -> Option<i64> {
        match self.value(name)? {
            Value::Integer(number) => Some(*number),
            Value::Text(_) | Value::Boolean(_) => None,
        }
    }

    /// Returns a required argument of the type duration.
    ///
    /// # Errors
    /// `invalid` if the argument was not given or has another type.
    pub fn duration(&self, name: &str) -> Result<Duration, Failure> {
        self.optional_duration(name).ok_or_else(|| missing(name))
    }

    /// Returns an optional argument of the type duration; `None` if the argument was not given.
    pub fn optional_duration(&self, name: &str) -> Option<Duration> {
        let milliseconds = self.optional_integer(name)?;
        Some(Duration::from_millis(milliseconds.try_into().ok()?))
    }

    /// Returns true if an argument of the type boolean was given and is true.
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.value(name), Some(Value::Boolean(true)))
    }

    /// Returns the person who typed the command.
    pub fn caller(&self) -> &Person {
        &self.invocation.caller
    }

    /// Returns the job's id, for example `7f3ak`. In a query, returns an id for this run of the command.
    pub fn job(&self) -> &str {
        &self.invocation.job
    }

    /// Returns the command's name, even if an alias was typed.
    pub fn command(&self) -> &str {
        &self.invocation.command
    }

    fn value(&self, name: &str) -> Option<&Value> {
        let mut arguments = self.invocation.arguments.iter();
        arguments.find(|argument: &&Argument| argument.name == name).map(|argument| &argument.value)
    }
}

impl From<Invocation> for Arguments {
    fn from(invocation: Invocation) -> Self {
        Self { invocation }
    }
}

fn missing(name: &str) -> Failure {
    Failure::invalid(format!("the argument `{name}` is missing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments() -> Arguments {
        let argument = |name: &str, value| Argument { name: name.into(), value };
        Arguments::from(Invocation {
            job: "j1".into(),
            command: "end".into(),
            arguments: vec![
                argument("app", Value::Text("cms".into())),
                argument("within", Value::Integer(90_000)),
                argument("force", Value::Boolean(true)),
            ],
            caller: Person { id: "operator".into(), name: "Operator".into() },
        })
    }

    #[test]
    fn values_are_found_by_parameter_name() {
        let arguments = arguments();
        assert_eq!(arguments.text("app").ok(), Some("cms"));
        assert_eq!(arguments.integer("within").ok(), Some(90_000));
        assert_eq!(arguments.duration("within").ok(), Some(Duration::from_secs(90)));
        assert!(arguments.flag("force"));
        assert_eq!(arguments.caller().id, "operator");
    }

    #[test]
    fn a_missing_argument_is_none_or_invalid() {
        let arguments = arguments();
        assert_eq!(arguments.optional("version"), None);
        assert_eq!(arguments.optional_duration("grace"), None);
        assert_eq!(
            arguments.duration("app").unwrap_err().message,
            "the argument `app` is missing",
            "a text is not a duration"
        );
        assert!(!arguments.flag("quiet"));
        let failure = arguments.text("version").unwrap_err();
        assert_eq!((failure.code.as_str(), failure.message.as_str()), ("invalid", "the argument `version` is missing"));
        assert!(arguments.integer("app").is_err(), "a text is not a number");
    }
}
