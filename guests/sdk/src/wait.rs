//! Waiting for one thing. The contract's `wait` takes a list; most plugins have one run.

use crate::bindings::wardroom::plugin::pipelines::{self, Ready, Run, WaitError, Waitable};

/// Waits for the end of a run.
///
/// # Errors
/// What `pipelines.wait` answers.
pub fn wait_for(run: &Run) -> Result<Ready, WaitError> {
    pipelines::wait(&[Waitable { kind: "run".to_owned(), id: run.id.clone() }])
}
