//! What obliges: effects that need other people first, the plan that these people see, and what they said.
//!
//! Reading order: `rule` (which effects need whom), `plan` (what a job is about to do), `ask` (what was asked and answered),
//! `words` (what the room sees of it).
//!
//! Architecture Invariant: pure. Rules come from `config`, answers from a job's journal; nothing here does I/O.
//! Architecture Invariant: an approval is of effects: a list of calls with their attributes and arguments, never of words.
//! Not here: when a call is held (`capability::approve`), who asks the room and writes down what it says (`job::approval`).

mod ask;
mod plan;
mod rule;
mod words;

pub(crate) use ask::{Ask, Counted, Decision, Event, latest};
pub(crate) use plan::{Effect, Plan, PlanEnd};
pub(crate) use rule::Need;
pub use rule::{Approval, BreakGlass};
pub(crate) use words::{key, key_parts, line, message, plan_lines};
