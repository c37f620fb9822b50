//! Schedules jobs. [`crate::jobs`] lists and cancels scheduled jobs.

use core::time::Duration;

use crate::bindings::wardroom::plugin::jobs::{self, LaterRequest, Left};
use crate::bindings::wardroom::plugin::types::{Entry, Error};
use crate::wait::milliseconds;

/// A request to run one of this plugin's actions later, as a separate job.
///
/// ```no_run
/// # use core::time::Duration;
/// # use wardroom_guest::{Error, Later, jobs::Left};
/// # fn example() -> Result<Left, Error> {
/// Later::new("end").argument("app", "cms").argument("environment", "staging").after(Duration::from_secs(7200))
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Later {
    command: String,
    arguments: Vec<Entry>,
}

impl Later {
    /// Creates a request for an action of this plugin, given by the action's name.
    pub fn new(command: impl Into<String>) -> Self {
        Self { command: command.into(), arguments: Vec::new() }
    }

    /// Adds an argument by parameter name. The value is written as a person would type it, for example `2h`.
    #[must_use]
    pub fn argument(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.arguments.push(Entry { name: name.into(), value: value.into() });
        self
    }

    /// Schedules the job, which starts after the delay `span`. The delay has millisecond precision.
    ///
    /// # Errors
    /// The errors of `jobs.later`.
    pub fn after(self, span: Duration) -> Result<Left, Error> {
        jobs::later(&self.request(span))
    }

    fn request(self, span: Duration) -> LaterRequest {
        LaterRequest { command: self.command, arguments: self.arguments, milliseconds: milliseconds(span) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_keeps_the_order_of_the_arguments() {
        let later = Later::new("end").argument("app", "cms").argument("environment", "staging");
        let request = later.request(Duration::from_secs(2));
        assert_eq!((request.command.as_str(), request.milliseconds), ("end", 2000));
        let arguments = request.arguments.iter().map(|entry| (entry.name.as_str(), entry.value.as_str()));
        assert_eq!(arguments.collect::<Vec<_>>(), [("app", "cms"), ("environment", "staging")]);
    }
}
