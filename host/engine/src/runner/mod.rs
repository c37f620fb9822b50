//! Runs jobs by replay of their journals until they wait or end. Handles waits, approval requests, votes, effects in
//! doubt, cancellations and the ends of jobs.

mod approval;
mod cancel;
mod closing;
mod doubt;
mod drive;
mod finish;
mod follow;
mod jobs;
mod throttle;
mod vote;
mod wait;
mod wake;

use std::time::Duration;

use crate::{base::Backoff, store::StoreError};

pub(crate) use closing::refusals;
pub(crate) use doubt::DoubtAnswer;
pub(crate) use jobs::Jobs;
pub(crate) use vote::{Vote, VoteError};

/// Returns the reply to a command that changed nothing because of the store error `error`.
fn nothing_changed(error: StoreError) -> String {
    format!("nothing was changed: {error}")
}

/// Returns the delays between two requests to an unavailable pipeline backend.
const fn backend_backoff() -> Backoff {
    Backoff::new(Duration::from_secs(1), Duration::from_secs(30))
}
