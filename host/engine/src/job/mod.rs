//! job

mod approval_request;
pub(crate) mod approval_text;
mod cancel;
mod card;
mod claim;
mod ending;
pub(crate) mod entry;
pub(crate) mod history;
mod job_run;
mod lock_table;
mod plan;
mod replay;
mod said;
pub(crate) mod status;

pub(crate) use approval_request::{Ask, Counted, Decision, Event};
pub(crate) use approval_text::Thumb;
pub(crate) use approval_text::{approval_line, plan_lines, thumb};
pub(crate) use cancel::call_off;
pub use card::JobCard;
pub(crate) use card::{emoji, first, last};
pub(crate) use claim::{Claim, Claims};
pub use ending::{Denied, Reason};
pub(crate) use ending::{Ended, Way};
pub(crate) use entry::entry;
pub(crate) use history::{Begun, CANCEL, Standing, Tape, TapeError, run_of, title};
pub use job_run::{Job, JobRun};
pub(crate) use lock_table::Places;
pub(crate) use plan::{Effect, Plan, PlanEnd};
pub(crate) use replay::{Found, NoReplay, Replay};
pub(crate) use said::said;
pub use status::{Status, status_line};
