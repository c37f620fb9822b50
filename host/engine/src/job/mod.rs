//! Jobs: an action that somebody typed, durable through a crash.
//!
//! Reading order: `tape` (a journal read back), `jobs` (who takes care of which), `drive` (step by step), `wait`, `approval`,
//! `vote`, `doubt`, `finish` (the steps), `wake`, `cancel`.
//!
//! Architecture Invariant: recovery is replay. After a crash a job is gone on with by the same steps as after any wait,
//! and nothing of it is kept but its rows.

mod activity;
mod approval;
mod cancel;
mod card;
mod claim;
mod doubt;
mod drive;
mod entry;
mod finish;
mod follow;
mod jobs;
mod opening;
mod place;
mod replay;
mod run;
mod shown;
mod status;
mod steady;
mod tape;
mod vote;
mod wait;
mod wake;

pub use activity::{Activity, AtWork};
pub use card::JobCard;
pub(crate) use card::{first as first_card, last as last_card};
pub(crate) use claim::{Claim, Claims};
pub(crate) use doubt::{Said, WithOrder, about};
pub(crate) use entry::entry;
pub(crate) use finish::{Ended, Way, call_off};
pub(crate) use follow::said;
pub(crate) use jobs::Jobs;
pub(crate) use opening::{asked, draw_id, is_job_id, opening};
pub(crate) use place::Places;
pub(crate) use replay::{Found, NoReplay, Replay};
pub use run::{Job, JobRun};
pub(crate) use shown::{ShownIn, refuses};
pub use status::{Status, line};
pub(crate) use steady::Steady;
pub(crate) use tape::{Begun, CANCEL, Standing, Tape, TapeError, run_of, title};
pub(crate) use vote::{NoVote, Vote};
