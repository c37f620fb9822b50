//! What obliges and forbids, beside the rules that permit: effects that need other people first, freezes, and the order of
//! environments.
//!
//! Reading order: `rule` (which effects need whom), `plan` (what a job is about to do), `ask` (what was asked and answered),
//! `words` (what the room sees of it); `window` and `freeze` (what is frozen when), `order` (where a version comes from).
//!
//! Pure, but for the list of what is frozen now, which is changed with the transaction that holds it.
//!
//! Architecture Invariant: a rule here matches when *any* value matches, also where a value is absent or unknown.
//! Architecture Invariant: an approval is of effects: a list of calls with their attributes and arguments, never of words.
//! Not here: where these rules are asked (`capability::oblige`, `capability::approve`), who asks the room and writes down what it
//! says (`job::approval`), and what people type (`engine`).

mod ask;
mod freeze;
mod order;
mod plan;
mod rule;
mod window;
mod words;

pub(crate) use ask::{Ask, Counted, Decision, Event, latest};
pub(crate) use freeze::Still;
pub use freeze::{Freezes, Frozen, FrozenBy};
pub(crate) use order::OutOfOrder;
pub(crate) use plan::{Effect, Plan, PlanEnd};
pub(crate) use rule::Need;
pub use rule::{Approval, BreakGlass};
pub use window::{Ends, Window};
pub(crate) use words::{fits, handle, handle_parts, key, key_parts, line, message, plan_lines};
