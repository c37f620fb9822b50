//! Descriptions of commands, and the parser that turns a typed line into a command.
//!
//! Not here: the check whether a person may run a command ([`crate::policy`]).

mod asker;
mod builtin;
mod composed;
mod free_text;
mod help;
mod hint;
mod parse;
mod parsed;
#[cfg(test)]
mod round_trip_tests;
mod spec;
mod table;
#[cfg(test)]
mod tests;
mod tokens;
mod vocabulary;

pub(crate) use asker::Asker;
pub(crate) use builtin::Builtin;
pub(crate) use help::{help_all, help_one};
pub(crate) use parse::arguments_of_words;
pub(crate) use parsed::{Command, Options, Value};
pub(crate) use spec::{CommandKind, HOST_FLAGS, Parameter, ParameterType, Spec, SpecError, Target};
pub(crate) use table::{CommandTable, Parsed};
pub(crate) use tokens::{Words, quoted, words};
pub(crate) use vocabulary::{Visibility, Vocabulary};
