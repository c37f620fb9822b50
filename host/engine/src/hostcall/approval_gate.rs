//! Checks whether an effect needs an approval, and whether it has one.
//!
//! Invariant: an approval covers a plan, which is an ordered list of effects. After it, the nth effect must be the nth
//! of the plan. Otherwise the job asks for a new approval, even for an effect that needs none by itself.
//! Not here: requesting, counting and waiting for approvals. The job does that while no guest runs (`job::approval`).

use std::collections::BTreeSet;

use serde::Serialize;

use super::{
    authorize::Rule,
    invocation::{GuestStop, Invocation, RunMode},
};
use crate::{
    base::clean,
    job::{Decision, Effect, Reason},
    model::{Attribute, Attributes, CallKind, CallSpec, Outcome, RoomName, who_is},
    policy::{Approval, Need},
    store::{Entry, ReleaseQuery, StoreError},
};

/// The most approval requests of one job. A job whose plan changes more often is refused.
const MOST_ASKS: u32 = 5;

/// An effect that is held until others approve of it.
#[derive(Debug, Clone)]
pub(crate) struct Unapproved {
    /// The number of effects before it.
    pub(crate) place: usize,
    pub(crate) effect: Effect,
    /// Why a new approval is requested. `None` for the first request.
    pub(crate) again: Option<String>,
    /// The number of the request, from 1.
    pub(crate) ask: u32,
}

/// The approvals that the rules require for an effect.
#[derive(Debug, Default)]
struct Wanted {
    needs: Vec<Need>,
    /// Why a rule that applies requires no approval: an override, or a known good version.
    waived: Vec<String>,
    /// The rooms that are notified of an override, each with its text.
    tell: Vec<(RoomName, String)>,
}

impl Invocation {
    /// Checks the approval of an effect. Returns the rule if none is needed or if it was given, else the reasons of the
    /// refusal. In a dry run it adds the effect to the plan.
    ///
    /// # Errors
    /// [`GuestStop::Approval`] if an approval must be requested, and [`GuestStop::Unkept`] if the releases cannot be
    /// read.
    pub(crate) async fn approved(
        &mut self,
        row: &CallSpec,
        attributes: &Attributes,
        params: &impl Serialize,
        rule: Rule,
    ) -> wasmtime::Result<Result<Rule, Vec<Reason>>> {
        // 1. The effect as the plan lists it. Queries and calls without an effect need no approval.
        let Some(replay) = self.replay_state().filter(|_| row.kind == CallKind::Acts) else { return Ok(Ok(rule)) };
        let place = replay.effects.len();
        let seen =
            attributes.iter().map(|(attribute, values)| (attribute.as_str().to_owned(), values.clone())).collect();
        let mut effect = Effect::new(row.name, seen, serde_json::json!(params), &replay.effects);
        // 2. The approvals that the rules require. `--override` is refused if it does not lift all of them.
        let Wanted { needs, waived, tell } = self.wanted(row, attributes).await.map_err(GuestStop::Unkept)?;
        if self.request().command().override_reason().is_some() && !needs.is_empty() {
            return Ok(Err(self.not_overridden(row, attributes)));
        }
        effect.needs = needs;
        // 3. A dry run adds the effect to its plan.
        if let Some(dry_run_state) = self.dry_run_state() {
            dry_run_state.effects.push(effect);
            return Ok(Ok(rule));
        }
        let RunMode::Job(job_run) = &self.purpose else { return Ok(Ok(rule)) };
        let waived = (!waived.is_empty()).then(|| waived.join("; "));
        let rule = Rule { approval: waived, tell, ..rule };
        let held = |again: Option<String>, ask: u32| {
            GuestStop::Approval(Box::new(Unapproved { place, effect: effect.clone(), again, ask }))
        };
        let refused = |text: String| Ok(Err(vec![Reason { kind: "approval".to_owned(), text, add: None }]));
        // 4. A cancelled job requests no approval.
        let no_more =
            |why: &str| refused(format!("the job was cancelled, and this needs an approval of its own: {why}"));
        let cancelled = job_run.job.is_cancelled();
        if cancelled && job_run.ask.is_none() && !effect.needs.is_empty() {
            return no_more("nobody was asked");
        }
        // 5. Without an earlier request: the effect passes if it needs no approval, else the job requests one.
        let Some(ask) = &job_run.ask else {
            return if effect.needs.is_empty() { Ok(Ok(rule)) } else { Err(held(None, 1).into()) };
        };
        // 6. With an earlier request: its decision.
        match &ask.decision {
            // The effect must be the next of the approved plan, and need no more than was approved. Else the job asks
            // again.
            Some(Decision::Approved) => {
                let why = match ask.plan.check(place, &effect) {
                    Ok(()) if effect.needs.iter().all(|need| need.is_met_by(&ask.needs)) => {
                        let names: Vec<String> = ask.given.iter().map(|given| given.id.clone()).collect();
                        let by = (!effect.needs.is_empty()).then(|| format!("approved by {}", names.join(", ")));
                        return Ok(Ok(Rule { approval: by.or(rule.approval), ..rule }));
                    }
                    Ok(()) => "the rules want more than was approved".to_owned(),
                    Err(unlike) => unlike.why,
                };
                if cancelled {
                    return no_more(&why);
                }
                if ask.number >= MOST_ASKS {
                    return refused(format!("its plan changed {MOST_ASKS} times: {why}"));
                }
                Err(held(Some(why), ask.number + 1).into())
            }
            // After a first refusal, effects that need no approval are still allowed, for cleanup. They are not allowed
            // after a later request, because the job then deviated from a plan that was approved.
            Some(Decision::NotApproved(_)) if effect.needs.is_empty() && ask.number == 1 => Ok(Ok(rule)),
            Some(Decision::NotApproved(why)) => refused(why.clone()),
            // The guest runs without a decision only after the job was cancelled and the guest received that error.
            None if effect.needs.is_empty() => Ok(Ok(rule)),
            None => refused("it was cancelled before it was approved".to_owned()),
        }
    }

    /// The approval rules that apply to an effect.
    fn approval_rules(&self, row: &CallSpec, attributes: &Attributes) -> impl Iterator<Item = &Approval> {
        self.context().approvals.iter().filter(|rule| rule.obliges(row, attributes))
    }

    /// The approvals that the rules require for an effect, and those that are waived.
    async fn wanted(&self, row: &CallSpec, attributes: &Attributes) -> Result<Wanted, StoreError> {
        let (access, caller, who) = (&self.context().access, self.request().caller(), self.request().asker());
        let command = self.request().command();
        let mut wanted = Wanted::default();
        let targets = self.targets(attributes);
        for rule in self.approval_rules(row, attributes) {
            let may = |role: &str| {
                let stands = |(app, environment): &(Option<String>, Option<String>)| {
                    access.holds_role(role, who, app.as_deref(), environment.as_deref())
                };
                targets.iter().all(stands)
            };
            match (command.override_reason(), &rule.break_glass) {
                // 1. Break glass: the caller has the role on every target, and the room to notify can be reached.
                (Some(reason), Some(glass))
                    if may(&glass.role) && self.context().outbox.destination(self.bot(), &glass.tell).is_some() =>
                {
                    let reason = clean(reason);
                    let why = format!("{} overridden by {} (role {}): {reason}", rule.text, caller.id, glass.role);
                    wanted.waived.push(why);
                    let words = format!(
                        "{} goes on with `{}` without the approval that {} asks for: {reason}",
                        who_is(&caller.id, &caller.name),
                        command.line(),
                        rule.text
                    );
                    wanted.tell.push((glass.tell.clone(), words));
                }
                // 2. Known good: the same version succeeded at the same target before.
                _ if rule.known_good && self.is_known_good(row, attributes).await? => {
                    wanted.waived.push(format!("{}: this version succeeded there before", rule.text));
                }
                // 3. Otherwise the approval is needed.
                _ => wanted.needs.push(Need {
                    id: rule.id.to_string(),
                    rule: rule.text.to_string(),
                    count: rule.count,
                    from: rule.from.clone(),
                    within: u64::try_from(rule.within.as_millis()).unwrap_or(u64::MAX),
                    targets: targets.clone(),
                }),
            }
        }
        Ok(wanted)
    }

    /// Why `--override` does not lift the rules that apply: one reason for each rule.
    fn not_overridden(&self, row: &CallSpec, attributes: &Attributes) -> Vec<Reason> {
        let caller = &self.request().caller().id;
        let reason = |rule: &Approval| {
            let text = match &rule.break_glass {
                Some(glass) if self.context().outbox.destination(self.bot(), &glass.tell).is_none() => {
                    format!("{}: nobody would hear of `--override`: the bot is not where {} is", rule.text, glass.tell)
                }
                Some(glass) => {
                    format!(
                        "{}: `--override` is for the role {}, and {caller} is not in it there",
                        rule.text, glass.role
                    )
                }
                None => format!("{}: it has no `break_glass`, so `--override` does not lift it", rule.text),
            };
            Reason { kind: "override".to_owned(), text, add: None }
        };
        self.approval_rules(row, attributes).map(reason).collect()
    }

    /// Whether this version succeeded for this app and environment before, in a run of this host. Releases that a
    /// person recorded by hand do not count, because the host did not observe them. A deployment with further
    /// parameters never counts, because they can make it a different deployment.
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
        };
        Ok(self.context().store.releases(&query).await?.iter().any(|release| !release.recorded))
    }

    /// The placeholder id of an effect or a wait in a dry run. `None` outside of a dry run and for other calls.
    pub(crate) fn dry_run_name(&mut self, row: &CallSpec) -> Option<String> {
        let place = self.dry_run_state()?.replay.effects.len();
        matches!(row.kind, CallKind::Acts | CallKind::Waits).then(|| Effect::placeholder(place + 1))
    }

    /// Adds a performed effect to the progress, with the id in its answer. Failed effects count too.
    pub(crate) fn count_effect(&mut self, row: &CallSpec, attributes: &Attributes, answer: &impl Serialize) {
        if row.kind != CallKind::Acts {
            return;
        }
        let environments = attributes.get(&Attribute::Environment).cloned().unwrap_or_default();
        self.count(environments, answer);
    }

    /// Adds a replayed effect to the progress; in a dry run also to the plan, marked as done.
    pub(crate) fn replay_effect(&mut self, row: &CallSpec, begun: &Entry, answer: &impl Serialize) {
        let environments = begun.attributes.get(Attribute::Environment.as_str()).cloned().unwrap_or_default();
        if let Some(dry_run_state) = self.dry_run_state() {
            let arguments = begun.body["arguments"].clone();
            // The arguments in the form in which the guest passed them.
            let effect = Effect::new(row.name, begun.attributes.clone(), arguments, &dry_run_state.replay.effects);
            dry_run_state.effects.push(Effect { done: true, ..effect });
        }
        self.count(environments, answer);
    }

    /// All combinations of an effect's apps and environments. An unknown app or environment counts as every one, so
    /// that an approver needs the role for all of them.
    fn targets(&self, attributes: &Attributes) -> BTreeSet<(Option<String>, Option<String>)> {
        let context = self.context();
        let apps = context.catalog.apps().map(|app| app.name.clone());
        let apps = values(attributes, Attribute::App, apps);
        let environments =
            values(attributes, Attribute::Environment, context.access.bots.environments(self.bot()).iter().cloned());
        apps.iter().flat_map(|app| environments.iter().map(move |name| (app.clone(), name.clone()))).collect()
    }

    fn count(&mut self, environments: Vec<String>, answer: &impl Serialize) {
        let Some(replay) = self.replay_state_mut() else { return };
        let id = serde_json::to_value(answer).ok().and_then(|answer| answer["Ok"]["id"].as_str().map(str::to_owned));
        replay.effects.push(id);
        replay.touched.extend(environments);
    }
}

/// The values of an attribute. If it has none: all values, or `[None]` if there are none either.
fn values(attributes: &Attributes, attribute: Attribute, all: impl Iterator<Item = String>) -> Vec<Option<String>> {
    let known = attributes.get(&attribute).map(Vec::as_slice).unwrap_or_default();
    let mut values: Vec<Option<String>> = known.iter().cloned().map(Some).collect();
    if values.is_empty() {
        values = all.map(Some).collect();
    }
    if values.is_empty() { vec![None] } else { values }
}
