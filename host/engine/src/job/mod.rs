//! The data of a job: its journal, replay, approval requests, deployment locks, messages and status card.
//!
//! Not here: the code that runs a job step by step (`runner`).

mod active_job;
mod approval_request;
pub(crate) mod approval_text;
mod cancel;
mod card;
mod claim;
mod close;
mod ending;
pub(crate) mod entry;
pub(crate) mod history;
mod invocation;
mod lock_table;
mod pipeline_run;
mod plan;
mod replay;
mod shown_in;
pub(crate) mod status;
mod thread_message;

pub(crate) use active_job::ActiveJob;
pub(crate) use approval_request::{ApprovalRequest, Counted, Decision, Event};
pub(crate) use approval_text::Thumb;
pub(crate) use approval_text::{approval_line, plan_lines, thumb};
pub(crate) use cancel::cancel_before_start;
pub(crate) use card::JobCard;
pub(crate) use card::{first_card, last_card};
pub(crate) use claim::{Claim, Claims};
pub(crate) use close::close;
pub(crate) use ending::{Denied, Reason};
pub(crate) use ending::{GuestEndKind, GuestOutcome};
pub(crate) use entry::about;
pub(crate) use entry::entry;
pub(crate) use history::{CANCEL, HistoryError, JobHistory, ReplayPosition, StartEntry, run_of, title};
pub(crate) use invocation::{GuestArgument, GuestInvocation, GuestValue};
pub(crate) use lock_table::LockTable;
pub(crate) use pipeline_run::PipelineRun;
pub(crate) use plan::{Effect, Plan, PlanEnd};
pub(crate) use replay::{NoReplay, Replay, ReplayStep};
pub(crate) use shown_in::ShownIn;
pub use status::Status;
pub(crate) use thread_message::thread_message;
