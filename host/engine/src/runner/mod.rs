//! Runs jobs from their journals until they wait or end: drive, wait, approval, votes, calls in doubt, cancel, finish.

mod approval;
mod cancel;
mod closing;
mod doubt;
mod drive;
mod finish;
mod follow;
mod jobs;
mod vote;
mod wait;
mod wake;

pub(crate) use closing::refusals;
pub(crate) use doubt::DoubtAnswer;
pub(crate) use jobs::Jobs;
pub(crate) use vote::{Vote, VoteError};
