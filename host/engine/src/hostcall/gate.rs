//! The gate: the function that checks, performs and records every host call of every guest.
//!
//! Invariant: [`execute`] is the only way from a guest to an effect.

use super::{
    host_call::{GuestError as _, HostCall},
    invocation::{GuestStop, Invocation},
    redaction::without_secrets,
};
use crate::model::{Attribute, CallKind, CallSpec};

/// The host calls that change roles.
const CHANGES_ROLES: [&str; 2] = ["access.grant", "access.revoke"];

/// Executes a host call. During replay, returns the result from the journal. Otherwise checks the call against all
/// rules, performs the call and records its result. In a dry run, does not perform an effect but predicts its result.
///
/// # Errors
/// An error ends the guest: the guest exceeded a limit, or the host stops the guest with a [`GuestStop`].
pub(crate) async fn execute<C: HostCall>(
    call: &C,
    row: &CallSpec,
    invocation: &mut Invocation,
    params: C::Params,
) -> wasmtime::Result<Result<C::Answer, C::Error>> {
    // 1. The limits on calls and on the bytes of their arguments.
    invocation.meter.call(&params)?;
    // 2. Replay: the journal contains the answers of the calls before a crash or a wait.
    if let Some(answer) = invocation.answer_from_journal(call, row, &params).await? {
        return Ok(answer);
    }
    // Until a change of roles is applied, no other change of roles begins: each depends on the roles before it.
    if CHANGES_ROLES.contains(&row.name) && invocation.job().is_some() {
        invocation.rights_guard = Some(invocation.context().access.begin_change().await);
    }
    // 3. The attributes of the call, which the host determines. Every rule below is matched against them.
    let mut attributes = call.attributes(invocation, &params).await;
    let parameters = call.parameters(invocation, &params);
    if !parameters.is_empty() {
        let values = attributes.entry(Attribute::Parameter).or_default();
        values.extend(parameters.iter().map(|(_, value)| value.clone()));
    }
    // 4. The grant, the arguments of the command, the role, the bot, and the call's own rules.
    let authorized = invocation.authorize(row, &attributes, &parameters).and_then(|rule| {
        match call.objections(invocation, &params) {
            none if none.is_empty() => Ok(rule),
            objections => Err(objections),
        }
    });
    let rule = match authorized {
        Ok(rule) => rule,
        Err(reasons) => return invocation.deny(row, &attributes, &params, reasons).await,
    };
    // 5. The call's own check of its arguments.
    if let Err(error) = call.validate(invocation, &params).await {
        return invocation.record_not_tried(row, &attributes, &params, error).await;
    }
    // 6. The limit on effects.
    if row.kind == CallKind::Acts && !invocation.meter.act() {
        let reasons = vec![invocation.too_many_effects()];
        return invocation.deny(row, &attributes, &params, reasons).await;
    }
    // 7. A cancelled job starts no further effect; the plugin gets an error and can clean up.
    if let Some(not_tried) = invocation.cancelled_error(row) {
        return invocation.record_not_tried(row, &attributes, &params, C::Error::other(not_tried)).await;
    }
    // 8. Freezes, the promotion order and direct messages. From this step until the intent is stored, `FreezeGuard`
    //    prevents new freezes.
    let forbidden = invocation.forbidden(row, &attributes).await?;
    if !forbidden.is_empty() {
        return invocation.deny(row, &attributes, &params, forbidden).await;
    }
    // 9. Approval. If the approval is missing, the guest ends and the job waits for the approval.
    let approved = invocation.approved(row, &attributes, &params, rule).await;
    if approved.is_err() || invocation.is_dry_run() {
        // No effect follows, so a freeze may begin.
        invocation.freeze_guard = None;
    }
    let rule = match approved? {
        Ok(rule) => rule,
        Err(reasons) => return invocation.deny(row, &attributes, &params, reasons).await,
    };
    // 10. A dry run ends here, with the answer that the effect would have.
    if let Some(name) = invocation.dry_run_name(row) {
        return match call.dry_run(invocation, &params, &name) {
            Some(answer) => {
                invocation.count_effect(row, &attributes, &answer);
                Ok(answer)
            }
            None => Err(GuestStop::Unpredictable.into()),
        };
    }
    // 11. The deployment locks. If another job holds one, the job queues or the plugin gets an error.
    if let Err(not_tried) = invocation.take_locks(row, &attributes)? {
        return invocation.record_not_tried(row, &attributes, &params, C::Error::other(not_tried)).await;
    }
    // 12. The role again: it can have been revoked since step 4, while the gate waited for the backend or the database.
    if row.kind == CallKind::Acts
        && let Err(reasons) = invocation.authorize(row, &attributes, &parameters)
    {
        return invocation.deny(row, &attributes, &params, reasons).await;
    }
    // 13. The intent is stored before the effect happens.
    let in_progress = match invocation.begin(row, &attributes, rule, &params).await? {
        Ok(in_progress) => in_progress,
        Err(not_tried) => {
            return invocation.record_not_tried(row, &attributes, &params, C::Error::other(not_tried)).await;
        }
    };
    let answer = call.perform(invocation, &params).await;
    // 14. A call that waits ends the guest and parks the job.
    if let Some(parking) = invocation.parking() {
        invocation.wait(in_progress, &params, parking).await?;
        return Err(GuestStop::Parked.into());
    }
    let answer = without_secrets(answer);
    // 15. The limit on bytes that the guest receives. It does not apply to the answer of an effect, which is small and
    //     must be recorded.
    if row.kind != CallKind::Acts {
        invocation.meter.answer(&answer)?;
    }
    // 16. The result.
    invocation.count_effect(row, &attributes, &answer);
    invocation.record(in_progress, &params, &answer).await?;
    Ok(answer)
}
