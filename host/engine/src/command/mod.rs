//! Commands: their descriptions, and the parser from a typed line to a command.
//!
//! Not here: who may run a command ([`crate::policy`]).

mod asker;
mod builtin;
mod composed;
mod help;
mod hint;
pub(crate) mod parse;
mod spec;
mod table;
#[cfg(test)]
mod tests;
mod tokens;
mod vocabulary;

pub use asker::Asker;
pub use builtin::Builtin;
pub use help::{help_all, help_one};
pub use parse::Misparse;
pub(crate) use parse::Options;
pub use parse::{Command, Value};
pub use spec::{CommandKind, Parameter, ParameterType, Spec, SpecError, Target};
pub use table::{CommandTable, Parsed};
pub(crate) use tokens::{quoted, words};
pub use vocabulary::Visibility;
pub use vocabulary::Vocabulary;
