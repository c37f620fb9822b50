//! The input of a plugin's running instance (the guest), in the form that the first entry of a job's journal stores.
//!
//! The serialized form equals the record `commands.invocation` of the contract. Stored journals depend on this form.

use serde::{Deserialize, Serialize};

use crate::{command::Value, model::Person};

/// A command with its arguments and its caller.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct GuestInvocation {
    /// The job's id. For a dry run it is a random id, and for a query the text `query`.
    pub(crate) job: String,
    /// The name of the command, not an alias.
    pub(crate) command: String,
    /// The arguments, in the order of the command's parameters.
    pub(crate) arguments: Vec<GuestArgument>,
    pub(crate) caller: Person,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct GuestArgument {
    /// The name of the parameter.
    pub(crate) name: String,
    pub(crate) value: Value,
}
