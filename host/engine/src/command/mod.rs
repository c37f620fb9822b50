//! Commands: what plugins and the host describe, and how a typed line becomes one of them.
//!
//! Entry point: [`CommandTable::parse`]. Pure: reads the table and the catalog, does nothing.

mod bound;
mod builtin;
mod help;
mod hint;
mod parse;
mod spec;
mod table;
#[cfg(test)]
mod tests;
mod tokens;
mod vocabulary;

pub use builtin::Builtin;
pub use help::{help_all, help_one};
pub use parse::{Command, Misparse, Value};
pub(crate) use parse::{Options, arguments};
pub use spec::{CommandKind, Parameter, ParameterType, Spec, SpecError, Target};
pub use table::{CommandTable, Parsed};
pub(crate) use tokens::{quoted, words};
pub use vocabulary::Vocabulary;
