//! The host's own commands, and the report of who may run what.

mod access_report;
mod answers;
mod approvals;
mod freeze;
mod jobs;
mod people;
mod stats;
mod status;

pub use access_report::{MayRow, MayRun};
pub(crate) use approvals::ReactionQueue;
pub use people::{NotFound, find_person};
