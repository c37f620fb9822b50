//! Writes plugins for Wardroom: a trait, a macro, typed arguments.
//!
//! A plugin is a table of commands. Each has a handler that takes what was typed and gives a
//! [`Reply`] or a [`Failure`]:
//!
//! ```no_run
//! use wardroom_guest::{Arguments, Command, Failure, Parameter, Plugin, Reply, clock, moment};
//!
//! struct Greeter;
//!
//! impl Plugin for Greeter {
//!     const COMMANDS: &'static [Command] = &[Command::query("greet", "Greets somebody.", greet)
//!         .examples(&["greet Alice"])
//!         .parameters(&[Parameter::text("name", "Who to greet.")])];
//! }
//!
//! fn greet(arguments: &Arguments) -> Result<Reply, Failure> {
//!     let name = arguments.text("name")?;
//!     let now = moment(clock::now()?);
//!     Ok(Reply::new(format!("hello {name}, it is {now}")))
//! }
//!
//! wardroom_guest::export!(Greeter);
//! # fn main() {}
//! ```
//!
//! Host functions are in the modules named as the contract's interfaces: [`catalog`], [`chat`],
//! [`clock`], [`log`], [`pipelines`], [`settings`], [`store`]. Their errors become a [`Failure`] with
//! `?`; what the host's rules refused keeps the host's words.
//!
//! Architecture Invariant: this crate imports no WASI and calls no host function by itself, so a
//! plugin's import list holds what its author called and nothing else.

extern crate self as wardroom_guest;

mod answer;
mod arguments;
#[doc(hidden)]
pub mod bindings;
mod command;
mod plugin;
mod wait;
mod words;

pub use answer::code;
pub use arguments::Arguments;
pub use bindings::exports::wardroom::plugin::commands::{Failure, Invocation, Kind, Reply, Value};
pub use bindings::wardroom::plugin::types::{Denial, Entry, Error, Instant, Person, Problem};
pub use bindings::wardroom::plugin::{catalog, chat, clock, log, pipelines, settings, store};
pub use command::{Command, Handler, Parameter, Setting};
pub use plugin::Plugin;
#[doc(hidden)]
pub use plugin::{describe, run};
pub use wait::wait_for;
#[doc(hidden)]
pub use wit_bindgen;
pub use words::{duration, moment, took, typed};
