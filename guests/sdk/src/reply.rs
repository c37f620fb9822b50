//! The result of a command: a [`Reply`], or a [`Failure`] with one of five codes.
//!
//! Invariant: a denial keeps the host's message, which names the missing or refusing rule.

use crate::bindings::exports::wardroom::plugin::commands::{Failure, Reply};
use crate::bindings::wardroom::plugin::pipelines::WaitError;
use crate::bindings::wardroom::plugin::types::Error;

/// The codes of a [`Failure`].
pub mod code {
    /// The host's rules do not allow a host call of the command.
    pub const DENIED: &str = "denied";
    /// The command failed.
    pub const FAILED: &str = "failed";
    /// A person cancelled the job.
    pub const CANCELLED: &str = "cancelled";
    /// It is not known whether an effect happened.
    pub const UNKNOWN: &str = "unknown";
    /// The arguments are not valid.
    pub const INVALID: &str = "invalid";
}

impl Reply {
    /// Creates the reply of a command that succeeded.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), warnings: false }
    }

    /// Creates the reply of a command that succeeded with a warning. The status card shows the warning.
    pub fn with_warnings(text: impl Into<String>) -> Self {
        Self { text: text.into(), warnings: true }
    }
}

impl Failure {
    /// Creates a failure with one of the codes in [`code`].
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into() }
    }

    /// Creates a failure with the code `failed`.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(code::FAILED, message)
    }

    /// Creates a failure with the code `invalid`.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(code::INVALID, message)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Denied(denial) => Self::new(code::DENIED, denial.message),
            Error::Other(problem) => match problem.code.as_str() {
                code @ (code::INVALID | code::UNKNOWN | code::CANCELLED) => Self::new(code, problem.message),
                _ => Self::failed(problem.message),
            },
        }
    }
}

impl From<Error> for WaitError {
    fn from(error: Error) -> Self {
        match error {
            Error::Denied(denial) => Self::Denied(denial),
            Error::Other(problem) => Self::Other(problem),
        }
    }
}

impl From<WaitError> for Failure {
    fn from(error: WaitError) -> Self {
        match error {
            WaitError::Denied(denial) => Error::Denied(denial).into(),
            WaitError::Cancelled => Self::new(code::CANCELLED, "the job was cancelled"),
            WaitError::Other(problem) => Error::Other(problem).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Denial, Problem};

    #[test]
    fn a_denial_keeps_the_message_of_the_host() {
        let denial = Denial { reason: "grant".into(), message: "no rule allows it".into() };
        let failure = Failure::from(Error::Denied(denial));
        assert_eq!((failure.code.as_str(), failure.message.as_str()), ("denied", "no rule allows it"));
    }

    #[test]
    fn a_problem_keeps_its_code_if_failures_have_it() {
        let problem = |code: &str| Problem { code: code.into(), message: "away".into() };
        assert_eq!(Failure::from(Error::Other(problem("unavailable"))).code, "failed");
        assert_eq!(Failure::from(Error::Other(problem("unknown"))).code, "unknown");
        assert_eq!(Failure::from(WaitError::Cancelled).code, "cancelled");
    }
}
