//! The input of a job's guest, as entry 0 of its journal stores it.
//!
//! The serialized form is that of the contract's `commands.invocation`. Journals on disk depend on it.

use serde::{Deserialize, Serialize};

use crate::model::Person;

/// A command with its arguments and its caller.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct GuestInvocation {
    /// The job's id; for a query, an id of this answer.
    pub(crate) job: String,
    /// The full name of the command.
    pub(crate) command: String,
    /// The arguments, in the order of the command's parameters.
    pub(crate) arguments: Vec<GuestArgument>,
    /// The person who typed the command.
    pub(crate) caller: Person,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct GuestArgument {
    /// The parameter's name.
    pub(crate) name: String,
    pub(crate) value: GuestValue,
}

/// A typed argument value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum GuestValue {
    /// Text.
    Text(String),
    /// An integer; durations are in milliseconds.
    Integer(i64),
    /// A flag.
    Boolean(bool),
}
