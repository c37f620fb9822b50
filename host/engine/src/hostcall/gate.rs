//! The gate: the one function that every host call of every guest passes.
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

/// Answers a call from the journal, or checks it, performs it and records it. An error ends the guest: it reached one
/// of its limits, it waits, or the host cannot continue with it now.
pub(crate) async fn through<C: HostCall>(
    call: &C,
    row: &CallSpec,
    invocation: &mut Invocation,
    params: C::Params,
) -> wasmtime::Result<Result<C::Answer, C::Error>> {
    // 1. The limits on calls and on the bytes of their arguments.
    invocation.count_call(&params)?;
    // 2. Replay: a call that was made before a crash or a wait has its answer in the journal.
    if let Some(answer) = invocation.answer_from_journal(call, row, &params).await? {
        return Ok(answer);
    }
    // 3. The attributes of the target, as the host determines them. Every rule below is matched against them.
    let attributes = call.attributes(invocation, &params).await;
    // 4. The grant, the typed arguments, the role, the bot, and the call's own rules.
    let authorized =
        invocation.authorize(row, &attributes).and_then(|rule| match call.objections(invocation, &params) {
            none if none.is_empty() => Ok(rule),
            objections => Err(objections),
        });
    let rule = match authorized {
        Ok(rule) => rule,
        Err(reasons) => return deny::<C>(invocation, row, &attributes, &params, reasons).await,
    };
    // 5. The limit on effects.
    if row.kind == CallKind::Acts && !invocation.meter.act() {
        let reasons = vec![invocation.too_many_effects()];
        return deny::<C>(invocation, row, &attributes, &params, reasons).await;
    }
    // 6. A cancelled job starts no further effect; the plugin gets an error and can clean up.
    if let Some(not_tried) = invocation.cancelled_error(row) {
        let answer = Err(not_tried.into_error::<C::Error>());
        invocation.record_not_tried(row, &attributes, &params, &answer).await?;
        return Ok(answer);
    }
    // 7. Freezes and the promotion order. No freeze can begin from here to the intent (`FreezeGuard`).
    let forbidden = invocation.forbidden(row, &attributes).await?;
    if !forbidden.is_empty() {
        return deny::<C>(invocation, row, &attributes, &params, forbidden).await;
    }
    // 8. Approval. If it is missing, the guest is ended and the job waits for it.
    let approved = invocation.approved(row, &attributes, &params, rule).await;
    if approved.is_err() || invocation.is_dry_run() {
        // No effect follows now, so a freeze may begin.
        invocation.freeze_guard = None;
    }
    let rule = match approved? {
        Ok(rule) => rule,
        Err(reasons) => return deny::<C>(invocation, row, &attributes, &params, reasons).await,
    };
    // 9. A dry run ends here, with the answer that the effect would have.
    if let Some(name) = invocation.dry_run_name(row) {
        return match call.dry_run(invocation, &params, &name) {
            Some(answer) => {
                invocation.count_effect(row, &attributes, &answer);
                Ok(answer)
            }
            None => Err(GuestStop::Unforetold.into()),
        };
    }
    // 10. The deployment locks. If another job holds one, the job queues or the plugin gets an error.
    if let Err(not_tried) = invocation.take_locks(row, &attributes)? {
        let answer = Err(not_tried.into_error::<C::Error>());
        invocation.record_not_tried(row, &attributes, &params, &answer).await?;
        return Ok(answer);
    }
    // 11. The intent of an effect is on disk before the effect happens.
    let begun = invocation.begin(row, &attributes, rule, &params).await?;
    let answer = call.perform(invocation, &params).await;
    // 12. A call that waits ends the guest; the job is parked.
    if let Some(parking) = invocation.parking() {
        invocation.wait(begun, &params, parking).await?;
        return Err(GuestStop::Parked.into());
    }
    // 13. The limit on bytes that the guest receives. An effect's answer is small and is always recorded.
    if row.kind != CallKind::Acts {
        invocation.meter.answer(&answer)?;
    }
    // 14. The result.
    invocation.count_effect(row, &attributes, &answer);
    invocation.record(begun, row.kind, &params, &answer).await?;
    Ok(answer)
}

/// Refuses a call and records the refusal.
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
