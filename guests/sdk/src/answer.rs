//! What a command answers: a [`Reply`], or a [`Failure`] with one of five codes.
//!
//! Invariant: a refusal by the host keeps the host's message, which names the rule that is missing.
//! Not here: what an answer looks like in the room; the host decides that.

use crate::bindings::exports::wardroom::plugin::commands::{Failure, Reply};
use crate::bindings::wardroom::plugin::pipelines::WaitError;
use crate::bindings::wardroom::plugin::types::Error;

/// The codes of a [`Failure`].
pub mod code {
    /// The host's rules do not allow it.
    pub const DENIED: &str = "denied";
    /// It was tried and did not work.
    pub const FAILED: &str = "failed";
    /// Somebody called it off.
    pub const CANCELLED: &str = "cancelled";
    /// Nobody can say how far it came.
    pub const UNKNOWN: &str = "unknown";
    /// What was typed makes no sense here.
    pub const INVALID: &str = "invalid";
}

impl Reply {
    /// The command did its work.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), warnings: false }
    }

    /// It did its work, and something went less well than it should.
    pub fn with_warnings(text: impl Into<String>) -> Self {
        Self { text: text.into(), warnings: true }
    }
}

impl Failure {
    /// A failure with one of the words of [`code`].
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into() }
    }

    /// It was tried and did not work.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(code::FAILED, message)
    }

    /// What was typed makes no sense here.
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
            WaitError::Cancelled => Self::new(code::CANCELLED, "it was called off"),
            WaitError::Other(problem) => Error::Other(problem).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Denial, Problem};

    #[test]
    fn a_denial_keeps_the_host_s_words() {
        let denial = Denial { reason: "grant".into(), message: "no rule allows it".into() };
        let failure = Failure::from(Error::Denied(denial));
        assert_eq!((failure.code.as_str(), failure.message.as_str()), ("denied", "no rule allows it"));
    }

    #[test]
    fn a_problem_with_a_code_of_its_own_has_failed() {
        let problem = |code: &str| Problem { code: code.into(), message: "away".into() };
        assert_eq!(Failure::from(Error::Other(problem("unavailable"))).code, "failed");
        assert_eq!(Failure::from(Error::Other(problem("unknown"))).code, "unknown");
        assert_eq!(Failure::from(WaitError::Cancelled).code, "cancelled");
    }
}
