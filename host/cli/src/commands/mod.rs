//! The subcommands. A subcommand prints its report and returns its exit status.

pub(crate) mod audit;
pub(crate) mod can;
pub(crate) mod check;
pub(crate) mod job;
pub(crate) mod jobs;
pub(crate) mod journal_show;
pub(crate) mod journal_verify;
pub(crate) mod plugin_inspect;
pub(crate) mod plugin_lock;
pub(crate) mod run;
