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

use std::time::Duration;

use crate::base::Backoff;

pub(crate) use closing::refusals;
pub(crate) use doubt::DoubtAnswer;
pub(crate) use jobs::Jobs;
pub(crate) use vote::{Vote, VoteError};

/// The pauses between two requests to a backend that is unavailable.
const fn away_backoff() -> Backoff {
    Backoff::new(Duration::from_secs(1), Duration::from_secs(30))
}
