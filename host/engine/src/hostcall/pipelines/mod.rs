//! `pipelines`: starts the pipelines of the configuration and waits for them.
//!
//! A guest names a pipeline; what it touches is the host's knowledge. It waits only for runs of its own
//! job, and never sees a credential. When a deployment's run ends, the host writes the release.

mod host;
mod wait;

pub(crate) use crate::hostcall::pipelines::host::Trigger;
pub(crate) use crate::hostcall::pipelines::wait::Wait;
pub(crate) use wait::{RUN, Timers, ending, reached, ready, until};
