//! The host's own commands.

mod answers;
mod approvals;
mod freeze;
mod hook;
mod jobs;
mod people;
mod stats;
mod status;

pub(crate) use approvals::ReactionQueue;
pub(crate) use people::find_person;
