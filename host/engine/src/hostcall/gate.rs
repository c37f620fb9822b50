//! The one function that every call of every guest goes through: answer from the journal, or check, do, record.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use wasmtime::component::{ComponentNamedList, Lift, Linker, Lower};

use super::{context::Shared, invocation::{Invocation, Stop}, table::{CONTRACT, Row, TABLE}};
use crate::{job::Reason, model::{Attribute, Attributes, CallKind}, plugin::bindings::{pipelines::WaitError, types}, store::{Entry, JobRow}};

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

impl GuestError for WaitError {
    fn denied(denial: types::Denial) -> Self {
        Self::Denied(denial)
    }
    fn other(problem: types::Problem) -> Self {
        Self::Other(problem)
    }
}

/// What became of an effect whose result is not known.
pub(crate) enum Recovered {
    /// It happened: the answer as the journal would hold it.
    Happened(Value),
    /// It did not, and never will by itself.
    Not,
    /// Nobody can say: people are asked. Why, in one line.
    Unknowable(String),
    /// The system cannot be asked now. Why, in one line.
    Away(String),
}

/// What a call that waits leaves in the journal before the guest is ended.
pub(crate) struct Parking {
    /// What it waits for, beside the arguments.
    pub(crate) body: serde_json::Map<String, Value>,
    /// Where the job then stands.
    pub(crate) stand: crate::store::Stand,
}

/// A function of the contract on the host's side.
pub trait HostCall: 'static {
    /// The arguments, as a tuple.
    type Params: ComponentNamedList + Lift + Serialize + Send + Sync + 'static;
    /// What it answers.
    type Answer: Lower + Serialize + DeserializeOwned + Send + Sync + 'static;
    /// Its error.
    type Error: GuestError;

    /// What the rules see. Never fails: what the host does not find is absent.
    fn attributes(_invocation: &Invocation, _params: &Self::Params) -> impl Future<Output = Attributes> + Send {
        std::future::ready(Attributes::new())
    }

    /// What stands in its way beside the rules for its row, for a call that sets something off which has rules of its own.
    fn objections(_invocation: &Invocation, _params: &Self::Params) -> Vec<Reason> {
        Vec::new()
    }

    /// Does it. It was allowed, and where it acts its intent is on disk. What else must be on disk
    /// together with the answer is added to `Invocation::also_write`, and nothing is written to the store directly. Names that must
    /// be the same each time the plugin runs are made of `Invocation::call_number`, those of an effect of
    /// `Invocation::intent`. The answer goes into the journal as it is: nothing secret may be in it. A call that waits looks
    /// here whether it can, and leaves what it waits for with `Invocation::park`.
    fn perform(
        invocation: &mut Invocation,
        params: &Self::Params,
    ) -> impl Future<Output = Result<Self::Answer, Self::Error>> + Send;

    /// What it answers in a dry run, where nothing is done: for a call that acts the answer of one that went well, whose id is
    /// `name`; for one that waits, what comes first. `None` where that cannot be foretold: the dry run ends there.
    fn foretold(
        _invocation: &mut Invocation,
        _params: &Self::Params,
        _name: &str,
    ) -> Option<Result<Self::Answer, Self::Error>> {
        None
    }

    /// It was made before, allowed or refused, and is answered from the journal: restores what later calls of this run need
    /// to know of it, and has no effect.
    fn replayed(
        _invocation: &mut Invocation,
        _params: &Self::Params,
        _answer: &Result<Self::Answer, Self::Error>,
        _begun: &Entry,
    ) {
    }
}

/// How an acting call is recovered whose result is not in the journal.
pub(crate) trait Recover: 'static {
    /// Asks whether it happened. May be asked any number of times, and changes nothing but that an answer of
    /// [`Recovered::Not`] is final.
    fn recover<'a>(shared: &'a Shared, job: &'a JobRow, intent: &'a Entry) -> BoxFuture<'a, Recovered>;

    /// The answer that the plugin gets where people say that it happened.
    fn assumed(job: &JobRow, intent: &Entry) -> Value;
}

/// A problem with a stable code, as a guest's error.
pub(crate) fn problem<E: GuestError>(code: &str, message: impl Into<String>) -> E {
    E::other(types::Problem { code: code.to_owned(), message: message.into() })
}

/// Defines one row's function.
pub(crate) fn register<C: HostCall>(linker: &mut Linker<Invocation>, index: usize) -> wasmtime::Result<()>
where
    Result<C::Answer, C::Error>: Lower,
    (Result<C::Answer, C::Error>,): ComponentNamedList,
{
    let row: &'static Row = &TABLE[index];
    let (package, version) = CONTRACT.split_once('@').unwrap_or((CONTRACT, ""));
    let interface = format!("{package}/{}@{version}", row.interface());
    linker.instance(&interface)?.func_wrap_async(row.function(), move |mut store, params: C::Params| {
        Box::new(async move { Ok((through::<C>(index, store.data_mut(), params).await?,)) })
    })
}

/// Answer from the journal, or check, do, record. An error ends the guest: it used up one of its limits, or it waits,
/// or the host cannot go on with it now.
async fn through<C: HostCall>(
    index: usize,
    invocation: &mut Invocation,
    params: C::Params,
) -> wasmtime::Result<Result<C::Answer, C::Error>> {
    let row = &TABLE[index];
    invocation.meter(&params)?;
    if let Some(answer) = invocation.replay::<C>(index, &params).await? {
        return Ok(answer);
    }
    let attributes = C::attributes(invocation, &params).await;
    let judged = invocation.judge(index, &attributes).and_then(|rule| match C::objections(invocation, &params) {
        none if none.is_empty() => Ok(rule),
        objections => Err(objections),
    });
    let rule = match judged {
        Ok(rule) => rule,
        Err(reasons) => return deny::<C>(invocation, index, &attributes, &params, reasons).await,
    };
    if row.kind == CallKind::Acts && !invocation.meter.act() {
        let reasons = vec![invocation.too_many_effects()];
        return deny::<C>(invocation, index, &attributes, &params, reasons).await;
    }
    if let Some(turned) = invocation.called_off(row) {
        let answer = Err(turned.into_error::<C::Error>());
        invocation.turn_away(index, &attributes, &params, &answer).await?;
        return Ok(answer);
    }
    let forbidden = invocation.forbidden(row, &attributes).await?;
    if !forbidden.is_empty() {
        return deny::<C>(invocation, index, &attributes, &params, forbidden).await;
    }
    let approved = invocation.approved(index, &attributes, &params, rule).await;
    if approved.is_err() || invocation.is_rehearsal() {
        // Nothing is done now, so nobody has to be kept from freezing.
        invocation.still = None;
    }
    let rule = match approved? {
        Ok(rule) => rule,
        Err(reasons) => return deny::<C>(invocation, index, &attributes, &params, reasons).await,
    };
    if let Some(name) = invocation.rehearsed(row) {
        return match C::foretold(invocation, &params, &name) {
            Some(answer) => {
                invocation.count_effect(row, &attributes, &answer);
                Ok(answer)
            }
            None => Err(Stop::Unforetold.into()),
        };
    }
    if let Err(turned) = invocation.take_places(row, &attributes)? {
        let answer = Err(turned.into_error::<C::Error>());
        invocation.turn_away(index, &attributes, &params, &answer).await?;
        return Ok(answer);
    }
    let begun = invocation.begin(index, &attributes, rule, &params).await?;
    let answer = C::perform(invocation, &params).await;
    if let Some(parking) = invocation.parking() {
        invocation.wait(begun, &params, parking).await?;
        return Err(Stop::Parked.into());
    }
    // An effect's answer is small, and must be recorded whatever was asked for before.
    if row.kind != CallKind::Acts {
        invocation.meter.answer(&answer)?;
    }
    invocation.count_effect(row, &attributes, &answer);
    invocation.record(begun, row.kind, &params, &answer).await?;
    Ok(answer)
}

/// Refuses a call, and writes that down.
async fn deny<C: HostCall>(
    invocation: &mut Invocation,
    index: usize,
    attributes: &Attributes,
    params: &C::Params,
    reasons: Vec<Reason>,
) -> wasmtime::Result<Result<C::Answer, C::Error>> {
    let answer = Err(C::Error::denied(Invocation::denial(&reasons)));
    invocation.deny(index, attributes, reasons, params, &answer).await?;
    Ok(answer)
}

/// What an effect that happened with its own result, or not at all, left behind: nothing.
pub(crate) struct WithItsResult;

impl Recover for WithItsResult {
    fn recover<'a>(_: &'a Shared, _: &'a JobRow, _: &'a Entry) -> BoxFuture<'a, Recovered> {
        Box::pin(std::future::ready(Recovered::Not))
    }

    fn assumed(_: &JobRow, _: &Entry) -> Value {
        Value::Null
    }
}
