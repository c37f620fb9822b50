//! The subcommands, one file each.

mod audit;
mod check;
mod plugin;
mod run;

pub(crate) use audit::audit;
pub(crate) use check::check;
pub(crate) use plugin::{inspect, lock};
pub(crate) use run::run;
