//! The gate: the one function that every call of every guest passes. Answer from the journal, or check, do, record.
//!
//! Invariant: [`through`] is the only way from a guest to an effect.

use super::{
    host_call::{GuestError as _, HostCall},
    invocation::{GuestStop, Invocation},
};
use crate::{
    job::Reason,
    model::{Attributes, CallKind, CallSpec},
};

/// Answer from the journal, or check, do, record. An error ends the guest: it used up one of its limits, or it waits,
/// or the host cannot go on with it now.
pub(crate) async fn through<C: HostCall>(
    call: &C,
    row: &CallSpec,
    invocation: &mut Invocation,
    params: C::Params,
) -> wasmtime::Result<Result<C::Answer, C::Error>> {
    invocation.count_call(&params)?;
    if let Some(answer) = invocation.answer_from_journal(call, row, &params).await? {
        return Ok(answer);
    }
    let attributes = call.attributes(invocation, &params).await;
    let judged = invocation.judge(row, &attributes).and_then(|rule| match call.objections(invocation, &params) {
        none if none.is_empty() => Ok(rule),
        objections => Err(objections),
    });
    let rule = match judged {
        Ok(rule) => rule,
        Err(reasons) => return deny::<C>(invocation, row, &attributes, &params, reasons).await,
    };
    if row.kind == CallKind::Acts && !invocation.meter.act() {
        let reasons = vec![invocation.too_many_effects()];
        return deny::<C>(invocation, row, &attributes, &params, reasons).await;
    }
    if let Some(turned) = invocation.called_off(row) {
        let answer = Err(turned.into_error::<C::Error>());
        invocation.turn_away(row, &attributes, &params, &answer).await?;
        return Ok(answer);
    }
    let forbidden = invocation.forbidden(row, &attributes).await?;
    if !forbidden.is_empty() {
        return deny::<C>(invocation, row, &attributes, &params, forbidden).await;
    }
    let approved = invocation.approved(row, &attributes, &params, rule).await;
    if approved.is_err() || invocation.is_dry_run() {
        // Nothing is done now, so nobody has to be kept from freezing.
        invocation.freeze_guard = None;
    }
    let rule = match approved? {
        Ok(rule) => rule,
        Err(reasons) => return deny::<C>(invocation, row, &attributes, &params, reasons).await,
    };
    if let Some(name) = invocation.dry_run_name(row) {
        return match call.dry_run(invocation, &params, &name) {
            Some(answer) => {
                invocation.count_effect(row, &attributes, &answer);
                Ok(answer)
            }
            None => Err(GuestStop::Unforetold.into()),
        };
    }
    if let Err(turned) = invocation.take_places(row, &attributes)? {
        let answer = Err(turned.into_error::<C::Error>());
        invocation.turn_away(row, &attributes, &params, &answer).await?;
        return Ok(answer);
    }
    let begun = invocation.begin(row, &attributes, rule, &params).await?;
    let answer = call.perform(invocation, &params).await;
    if let Some(parking) = invocation.parking() {
        invocation.wait(begun, &params, parking).await?;
        return Err(GuestStop::Parked.into());
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
    row: &CallSpec,
    attributes: &Attributes,
    params: &C::Params,
    reasons: Vec<Reason>,
) -> wasmtime::Result<Result<C::Answer, C::Error>> {
    let answer = Err(C::Error::denied(Invocation::denial(&reasons)));
    invocation.deny(row, attributes, reasons, params, &answer).await?;
    Ok(answer)
}
