//! Checks whether an effect needs an approval, and whether the effect is approved.
//!
//! Invariant: an approval covers a plan, which is an ordered list of effects. After the approval, the job's nth effect
//! must equal the nth effect of the plan. Otherwise the job requests a new approval, even if no approval rule matches
//! the effect.
//! Not here: requesting approvals (`runner/approval.rs`) and counting votes (`runner/vote.rs`), which both happen while
//! no guest runs.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{
    authorize::Rule,
    invocation::{GuestStop, Invocation, RunMode},
    performed_effects::PerformedEffect,
};
use crate::{
    base::{one_line, utc_text},
    job::{Decision, Effect, Reason, lapsed_text},
    model::{Attribute, Attributes, CallKind, CallSpec, Outcome, RoomName, RunKey, name_and_id},
    policy::{Approval, Need},
    store::{Entry, JobPhase, JobQuery, ReleaseQuery, StoreError},
};

/// The maximum number of approval requests of one job. After the last request, the host refuses an effect that is not in
/// the approved plan, and an effect whose approval has expired.
const MAX_REQUESTS: u32 = 5;

/// The maximum number of jobs of one person that wait for approval. Each request can mention people in a room. Jobs that
/// request approval at the same moment can exceed the number.
const MAX_OPEN_REQUESTS: u32 = 10;

/// The text in the rule of a journal entry that says that a person lifted a required approval with `--override`.
pub(crate) const OVERRIDDEN: &str = ": overridden by ";

/// An effect that the host holds until people approve it.
#[derive(Debug, Clone)]
pub(crate) struct Unapproved {
    /// The index of this effect among the job's effects, from 0.
    pub(crate) index: usize,
    pub(crate) effect: Effect,
    /// The reason why the job requests approval again. `None` for the job's first request.
    pub(crate) repeat_reason: Option<String>,
    /// The number of the approval request within the job, from 1.
    pub(crate) number: u32,
}

/// The approvals that the rules require for an effect.
#[derive(Debug, Default)]
struct RequiredApprovals {
    needs: Vec<Need>,
    /// For each matching approval rule that requires no approval, the reason: the caller overrode the rule, or the same
    /// version was deployed successfully before.
    waived: Vec<String>,
    /// The messages that report that the caller overrode an approval rule. Each item is a room and the text for this
    /// room.
    notify: Vec<(RoomName, String)>,
}

impl Invocation {
    /// Checks whether an effect needs an approval, and whether the effect is approved. `rule` contains the grant and
    /// the role that allow the effect. If the effect may be performed, returns `rule` with the approvers added. If the
    /// effect may not be performed, returns the reasons. In a dry run, adds the effect to the plan.
    ///
    /// # Errors
    /// [`GuestStop::NeedsApproval`] if the job must request an approval; [`GuestStop::StoreFailed`] if the releases
    /// cannot be read from the store.
    pub(crate) async fn approved(
        &mut self,
        row: &CallSpec,
        attributes: &Attributes,
        params: &impl Serialize,
        rule: Rule,
    ) -> wasmtime::Result<Result<Rule, Vec<Reason>>> {
        // 1. The effect as the plan lists it. Queries and calls without an effect need no approval.
        let Some(replay) = self.replay_state().filter(|_| row.kind == CallKind::Acts) else { return Ok(Ok(rule)) };
        let index = replay.effects.len();
        let attributes_of_effect =
            attributes.iter().map(|(attribute, values)| (attribute.as_str().to_owned(), values.clone())).collect();
        let mut effect = Effect::new(row.name, attributes_of_effect, serde_json::json!(params), &replay.effects);
        // 2. The approvals that the rules require. The effect is refused if `--override` does not lift all of them.
        let RequiredApprovals { needs, waived, notify } =
            self.required_approvals(row, attributes).await.map_err(GuestStop::StoreFailed)?;
        if self.request().command().override_reason().is_some() && !needs.is_empty() {
            return Ok(Err(self.override_refusals(row, attributes)));
        }
        effect.needs = needs;
        // 3. A dry run adds the effect to its plan.
        if let Some(dry_run_state) = self.dry_run_state() {
            effect.waits = std::mem::take(&mut dry_run_state.waits);
            dry_run_state.effects.push(effect);
            return Ok(Ok(rule));
        }
        let RunMode::Job(job_run) = &self.mode else { return Ok(Ok(rule)) };
        let waived = (!waived.is_empty()).then(|| waived.join("; "));
        let rule = Rule { approval: waived, notify, ..rule };
        let held = |repeat_reason: Option<String>, number: u32| {
            GuestStop::NeedsApproval(Box::new(Unapproved { index, effect: effect.clone(), repeat_reason, number }))
        };
        let refused = |text: String| Ok(Err(vec![Reason { kind: "approval".to_owned(), text, add: None }]));
        // 4. A cancelled job requests no approval.
        let no_more = |why: &str| refused(format!("no approval is requested, because the job was cancelled: {why}"));
        let cancelled = job_run.job.is_cancelled();
        if cancelled && job_run.ask.is_none() && !effect.needs.is_empty() {
            return no_more("the effect needs an approval, and the job has not requested one");
        }
        // 5. Without an earlier request: the effect passes if it needs no approval, else the job requests one.
        let Some(ask) = &job_run.ask else {
            if effect.needs.is_empty() {
                return Ok(Ok(rule));
            }
            if self.has_many_requests().await.map_err(GuestStop::StoreFailed)? {
                return refused(format!(
                    "{MAX_OPEN_REQUESTS} jobs of the same person already wait for approval, which is the limit"
                ));
            }
            return Err(held(None, 1).into());
        };
        // 6. With an earlier request: its decision.
        match &ask.decision {
            // The effect must be the next one of the approved plan and must need no other approvals than the given
            // ones. Else the job requests an approval again.
            Some(Decision::Approved) => {
                let expired = ask.valid_until.filter(|until| self.context().monotonic.now() >= *until);
                let why = match ask.plan.check(index, &effect) {
                    Ok(()) if effect.needs.is_empty() => return Ok(Ok(rule)),
                    Ok(()) if let Some(until) = expired => format!("the approval was valid until {}", utc_text(until)),
                    Ok(()) if let Some(given) = ask.lapsed(&self.context().access, self.bot()).next() => {
                        lapsed_text(given)
                    }
                    Ok(()) if effect.needs.iter().all(|need| need.is_met_by(&ask.needs)) => {
                        let names: Vec<String> = ask.given.iter().map(|given| given.id.clone()).collect();
                        let approval = Some(format!("approved by {}", names.join(", ")));
                        return Ok(Ok(Rule { approval, ..rule }));
                    }
                    Ok(()) => {
                        "the effect needs an approval that the job's last approval request did not include".to_owned()
                    }
                    Err(why) => why,
                };
                if cancelled {
                    return no_more(&why);
                }
                if ask.number >= MAX_REQUESTS {
                    return refused(format!(
                        "the job has requested approval {MAX_REQUESTS} times, which is the limit: {why}"
                    ));
                }
                Err(held(Some(why), ask.number + 1).into())
            }
            // After the first request was denied, effects without an approval rule are still allowed, for cleanup.
            // After a later request was denied, they are not: the job deviated from an approved plan.
            Some(Decision::NotApproved(_)) if effect.needs.is_empty() && ask.number == 1 => Ok(Ok(rule)),
            Some(Decision::NotApproved(why)) => refused(why.clone()),
            // While people have not decided yet, the guest runs only if the job was cancelled and the guest has
            // received the error `cancelled`.
            None if effect.needs.is_empty() => Ok(Ok(rule)),
            None => refused("the job was cancelled before it was approved".to_owned()),
        }
    }

    /// Returns whether as many jobs of the caller wait for approval as one person may have.
    async fn has_many_requests(&self) -> Result<bool, StoreError> {
        let query = JobQuery {
            open: Some(true),
            phases: Some(vec![JobPhase::Approval]),
            caller: Some(self.request().caller().id.clone()),
            limit: Some(MAX_OPEN_REQUESTS),
            ..JobQuery::default()
        };
        Ok(self.context().store.jobs(&query).await?.len() >= MAX_OPEN_REQUESTS as usize)
    }

    /// Returns the approval rules that match an effect.
    fn approval_rules(&self, row: &CallSpec, attributes: &Attributes) -> impl Iterator<Item = &Approval> {
        self.context().approvals.iter().filter(|rule| rule.applies_to(row, attributes))
    }

    /// Returns the approvals that the approval rules require for an effect. For each matching rule that requires no
    /// approval, also returns the reason.
    async fn required_approvals(
        &self,
        row: &CallSpec,
        attributes: &Attributes,
    ) -> Result<RequiredApprovals, StoreError> {
        let (access, caller, who) = (&self.context().access, self.request().caller(), self.request().asker());
        let command = self.request().command();
        let mut required = RequiredApprovals::default();
        let targets = self.targets(attributes);
        for rule in self.approval_rules(row, attributes) {
            let has_role = |role: &str| {
                let holds = |(app, environment): &(Option<String>, Option<String>)| {
                    access.holds_role(role, who, app.as_deref(), environment.as_deref())
                };
                targets.iter().all(holds)
            };
            match (command.override_reason(), &rule.break_glass) {
                // 1. Break glass: the caller has the role on every target, and the bot has an account on the network of
                //    the room to notify.
                (Some(reason), Some(glass))
                    if has_role(&glass.role)
                        && self.context().outbox.destination(self.bot(), &glass.tell).is_some() =>
                {
                    let reason = one_line(reason);
                    let why = format!("{}{OVERRIDDEN}{} (role {}): {reason}", rule.text, caller.id, glass.role);
                    required.waived.push(why);
                    let text = format!(
                        "Override by {}: `{}` runs without the approval that is required by {}. Reason: {reason}",
                        name_and_id(&caller.id, &caller.name),
                        command.line(),
                        rule.text
                    );
                    required.notify.push((glass.tell.clone(), text));
                }
                // 2. Known good: the same version succeeded for the same app and environment before.
                _ if rule.known_good && self.is_known_good(row, attributes).await? => {
                    required.waived.push(format!(
                        "{}: approval not needed, because this version was deployed successfully to this environment \
                         before",
                        rule.text
                    ));
                }
                // 3. Otherwise the approval is needed.
                _ => required.needs.push(Need {
                    id: rule.id.to_string(),
                    rule: rule.text.to_string(),
                    count: rule.count,
                    from: rule.from.clone(),
                    within: u64::try_from(rule.within.as_millis()).unwrap_or(u64::MAX),
                    valid: u64::try_from(rule.valid.as_millis()).unwrap_or(u64::MAX),
                    targets: targets.clone(),
                }),
            }
        }
        Ok(required)
    }

    /// Returns one reason for each approval rule that matches an effect: why `--override` does not lift the rule.
    fn override_refusals(&self, row: &CallSpec, attributes: &Attributes) -> Vec<Reason> {
        let caller = &self.request().caller().id;
        let reason = |rule: &Approval| {
            let text = match &rule.break_glass {
                Some(glass) if self.context().outbox.destination(self.bot(), &glass.tell).is_none() => {
                    format!(
                        "{}: `--override` must be reported in {}, and the bot has no account on that room's network",
                        rule.text, glass.tell
                    )
                }
                Some(glass) => {
                    format!(
                        "{}: `--override` needs the role {}, which {caller} does not have for this app and environment",
                        rule.text, glass.role
                    )
                }
                None => format!("{}: this rule has no `break_glass`, so `--override` cannot lift it", rule.text),
            };
            Reason { kind: "override".to_owned(), text, add: None }
        };
        self.approval_rules(row, attributes).map(reason).collect()
    }

    /// Returns whether a pipeline run of this host deployed the effect's version of its app to its environment
    /// successfully before. Ignores a release that a person recorded by hand, because the host did not observe the
    /// deployment. Returns `false` if the effect has parameters besides app, environment and version, because these can
    /// change what the pipeline deploys.
    async fn is_known_good(&self, row: &CallSpec, attributes: &Attributes) -> Result<bool, StoreError> {
        if row.name != "pipelines.trigger" || attributes.contains_key(&Attribute::Parameter) {
            return Ok(false);
        }
        let one = |attribute| match attributes.get(&attribute).map(Vec::as_slice) {
            Some([value]) => Some(value.clone()),
            _ => None,
        };
        let (Some(app), Some(environment), Some(version)) =
            (one(Attribute::App), one(Attribute::Environment), one(Attribute::Version))
        else {
            return Ok(false);
        };
        let query = ReleaseQuery {
            app: Some(app),
            environment: Some(environment),
            version: Some(version),
            outcome: Some(Outcome::Succeeded),
            latest: false,
            limit: None,
        };
        Ok(self.context().store.releases(&query).await?.iter().any(|release| !release.recorded))
    }

    /// Returns a placeholder id, such as `plan-1`, for the result of an effect or a wait in a dry run. Returns `None`
    /// for other host calls, and outside of a dry run.
    pub(crate) fn dry_run_name(&mut self, row: &CallSpec) -> Option<String> {
        let earlier = self.dry_run_state()?.replay.effects.len();
        matches!(row.kind, CallKind::Acts | CallKind::Waits).then(|| Effect::placeholder(earlier + 1))
    }

    /// Adds an effect that the host performed, or predicted in a dry run, to the job's list of effects, with the id
    /// from the effect's result. Also adds effects that failed. Ignores calls that are not effects.
    pub(crate) fn count_effect(&mut self, row: &CallSpec, attributes: &Attributes, answer: &impl Serialize) {
        if row.kind != CallKind::Acts {
            return;
        }
        let values = |attribute| attributes.get(&attribute).cloned().unwrap_or_default();
        let key = RunKey::new(self.job_id(), self.intent);
        let effect = PerformedEffect::new(key, self.context().clock.now(), values);
        self.count(row, effect, answer);
    }

    /// Adds a replayed effect to the job's list of effects. In a dry run, also adds the effect to the plan and marks it
    /// as done. `recorded` is the effect's journal entry.
    pub(crate) fn replay_effect(&mut self, row: &CallSpec, recorded: &Entry, answer: &impl Serialize) {
        if let Some(dry_run_state) = self.dry_run_state() {
            let arguments = recorded.body["arguments"].clone();
            let effect = Effect::new(row.name, recorded.attributes.clone(), arguments, &dry_run_state.replay.effects);
            dry_run_state.effects.push(Effect { done: true, ..effect });
        }
        let values = |attribute: Attribute| recorded.attributes.get(attribute.as_str()).cloned().unwrap_or_default();
        let effect = PerformedEffect::new(RunKey::new(&recorded.job, recorded.number), recorded.at, values);
        self.count(row, effect, answer);
    }

    /// Returns all pairs of an app and an environment that an effect can change. An approver must have the required
    /// role for each pair. If the effect's app is unknown, includes every app. If the effect's environment is unknown,
    /// includes every environment of the bot.
    fn targets(&self, attributes: &Attributes) -> BTreeSet<(Option<String>, Option<String>)> {
        let context = self.context();
        let apps = context.catalog.apps().map(|app| app.name.clone());
        let apps = values(attributes, Attribute::App, apps);
        let environments =
            values(attributes, Attribute::Environment, context.access.bots.environments(self.bot()).iter().cloned());
        apps.iter().flat_map(|app| environments.iter().map(move |name| (app.clone(), name.clone()))).collect()
    }

    fn count(&mut self, row: &CallSpec, effect: PerformedEffect, answer: &impl Serialize) {
        let Some(replay) = self.replay_state_mut() else { return };
        let answer = serde_json::json!(answer);
        replay.effects.push(answer["Ok"]["id"].as_str().map(str::to_owned));
        if row.locks {
            replay.performed.add(effect, &answer);
        }
    }
}

/// Returns the values of an attribute. If the attribute has no value, returns all values in `all`. If `all` is empty
/// too, returns `[None]`.
fn values(attributes: &Attributes, attribute: Attribute, all: impl Iterator<Item = String>) -> Vec<Option<String>> {
    let known = attributes.get(&attribute).map(Vec::as_slice).unwrap_or_default();
    let mut values: Vec<Option<String>> = known.iter().cloned().map(Some).collect();
    if values.is_empty() {
        values = all.map(Some).collect();
    }
    if values.is_empty() { vec![None] } else { values }
}
