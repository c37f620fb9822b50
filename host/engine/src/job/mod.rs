//! The data of a job: its journal, replay, approval requests, deployment locks, messages and status card.
//!
//! Not here: the code that runs a job step by step (`runner`).

mod active_job;
mod approval_request;
pub(crate) mod approval_text;
mod card;
mod claim;
mod close;
mod ending;
pub(crate) mod entry;
pub(crate) mod history;
mod invocation;
mod lock_table;
mod plan;
mod replay;
mod shown_in;
pub(crate) mod status;
mod thread_message;

pub(crate) use active_job::ActiveJob;
pub(crate) use approval_request::{ApprovalRequest, Counted, Decision, Event};
pub(crate) use approval_text::{Thumb, approval_line, lapsed_text, plan_lines, thumb};
pub(crate) use card::{JobCard, emoji, first_card};
pub(crate) use claim::{Claim, Claims};
pub(crate) use close::{cancel_before_start, close, reaction};
pub(crate) use ending::{Denied, GuestEndKind, GuestOutcome, Reason};
pub(crate) use entry::{about, entry};
pub(crate) use history::{
    HistoryError, INTERRUPTED, JobHistory, PipelineRun, ReplayPosition, StartEntry, UNKNOWN, may_have_happened, run_of,
    title,
};
pub(crate) use invocation::{GuestArgument, GuestInvocation};
pub(crate) use lock_table::LockTable;
pub(crate) use plan::{Effect, Plan, PlanEnd};
pub(crate) use replay::{NoReplay, Replay, ReplayStep};
pub(crate) use shown_in::ShownIn;
pub use status::Status;
pub(crate) use thread_message::thread_message;
