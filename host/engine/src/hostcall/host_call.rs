//! A host call: what the host does when a guest calls one function of a package.

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

/// An error type of the contract.
pub trait GuestError: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The rules do not allow it.
    fn denied(denial: types::Denial) -> Self;
    /// It did not work.
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
    /// An error that is not a refusal. `code` is one of those that the WIT function documents; `message` is one line for people.
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

/// A host call. The gate calls these functions; what they do is checked and journaled there.
pub trait HostCall: Send + Sync + 'static {
    /// The arguments, as a tuple.
    type Params: ComponentNamedList + Lift + Serialize + Send + Sync + 'static;
    /// What it answers.
    type Answer: Lower + Serialize + DeserializeOwned + Send + Sync + 'static;
    /// Its error.
    type Error: GuestError;

    /// The attributes that rules match. Never fails: what the host does not find is absent.
    fn attributes(&self, _invocation: &Invocation, _params: &Self::Params) -> impl Future<Output = Attributes> + Send {
        std::future::ready(Attributes::new())
    }

    /// What stands in its way beside the rules for its row, for a call that starts something which has rules of its own.
    fn objections(&self, _invocation: &Invocation, _params: &Self::Params) -> Vec<Reason> {
        Vec::new()
    }

    /// Does it. The call was allowed, and the intent of an acting call is on disk. Names that must be the same each time the
    /// plugin runs are made of [`Invocation::key`]. The answer goes into the journal as it is: nothing secret may be in it.
    fn perform(
        &self,
        invocation: &mut Invocation,
        params: &Self::Params,
    ) -> impl Future<Output = Result<Self::Answer, Self::Error>> + Send;

    /// What it answers in a dry run, where nothing is done: the answer of an acting call that succeeded, whose id is `name`.
    /// With `None` the plan ends there with "the rest depends on this".
    fn dry_run(
        &self,
        _invocation: &mut Invocation,
        _params: &Self::Params,
        _name: &str,
    ) -> Option<Result<Self::Answer, Self::Error>> {
        None
    }

    /// The call is answered from the journal: restores what later calls of this run need to know of it, and has no effect.
    fn replayed(
        &self,
        _invocation: &mut Invocation,
        _params: &Self::Params,
        _answer: &Result<Self::Answer, Self::Error>,
        _begun: &Entry,
    ) {
    }

    /// Asks the system whether an acting call in doubt happened. It may be asked any number of times and changes nothing;
    /// [`Recovered::Not`] is final. Without it people are asked in the room.
    fn recover(&self, _doubt: &InDoubt<'_>) -> impl Future<Output = Recovered<Self::Answer>> + Send {
        std::future::ready(Recovered::Unknowable("its system cannot be asked".to_owned()))
    }

    /// The answer of an acting call in doubt that people say happened; `None` where there is none to give.
    fn assumed(&self, _doubt: &InDoubt<'_>) -> Option<Self::Answer> {
        None
    }
}

/// What became of an acting call in doubt.
#[derive(Debug)]
pub enum Recovered<A> {
    /// It happened, with this answer.
    Happened(A),
    /// It did not happen, and never will by itself.
    Not,
    /// Nobody can know. People are asked. The reason, in one line.
    Unknowable(String),
    /// The system cannot be asked now. The reason, in one line.
    Away(String),
}

/// An acting call whose intent is in the journal and whose result is not.
pub struct InDoubt<'a> {
    pub(crate) context: &'a Context,
    pub(crate) job: &'a JobRow,
    pub(crate) intent: &'a Entry,
}

impl InDoubt<'_> {
    /// The key of the effect, as [`Invocation::key`] gave it.
    pub fn key(&self) -> String {
        crate::model::RunKey::new(&self.job.id, self.intent.number).as_str().to_owned()
    }

    /// The call's arguments, as JSON; the form is that of `HostCall::Params`.
    pub fn arguments(&self) -> &Value {
        &self.intent.body["arguments"]
    }
}

/// What a call that waits leaves in the journal before the guest is ended.
pub(crate) struct Parking {
    /// What it waits for, beside the arguments.
    pub(crate) body: serde_json::Map<String, Value>,
    /// Where the job then stands.
    pub(crate) status: crate::store::JobStatus,
}

/// A problem with a stable code, as a guest's error.
pub(crate) fn problem<E: GuestError>(code: &str, message: impl Into<String>) -> E {
    E::other(types::Problem { code: code.to_owned(), message: message.into() })
}
