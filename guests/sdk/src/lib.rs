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
//! Host functions are in the modules named as the contract's interfaces: [`access`], [`catalog`],
//! [`chat`], [`clock`], [`jobs`], [`log`], [`pipelines`], [`settings`], [`store`]. Their errors become a [`Failure`]
//! with `?`; what the host's rules refused keeps the host's words.
//!
//! # Waiting
//! An action waits with [`wait_for`] (a run), [`sleep`] and [`wait_until`] (a time) or [`first_of`] (the
//! first of several), and [`Later`] leaves work for a job of its own:
//!
//! ```no_run
//! use core::time::Duration;
//! use wardroom_guest::{Failure, Reply, WaitError, first_of, pipelines, sleep, timer};
//!
//! # fn example(request: pipelines::Request) -> Result<Reply, Failure> {
//! let run = pipelines::trigger(&request)?;
//! let patience = timer(Duration::from_secs(600))?;
//! let (which, ready) = first_of(&[(&run).into(), (&patience).into()])?;
//! # let _ = ready;
//! if which == 1 {
//!     return Err(Failure::failed("it takes too long"));
//! }
//! match sleep(Duration::from_secs(60)) {
//!     Ok(_) => Ok(Reply::new("it has been up for a minute")),
//!     Err(WaitError::Cancelled) => Ok(Reply::with_warnings("it is up, and nobody watches it")),
//!     Err(error) => Err(error.into()),
//! }
//! # }
//! ```
//!
//! A job that waits is not in memory: the host ends the plugin at the wait, and once something is there runs it
//! from its beginning, with the same arguments. Every call that was made before is then answered as it was the
//! first time and has no second effect, so what stands before a wait may simply stand there. For that the plugin
//! must make the same calls in the same order, and depend on nothing but its arguments and what the host answered.
//!
//! Architecture Invariant: this crate imports no WASI and calls no host function by itself, so a
//! plugin's import list holds what its author called and nothing else.

extern crate self as wardroom_guest;

mod answer;
mod arguments;
#[doc(hidden)]
pub mod bindings;
mod command;
mod import;
mod later;
mod plugin;
mod wait;
mod words;

pub use answer::code;
pub use arguments::Arguments;
pub use bindings::exports::wardroom::plugin::commands::{Failure, Invocation, Kind, Reply, Value};
pub use bindings::wardroom::plugin::pipelines::WaitError;
pub use bindings::wardroom::plugin::types::{Denial, Entry, Error, Instant, Person, Problem};
pub use bindings::wardroom::plugin::{access, catalog, chat, clock, jobs, log, pipelines, settings, store, types};
pub use command::{Command, Handler, Parameter, Setting};
pub use later::Later;
pub use plugin::Plugin;
#[doc(hidden)]
pub use plugin::{describe, run};
pub use wait::{first_of, sleep, timer, wait_for, wait_until};
/// The generator that [`import!`] calls, for options that it does not have.
pub use wit_bindgen;
pub use words::{duration, moment, took, typed};
