//! The subcommands, one file each.

mod audit;
mod can;
mod check;
mod held;
mod jobs;
mod journal;
mod people;
mod plugin;
mod run;
mod starters;

pub(crate) use audit::audit;
pub(crate) use can::can;
pub(crate) use check::check;
pub(crate) use jobs::{job, jobs};
pub(crate) use journal::{show, verify};
pub(crate) use people::people;
pub(crate) use plugin::{inspect, lock};
pub(crate) use run::run;
