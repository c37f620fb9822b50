//! Whether others have to approve of an effect, and whether they did.
//!
//! Invariant: an approval is of a list. Once it was given, the nth effect is the nth of the list or the job asks again, also for
//! an effect that needs nobody by itself.
//! Not here: asking, counting and waiting, which are the job's (`job::approval`) while no guest is there.

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

/// A job whose plan changes asks again so often, and no more.
const MOST_ASKS: u32 = 5;

/// An effect that is held until others approve of it.
#[derive(Debug, Clone)]
pub(crate) struct Unapproved {
    /// Counts the effects before it.
    pub(crate) place: usize,
    /// The effect.
    pub(crate) effect: Effect,
    /// Why the job asks again, if it does.
    pub(crate) again: Option<String>,
    /// Which ask it is, from 1.
    pub(crate) ask: u32,
}

/// What the rules want for an effect.
#[derive(Debug, Default)]
struct Wanted {
    needs: Vec<Need>,
    /// Why rules want nothing that would want something.
    waived: Vec<String>,
    /// Who hears of that.
    tell: Vec<(RoomName, String)>,
}

impl Invocation {
    /// Lets an effect pass that needs nobody or that was approved, or says why it never will be. Holds it where others have
    /// to be asked.
    pub(crate) async fn approved(
        &mut self,
        row: &CallSpec,
        attributes: &Attributes,
        params: &impl Serialize,
        rule: Rule,
    ) -> wasmtime::Result<Result<Rule, Vec<Reason>>> {
        let Some(replay) = self.replay_state().filter(|_| row.kind == CallKind::Acts) else { return Ok(Ok(rule)) };
        let place = replay.effects.len();
        let seen =
            attributes.iter().map(|(attribute, values)| (attribute.as_str().to_owned(), values.clone())).collect();
        let mut effect = Effect::new(row.name, seen, serde_json::json!(params), &replay.effects);
        let Wanted { needs, waived, tell } = self.wanted(row, attributes).await.map_err(GuestStop::Unkept)?;
        if self.request().command().override_reason().is_some() && !needs.is_empty() {
            return Ok(Err(self.not_overridden(row, attributes)));
        }
        effect.needs = needs;
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
        // Nobody is asked for a job that was called off.
        let no_more =
            |why: &str| refused(format!("the job was cancelled, and this needs an approval of its own: {why}"));
        let called_off = job_run.job.is_cancelled();
        if called_off && job_run.ask.is_none() && !effect.needs.is_empty() {
            return no_more("nobody was asked");
        }
        let Some(ask) = &job_run.ask else {
            return if effect.needs.is_empty() { Ok(Ok(rule)) } else { Err(held(None, 1).into()) };
        };
        match &ask.decision {
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
                if called_off {
                    return no_more(&why);
                }
                if ask.number >= MOST_ASKS {
                    return refused(format!("its plan changed {MOST_ASKS} times: {why}"));
                }
                Err(held(Some(why), ask.number + 1).into())
            }
            // What needs nobody can still be done, to tidy up; but not by one that left what was approved before.
            Some(Decision::NotApproved(_)) if effect.needs.is_empty() && ask.number == 1 => Ok(Ok(rule)),
            Some(Decision::NotApproved(why)) => refused(why.clone()),
            // It runs although the answer is open: it was called off, and was told.
            None if effect.needs.is_empty() => Ok(Ok(rule)),
            None => refused("it was cancelled before it was approved".to_owned()),
        }
    }

    /// The rules that oblige an effect.
    fn obliging(&self, row: &CallSpec, attributes: &Attributes) -> impl Iterator<Item = &Approval> {
        let rules = self.context().approvals.iter().filter(|_| !row.only_revokes);
        rules.filter(|rule| rule.obliges(row.name, attributes))
    }

    async fn wanted(&self, row: &CallSpec, attributes: &Attributes) -> Result<Wanted, StoreError> {
        let (access, caller, who) = (&self.context().access, self.request().caller(), self.request().asker());
        let command = self.request().command();
        let mut wanted = Wanted::default();
        let targets = self.targets(attributes);
        for rule in self.obliging(row, attributes) {
            let may = |role: &str| {
                let stands = |(app, environment): &(Option<String>, Option<String>)| {
                    access.holds_role(role, who, app.as_deref(), environment.as_deref())
                };
                targets.iter().all(stands)
            };
            match (command.override_reason(), &rule.break_glass) {
                // Where nobody would hear of it, it does not happen.
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
                _ if rule.known_good && self.is_known_good(row, attributes).await? => {
                    wanted.waived.push(format!("{}: this version succeeded there before", rule.text));
                }
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

    /// Why `--override` does not help here.
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
        self.obliging(row, attributes).map(reason).collect()
    }

    /// Whether this very version succeeded at this very place before, by this host: what somebody recorded is a word, and with
    /// other parameters it is another deployment.
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

    /// Under which name something is foretold in a dry run; `None` where it is done, or where it is no dry run.
    pub(crate) fn dry_run_name(&mut self, row: &CallSpec) -> Option<String> {
        let place = self.dry_run_state()?.replay.effects.len();
        matches!(row.kind, CallKind::Acts | CallKind::Waits).then(|| Effect::placeholder(place + 1))
    }

    /// Counts an effect that was tried, with the id that it gave.
    pub(crate) fn count_effect(&mut self, row: &CallSpec, attributes: &Attributes, answer: &impl Serialize) {
        if row.kind != CallKind::Acts {
            return;
        }
        let environments = attributes.get(&Attribute::Environment).cloned().unwrap_or_default();
        self.count(environments, answer);
    }

    /// Counts an effect that was tried before.
    pub(crate) fn replay_effect(&mut self, row: &CallSpec, begun: &Entry, answer: &impl Serialize) {
        let environments = begun.attributes.get(Attribute::Environment.as_str()).cloned().unwrap_or_default();
        if let Some(dry_run_state) = self.dry_run_state() {
            let arguments = begun.body["arguments"].clone();
            // As the plugin gives them: one value where the call takes one.
            let effect = Effect::new(row.name, begun.attributes.clone(), arguments, &dry_run_state.replay.effects);
            dry_run_state.effects.push(Effect { done: true, ..effect });
        }
        self.count(environments, answer);
    }

    /// The apps and environments of an effect. One of which they are not known counts as all: whoever approves of it stands for
    /// all of them.
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

fn values(attributes: &Attributes, attribute: Attribute, all: impl Iterator<Item = String>) -> Vec<Option<String>> {
    let known = attributes.get(&attribute).map(Vec::as_slice).unwrap_or_default();
    let mut values: Vec<Option<String>> = known.iter().cloned().map(Some).collect();
    if values.is_empty() {
        values = all.map(Some).collect();
    }
    if values.is_empty() { vec![None] } else { values }
}
