//! What a job's guest is given, as entry 0 of its journal holds it.
//!
//! The serialized form is that of the contract's `commands.invocation`; journals depend on it.

use serde::{Deserialize, Serialize};

use crate::model::Person;

/// One command that somebody typed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct GuestInvocation {
    /// The job's id; for a query a name of this one answer.
    pub(crate) job: String,
    /// The command's own name.
    pub(crate) command: String,
    /// The arguments, in the order of the parameters.
    pub(crate) arguments: Vec<GuestArgument>,
    /// Who typed it.
    pub(crate) caller: Person,
}

/// One argument.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct GuestArgument {
    /// The parameter's name.
    pub(crate) name: String,
    /// Its value.
    pub(crate) value: GuestValue,
}

/// An argument's value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum GuestValue {
    /// Text.
    Text(String),
    /// A whole number; a duration in milliseconds.
    Integer(i64),
    /// Yes or no.
    Boolean(bool),
}
