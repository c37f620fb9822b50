//! The trait [`HostCall`], which implements one function that guests import.

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
    /// Creates the error of a call that the rules refuse.
    fn denied(denial: types::Denial) -> Self;
    /// Creates the error of a call that the rules allow and that failed.
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
    /// Creates an error that is not a denial. `code` is one of the codes that the WIT function documents, for example
    /// `not-found`; `message` is one line for people.
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

/// A host call. The engine checks each call against the rules before [`HostCall::perform`], and writes the call to the
/// journal.
pub trait HostCall: Send + Sync + 'static {
    /// The arguments of the WIT function, as a tuple.
    type Params: ComponentNamedList + Lift + Serialize + Send + Sync + 'static;
    /// The answer of a call that succeeds.
    type Answer: Lower + Serialize + DeserializeOwned + Send + Sync + 'static;
    /// The error of a call that is denied or fails.
    type Error: GuestError;

    /// Returns the attributes that rules match: app, environment, version. Omits an attribute that the host cannot
    /// determine.
    fn attributes(&self, _invocation: &Invocation, _params: &Self::Params) -> impl Future<Output = Attributes> + Send {
        std::future::ready(Attributes::new())
    }

    /// Returns the reasons to refuse the call for rules that are specific to this call. For example, `jobs.later`
    /// checks whether the caller may run the scheduled command. Empty if the call is not refused.
    fn objections(&self, _invocation: &Invocation, _params: &Self::Params) -> Vec<Reason> {
        Vec::new()
    }

    /// Performs the call, after the rules allowed it and the intent of an effect was stored. Derive names that must be
    /// the same on every replay from [`Invocation::key`]. The journal stores the answer unchanged, so the answer must
    /// not contain a secret.
    fn perform(
        &self,
        invocation: &mut Invocation,
        params: &Self::Params,
    ) -> impl Future<Output = Result<Self::Answer, Self::Error>> + Send;

    /// Returns the answer of the call in a dry run, which performs no effect: the answer of a successful effect, with
    /// `name` as its id. `None` if the answer cannot be predicted; the plan then ends at this call.
    fn dry_run(
        &self,
        _invocation: &mut Invocation,
        _params: &Self::Params,
        _name: &str,
    ) -> Option<Result<Self::Answer, Self::Error>> {
        None
    }

    /// Restores the state that later calls of this run need. The engine calls this function when it answers a call from
    /// the journal. The function must not change anything outside of the invocation.
    fn replayed(
        &self,
        _invocation: &mut Invocation,
        _params: &Self::Params,
        _answer: &Result<Self::Answer, Self::Error>,
        _recorded: &Entry,
    ) {
    }

    /// Queries the external system whether an effect in doubt happened. The engine can call this function repeatedly,
    /// so it must not change anything. [`Recovered::NotHappened`] is final. With the default implementation, people in
    /// the room decide.
    fn recover(&self, _doubt: &InDoubt<'_>) -> impl Future<Output = Recovered<Self::Answer>> + Send {
        std::future::ready(Recovered::Unknowable("the host cannot check the result of this call".to_owned()))
    }

    /// Returns the answer of an effect in doubt after a person confirmed that the effect happened. `None` if the answer
    /// cannot be derived from the arguments.
    fn assumed(&self, _doubt: &InDoubt<'_>) -> Option<Self::Answer> {
        None
    }
}

/// Whether an effect in doubt happened.
#[derive(Debug)]
pub enum Recovered<A> {
    /// The effect happened, with this answer.
    Happened(A),
    /// The effect did not happen and will not happen without a new call.
    NotHappened,
    /// The external system cannot determine whether the effect happened, so people in the room decide. The value is the
    /// reason, in one line.
    Unknowable(String),
    /// The external system is unavailable, so the query is retried. The value is the reason, in one line.
    Unavailable(String),
}

/// An effect in doubt: its intent is in the journal, and its result is not.
pub struct InDoubt<'a> {
    pub(crate) context: &'a Context,
    pub(crate) job: &'a JobRow,
    pub(crate) intent: &'a Entry,
}

impl InDoubt<'_> {
    /// Returns the idempotency key of the effect: the value that [`Invocation::key`] returned for it.
    pub fn key(&self) -> String {
        crate::model::RunKey::new(&self.job.id, self.intent.number).as_str().to_owned()
    }

    /// Returns the call's arguments as JSON: the serialized [`HostCall::Params`].
    pub fn arguments(&self) -> &Value {
        &self.intent.body["arguments"]
    }
}

/// The data that is stored for a waiting job before its guest ends.
pub(crate) struct Parking {
    /// The fields of the journal entry in addition to the arguments.
    pub(crate) body: serde_json::Map<String, Value>,
    pub(crate) status: crate::store::JobStatus,
}

/// Creates an error that is not a denial, with a stable code.
pub(crate) fn problem<E: GuestError>(code: &str, message: impl Into<String>) -> E {
    E::other(types::Problem { code: code.to_owned(), message: message.into() })
}
