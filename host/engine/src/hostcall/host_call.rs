//! The trait [`HostCall`], which a type implements for each function that plugins can import.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use wasmtime::component::{ComponentNamedList, Lift, Lower};

use super::{
    context::Context,
    invocation::{Invocation, Timers},
};
use crate::{
    job::Reason,
    model::Attributes,
    plugin::bindings::{pipelines::WaitError, types},
    store::{Entry, JobRow, StoreError},
};

/// An error type that plugins receive. An error is either a denial by the rules or a problem with an error code.
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
    /// Creates an error that is not a denial. `code` is one of the error codes that the WIT function documents, such as
    /// `not-found`; `message` is one line that people read.
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

/// The implementation of a host call. The engine checks each call against the rules before [`HostCall::perform`], and
/// writes the call with its answer to the journal.
pub trait HostCall: Send + Sync + 'static {
    /// The arguments of the WIT function, as a tuple: `(Request,)`, or `()` without arguments.
    type Params: ComponentNamedList + Lift + Serialize + Send + Sync + 'static;
    /// The answer of a call that succeeds. The plugin receives it.
    type Answer: Lower + Serialize + DeserializeOwned + Send + Sync + 'static;
    /// The error of a call that is denied or fails. The plugin receives it.
    type Error: GuestError;

    /// Returns the attributes of a call, such as app, environment and version. The host compares them with its rules.
    /// Omit an attribute that cannot be determined. By default, a call has no attributes.
    fn attributes(&self, _invocation: &Invocation, _params: &Self::Params) -> impl Future<Output = Attributes> + Send {
        std::future::ready(Attributes::new())
    }

    /// Returns the parameters that a call passes on, as names and values. Each must be an argument of the same name in
    /// the command that the person typed, unless the plugin's grant lists `parameter` in `beyond`. The values are also
    /// the call's attribute `parameter`. By default, a call has no parameters.
    fn parameters(&self, _invocation: &Invocation, _params: &Self::Params) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Performs a check that only this host call needs, and returns the reasons to refuse the call. For example,
    /// `jobs.later` checks whether the caller may run the scheduled command. By default, returns no reason.
    fn objections(&self, _invocation: &Invocation, _params: &Self::Params) -> Vec<Reason> {
        Vec::new()
    }

    /// Checks the arguments of a call that the rules allow. If the result is an error, the plugin receives the error,
    /// and the call ends before people are asked for an approval, before its intent is stored, and before it acquires a
    /// deployment lock. The function must change nothing. By default, accepts all arguments.
    fn validate(
        &self,
        _invocation: &Invocation,
        _params: &Self::Params,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        std::future::ready(Ok(()))
    }

    /// Performs a call. The engine calls this function after the rules allowed the call. For an effect, the engine
    /// first stores the intent: the journal entry that says that the effect is about to happen. If the call creates
    /// something with a name in an external system, derive the name from [`Invocation::key`], so that the name is the
    /// same on every replay. Secrets of the host in the result are redacted before the plugin and the journal get it.
    fn perform(
        &self,
        invocation: &mut Invocation,
        params: &Self::Params,
    ) -> impl Future<Output = Result<Self::Answer, Self::Error>> + Send;

    /// Predicts the result of a call in a dry run. The engine calls this function only for an effect or a wait. Returns
    /// the result that the call would have if it succeeded. If the result contains an id, uses `name` as the id.
    /// Returns `None` if the result cannot be predicted. The dry run then ends at this call.
    fn dry_run(
        &self,
        _invocation: &mut Invocation,
        _params: &Self::Params,
        _name: &str,
    ) -> Option<Result<Self::Answer, Self::Error>> {
        None
    }

    /// During replay, the engine calls this function instead of [`HostCall::perform`]. The function restores the data
    /// in the invocation that later calls of the same run need. `recorded` is the journal entry of the call. The
    /// function must change nothing outside of the invocation.
    fn replayed(
        &self,
        _invocation: &mut Invocation,
        _params: &Self::Params,
        _answer: &Result<Self::Answer, Self::Error>,
        _recorded: &Entry,
    ) {
    }

    /// Queries the external system whether an effect in doubt ([`InDoubt`]) happened. The engine can call this function
    /// repeatedly, so the function must change nothing. If the result is [`Recovered::NotHappened`], the engine
    /// performs the effect again. By default, returns [`Recovered::Unknowable`], so that people in the room decide.
    fn recover(&self, _doubt: &InDoubt<'_>) -> impl Future<Output = Recovered<Self::Answer>> + Send {
        std::future::ready(Recovered::Unknowable("the host cannot query the result of this call".to_owned()))
    }

    /// Returns the result of an effect in doubt after a person confirmed that the effect happened. Returns `None` if
    /// the result cannot be derived from the call's arguments. By default, returns `None`.
    fn assumed(&self, _doubt: &InDoubt<'_>) -> Option<Self::Answer> {
        None
    }
}

/// The result of [`HostCall::recover`], which queries whether an effect in doubt ([`InDoubt`]) happened.
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

/// An effect in doubt: the journal contains the intent, which says that the effect is about to happen, but no result.
/// The effect may or may not have happened.
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

/// The data that the host stores for a waiting job before the host ends the job's guest.
pub(crate) struct Parking {
    /// The timers for which the job waits. The journal entry of the wait contains the timers and the call's arguments.
    pub(crate) timers: Timers,
    pub(crate) status: crate::store::JobStatus,
}

/// Creates an error that is not a denial. `code` is a stable error code such as `not-found`; `message` is one line that
/// people read.
pub(crate) fn problem<E: GuestError>(code: &str, message: impl Into<String>) -> E {
    E::other(types::Problem { code: code.to_owned(), message: message.into() })
}

/// Creates the error of a call that failed because the store is unavailable.
pub(crate) fn unavailable(error: StoreError) -> types::Error {
    problem("unavailable", error.to_string())
}
