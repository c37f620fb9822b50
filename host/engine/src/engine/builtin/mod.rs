//! The host's own commands.

mod answers;
mod approvals;
mod freeze;
mod hook;
mod identity;
mod jobs;
mod people;
mod stats;
mod status;

pub(crate) use approvals::ReactionQueue;
pub(crate) use identity::OpenLogins;
pub(crate) use people::find_person;
