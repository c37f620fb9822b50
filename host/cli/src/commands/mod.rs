//! The subcommands, one file each. A subcommand prints its report and returns its exit status.

mod audit;
mod audit_people;
mod can;
mod check;
mod job;
mod jobs;
mod journal_show;
mod journal_verify;
mod plugin_inspect;
mod plugin_lock;
mod run;

pub(crate) use audit::audit;
pub(crate) use audit_people::people;
pub(crate) use can::can;
pub(crate) use check::check;
pub(crate) use job::job;
pub(crate) use jobs::jobs;
pub(crate) use journal_show::show;
pub(crate) use journal_verify::verify;
pub(crate) use plugin_inspect::inspect;
pub(crate) use plugin_lock::lock;
pub(crate) use run::run;
