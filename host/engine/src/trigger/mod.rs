//! Triggers, which start commands that nobody typed in full: aliases, fixed answers, listen patterns, schedules and
//! hooks. This folder holds the data of the triggers, and matches messages against them.
//!
//! Not here: the timing of schedules and the handling of hook deliveries ([`crate::engine`]).

mod alias;
mod command_template;
mod delivery;
mod hook;
mod hook_values;
mod schedule;
mod triggers;

pub(crate) use alias::{Alias, FixedAnswer, is_placeholder};
pub(crate) use command_template::CommandTemplate;
pub use delivery::Delivery;
pub(crate) use delivery::ValueSource;
pub(crate) use hook::{Capture, DeliveryKey};
pub use hook::{HUB_HEADERS, Hook, HookAuth};
pub(crate) use hook_values::HookRejection;
pub(crate) use schedule::{MissedPolicy, Schedule};
pub(crate) use triggers::{Listen, Triggers};
