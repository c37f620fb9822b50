//! runner

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
pub(crate) use doubt::{Said, about};
pub(crate) use finish::close;
pub(crate) use jobs::Jobs;
pub(crate) use vote::{NoVote, Vote};
