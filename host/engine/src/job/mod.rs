//! Jobs: an action that somebody typed, with its journal, its card in the room, and its runs.

mod activity;
mod card;
mod entry;
mod follow;
mod recover;
mod run;

pub use activity::{Activity, AtWork};
pub use card::JobCard;
pub(crate) use card::first as first_card;
pub(crate) use entry::entry;
pub(crate) use follow::{follow, persist, said};
pub(crate) use recover::{abandon, recover};
pub use run::{Job, JobRun};
