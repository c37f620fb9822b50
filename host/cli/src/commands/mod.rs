//! The subcommands, one file each.

mod audit;
mod check;
mod held;
mod jobs;
mod journal;
mod plugin;
mod run;

pub(crate) use audit::audit;
pub(crate) use check::check;
pub(crate) use jobs::{job, jobs};
pub(crate) use journal::{show, verify};
pub(crate) use plugin::{inspect, lock};
pub(crate) use run::run;
