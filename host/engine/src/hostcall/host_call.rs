//! The trait of a host call: the implementation of one function that guests import.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use wasmtime::component::{ComponentNamedList, Lift, Lower};

use super::{context::Context, invocation::Invocation};
use crate::{
    job::Reason,
    model::Attributes,
    plugin::bindings::{pipelines::WaitError, types},
    store::{Entry, JobRow},
};

/// An error type of the contract: a denial by the rules, or a problem with a code.
pub trait GuestError: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Makes the error of a call that the rules refuse.
    fn denied(denial: types::Denial) -> Self;
    /// Makes the error of a call that was allowed and failed.
    fn other(problem: types::Problem) -> Self;
}

impl GuestError for types::Error {
    fn denied(denial: types::Denial) -> Self {
        Self::Denied(denial)
    }
    fn other(problem: types::Problem) -> Self {
        Self::Other(problem)
    }
}

impl types::Error {
    /// An error that is not a denial. `code` is one of the codes that the WIT function documents; `message` is one line
    /// for people.
    pub fn new(code: &str, message: &str) -> Self {
        problem(code, message)
    }
}

impl GuestError for WaitError {
    fn denied(denial: types::Denial) -> Self {
        Self::Denied(denial)
    }
    fn other(problem: types::Problem) -> Self {
        Self::Other(problem)
    }
}

/// A host call. Only the gate calls these functions; it checks and journals the call.
pub trait HostCall: Send + Sync + 'static {
    /// The arguments, as a tuple.
    type Params: ComponentNamedList + Lift + Serialize + Send + Sync + 'static;
    /// The type of the answer of a call that succeeds.
    type Answer: Lower + Serialize + DeserializeOwned + Send + Sync + 'static;
    /// The type of the error.
    type Error: GuestError;

    /// The attributes that rules are matched against. It cannot fail: an attribute that the host cannot find out is
    /// absent.
    fn attributes(&self, _invocation: &Invocation, _params: &Self::Params) -> impl Future<Output = Attributes> + Send {
        std::future::ready(Attributes::new())
    }

    /// Reasons to refuse the call in addition to the rules for its row. Needed by a call that starts something with
    /// rules of its own, such as `jobs.later`, which schedules a command. Empty if there are none.
    fn objections(&self, _invocation: &Invocation, _params: &Self::Params) -> Vec<Reason> {
        Vec::new()
    }

    /// Performs the call. The gate has allowed it, and the intent of an effect is on disk. Build names that must be the
    /// same on every replay from [`Invocation::key`]. The answer is journaled unchanged, so it must not contain a
    /// secret.
    fn perform(
        &self,
        invocation: &mut Invocation,
        params: &Self::Params,
    ) -> impl Future<Output = Result<Self::Answer, Self::Error>> + Send;

    /// The answer in a dry run, where nothing is performed: that of an effect that succeeded, with `name` as its id.
    /// `None` ends the plan at this call with "the rest depends on this".
    fn dry_run(
        &self,
        _invocation: &mut Invocation,
        _params: &Self::Params,
        _name: &str,
    ) -> Option<Result<Self::Answer, Self::Error>> {
        None
    }

    /// Restores the state that later calls of this run need. The gate calls it when it answers a call from the journal.
    /// It must not change anything outside of the invocation.
    fn replayed(
        &self,
        _invocation: &mut Invocation,
        _params: &Self::Params,
        _answer: &Result<Self::Answer, Self::Error>,
        _begun: &Entry,
    ) {
    }

    /// Queries the external system whether an effect in doubt happened. It can be called any number of times and must
    /// not change anything. [`Recovered::Not`] is final. The default answer leaves the decision to people in the room.
    fn recover(&self, _doubt: &InDoubt<'_>) -> impl Future<Output = Recovered<Self::Answer>> + Send {
        std::future::ready(Recovered::Unknowable("its system cannot be asked".to_owned()))
    }

    /// The answer of an effect in doubt that a person confirms as done. `None` if no answer can be made up.
    fn assumed(&self, _doubt: &InDoubt<'_>) -> Option<Self::Answer> {
        None
    }
}

/// The outcome of an effect in doubt.
#[derive(Debug)]
pub enum Recovered<A> {
    /// The effect happened, with this answer.
    Happened(A),
    /// The effect did not happen and will not happen without a new call.
    Not,
    /// The outcome cannot be determined, so people decide in the room. Holds the reason in one line.
    Unknowable(String),
    /// The external system is unavailable, so the query is retried. Holds the reason in one line.
    Away(String),
}

/// An effect in doubt: its intent is in the journal, and its result is not.
pub struct InDoubt<'a> {
    pub(crate) context: &'a Context,
    pub(crate) job: &'a JobRow,
    pub(crate) intent: &'a Entry,
}

impl InDoubt<'_> {
    /// The idempotency key of the effect, the same that [`Invocation::key`] returned.
    pub fn key(&self) -> String {
        crate::model::RunKey::new(&self.job.id, self.intent.number).as_str().to_owned()
    }

    /// The call's arguments as JSON: the serialized [`HostCall::Params`].
    pub fn arguments(&self) -> &Value {
        &self.intent.body["arguments"]
    }
}

/// The wait of a job, as it is stored before the guest is ended.
pub(crate) struct Parking {
    /// Further fields of the journal entry, in addition to the arguments.
    pub(crate) body: serde_json::Map<String, Value>,
    /// The status of the parked job.
    pub(crate) status: crate::store::JobStatus,
}

/// A problem with a stable code, as a guest's error.
pub(crate) fn problem<E: GuestError>(code: &str, message: impl Into<String>) -> E {
    E::other(types::Problem { code: code.to_owned(), message: message.into() })
}
