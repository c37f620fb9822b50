//! The one function that every call of every guest goes through: check, do, record.

use std::collections::BTreeMap;

use serde::Serialize;
use wasmtime::component::{ComponentNamedList, Lift, Linker, Lower};

use super::{CONTRACT, Kind, Row, TABLE, invocation::Invocation};
use crate::{
    access::Attribute,
    plugin::bindings::{pipelines::WaitError, types},
};

/// What the rules see of a call. Values come from the host's knowledge wherever it can know.
pub type Attributes = BTreeMap<Attribute, Vec<String>>;

/// An error type of the contract.
pub trait GuestError: Serialize + Send + 'static {
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

/// A function of the contract on the host's side.
pub trait HostCall: 'static {
    /// The arguments, as a tuple.
    type Params: ComponentNamedList + Lift + Serialize + Send + Sync + 'static;
    /// What it answers.
    type Answer: Lower + Serialize + Send + 'static;
    /// Its error.
    type Error: GuestError;

    /// What the rules see. Never fails: what the host does not find is absent.
    fn attributes(_invocation: &Invocation, _params: &Self::Params) -> Attributes {
        Attributes::new()
    }

    /// Does it. It was allowed, and where it acts its intent is on disk. What else must be on disk
    /// together with the answer is added to `Invocation::also_write`.
    fn perform(
        invocation: &mut Invocation,
        params: &Self::Params,
    ) -> impl Future<Output = Result<Self::Answer, Self::Error>> + Send;
}

/// A problem with a stable code, as a guest's error.
pub(super) fn problem<E: GuestError>(code: &str, message: impl Into<String>) -> E {
    E::other(types::Problem { code: code.to_owned(), message: message.into() })
}

/// Defines one row's function.
pub(super) fn register<C: HostCall>(linker: &mut Linker<Invocation>, index: usize) -> wasmtime::Result<()>
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

/// Check, do, record. An error is a trap: the guest used up one of its limits.
async fn through<C: HostCall>(
    index: usize,
    invocation: &mut Invocation,
    params: C::Params,
) -> wasmtime::Result<Result<C::Answer, C::Error>> {
    let row = &TABLE[index];
    invocation.meter(&params)?;
    let attributes = C::attributes(invocation, &params);
    let rule = match invocation.judge(index, &attributes) {
        Ok(rule) => rule,
        Err(reasons) => {
            let denial = invocation.deny(index, &attributes, reasons, &params);
            return Ok(Err(C::Error::denied(denial)));
        }
    };
    if row.kind == Kind::Acts && !invocation.meter.act() {
        let denial = invocation.deny_effect(index, &attributes, &params);
        return Ok(Err(C::Error::denied(denial)));
    }
    let begun = match invocation.begin(index, &attributes, rule, &params).await {
        Ok(begun) => begun,
        Err(message) => return Ok(Err(problem("unavailable", message))),
    };
    let answer = C::perform(invocation, &params).await;
    // An effect's answer is small, and must be recorded whatever was asked for before.
    if row.kind != Kind::Acts {
        invocation.meter.answer(&answer)?;
    }
    match invocation.record(begun, row.kind, &params, &answer).await {
        Ok(()) => Ok(answer),
        // A call that changes nothing outside and could not be recorded did not happen for the guest.
        Err(message) if row.kind != Kind::Acts => Ok(Err(problem("unavailable", message))),
        // An effect whose result cannot be recorded is in doubt: the guest ends, and its runs are asked after.
        Err(message) => Err(wasmtime::format_err!("the result of {} could not be recorded: {message}", row.name)),
    }
}
