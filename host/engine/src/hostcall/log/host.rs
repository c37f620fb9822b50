//! The host call `log.write`.

use crate::{
    base::clean,
    hostcall::{host_call::HostCall, invocation::Invocation},
    plugin::bindings::{
        log::{Level, Line},
        types,
    },
};

/// The maximum length of a plugin's log line, in bytes. A longer line is truncated.
const MAX_LINE_LENGTH: usize = 2_000;

/// The host call `log.write`, which writes a line to the host's log.
pub(crate) struct Write;

impl HostCall for Write {
    type Params = (Line,);
    type Answer = ();
    type Error = types::Error;

    async fn perform(&self, invocation: &mut Invocation, (line,): &(Line,)) -> Result<(), types::Error> {
        let mut text = clean(&line.text);
        text.truncate(text.floor_char_boundary(MAX_LINE_LENGTH));
        let (plugin, job) = (invocation.plugin(), invocation.job_id());
        match line.level {
            Level::Debug => tracing::debug!(plugin, job, "{text}"),
            Level::Info => tracing::info!(plugin, job, "{text}"),
            Level::Warning => tracing::warn!(plugin, job, "{text}"),
        }
        Ok(())
    }
}
