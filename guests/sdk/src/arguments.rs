//! What was typed, by the names of the parameters.
//!
//! Invariant: the host checked every value against its parameter, so a missing or odd one here is a
//! mistake of the plugin; it becomes a [`Failure`], never a panic.

use core::time::Duration;

use crate::bindings::exports::wardroom::plugin::commands::{Argument, Failure, Invocation, Value};
use crate::bindings::wardroom::plugin::types::Person;

/// One command as somebody typed it.
#[derive(Debug)]
pub struct Arguments {
    invocation: Invocation,
}

impl Arguments {
    /// A text, app, environment, version, person or rest that is always there.
    ///
    /// # Errors
    /// `invalid` where it was not given or is no text.
    pub fn text(&self, name: &str) -> Result<&str, Failure> {
        self.optional(name).ok_or_else(|| missing(name))
    }

    /// The same where it may be left out.
    pub fn optional(&self, name: &str) -> Option<&str> {
        match self.value(name)? {
            Value::Text(text) => Some(text),
            Value::Integer(_) | Value::Boolean(_) => None,
        }
    }

    /// A whole number that is always there.
    ///
    /// # Errors
    /// `invalid` where it was not given or is no number.
    pub fn integer(&self, name: &str) -> Result<i64, Failure> {
        self.optional_integer(name).ok_or_else(|| missing(name))
    }

    /// The same where it may be left out.
    pub fn optional_integer(&self, name: &str) -> Option<i64> {
        match self.value(name)? {
            Value::Integer(number) => Some(*number),
            Value::Text(_) | Value::Boolean(_) => None,
        }
    }

    /// A span of time that is always there.
    ///
    /// # Errors
    /// `invalid` where it was not given or is no span.
    pub fn duration(&self, name: &str) -> Result<Duration, Failure> {
        self.optional_duration(name).ok_or_else(|| missing(name))
    }

    /// The same where it may be left out.
    pub fn optional_duration(&self, name: &str) -> Option<Duration> {
        let milliseconds = self.optional_integer(name)?;
        Some(Duration::from_millis(milliseconds.try_into().ok()?))
    }

    /// Whether a boolean was given and is true.
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.value(name), Some(Value::Boolean(true)))
    }

    /// Who typed it.
    pub fn caller(&self) -> &Person {
        &self.invocation.caller
    }

    /// The job's id; for a query a name of this one answer.
    pub fn job(&self) -> &str {
        &self.invocation.job
    }

    /// The command's own name.
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
    Failure::invalid(format!("`{name}` is missing"))
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
    fn each_value_is_found_by_its_name() {
        let arguments = arguments();
        assert_eq!(arguments.text("app").ok(), Some("cms"));
        assert_eq!(arguments.integer("within").ok(), Some(90_000));
        assert_eq!(arguments.duration("within").ok(), Some(Duration::from_secs(90)));
        assert!(arguments.flag("force"));
        assert_eq!(arguments.caller().id, "operator");
    }

    #[test]
    fn what_was_not_given_is_absent_or_invalid() {
        let arguments = arguments();
        assert_eq!(arguments.optional("version"), None);
        assert_eq!(arguments.optional_duration("grace"), None);
        assert_eq!(arguments.duration("app").unwrap_err().message, "`app` is missing", "a text is no span");
        assert!(!arguments.flag("quiet"));
        let failure = arguments.text("version").unwrap_err();
        assert_eq!((failure.code.as_str(), failure.message.as_str()), ("invalid", "`version` is missing"));
        assert!(arguments.integer("app").is_err(), "a text is not a number");
    }
}
