//! Writes the host calls of a plugin to the job's journal. During replay, returns the results of the calls from the
//! journal.
//!
//! Invariant: before an effect begins, its intent is stored: the journal entry that says that the effect is about to
//! happen. The result of a call is stored at the latest together with the next intent, the next wait or the end of the
//! job, so no effect depends on a result that a crash could lose. A failed write to the journal ends the guest; the job
//! continues later, by replay of the stored entries.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    authorize::Rule,
    host_call::{GuestError, HostCall, Parking},
    invocation::{CallInProgress, GuestStop, Invocation, JobRun, RunMode},
    redaction::without_secrets,
};
use crate::{
    base::{Text, as_words, redactor},
    job::{ActiveJob, Denied, NoReplay, Reason},
    metrics::{Decision, closed_outcomes, job_ended},
    model::{Attribute, Attributes, CallKind, CallSpec, RoomName},
    plugin::bindings::types,
    store::{DeploymentLock, Entry, EntryKind, JobStatus, StoreError, Write},
};

type GuestAnswer<C> = Result<<C as HostCall>::Answer, <C as HostCall>::Error>;

impl Invocation {
    /// Returns the result of a host call from the journal. Returns `None` if the journal does not contain the call,
    /// because the replay is finished.
    ///
    /// # Errors
    /// [`GuestStop::Diverged`] if the next call in the journal is a different call, or if the journal cannot be
    /// decoded; [`GuestStop::StoreFailed`] if the store is unavailable; [`GuestStop::ShuttingDown`] if the replay is
    /// finished and the host is shutting down.
    pub(crate) async fn answer_from_journal<C: HostCall>(
        &mut self,
        call: &C,
        row: &CallSpec,
        params: &C::Params,
    ) -> wasmtime::Result<Option<GuestAnswer<C>>> {
        // 1. The next entry of the journal, which must be of the same call with the same arguments.
        let context = self.context().clone();
        let job = self.job().is_some();
        let Some(replay) = self.replay_state_mut() else { return Ok(None) };
        let found = replay.replay.next(&*context.store, row.name, params).await.map_err(|error| match error {
            NoReplay::Differs(why) => GuestStop::Diverged(why),
            // The blob of an entry is missing or was changed, so the journal is damaged.
            NoReplay::Store(StoreError::Failed(why)) => GuestStop::Diverged(why),
            NoReplay::Store(error) => GuestStop::StoreFailed(error),
        })?;
        let Some(crate::job::ReplayStep { answer, begun: recorded }) = found else {
            // 2. The call is new. During a shutdown a job makes no new calls; it continues after the next start.
            return if job && context.stopping.is_cancelled() { Err(GuestStop::ShuttingDown.into()) } else { Ok(None) };
        };
        // 3. The recorded answer.
        let number = recorded.number;
        let answer: GuestAnswer<C> = serde::Deserialize::deserialize(answer).map_err(|error| {
            GuestStop::Diverged(format!("the host call result in journal entry {number} cannot be decoded: {error}"))
        })?;
        // 4. The counters and limits, as on the first run.
        if recorded.kind == EntryKind::Denied {
            self.tally.refuse(row);
            if let Ok(denied) = serde_json::from_value::<Denied>(recorded.body["denied"].clone()) {
                self.tally.denied(denied);
            }
        } else {
            self.tally.allow(row);
            if row.kind == CallKind::Acts {
                self.meter.act();
                self.replay_effect(row, &recorded, &answer);
            } else {
                self.meter.answer(&answer)?;
            }
        }
        // 5. The state that later calls of this run need.
        call.replayed(self, params, &answer, &recorded);
        Ok(Some(answer))
    }

    /// Records a refused host call in the journal, the log, the metrics and the job's closing message. Returns the
    /// denial that the plugin receives. The denial's reason is the kind of the first item of `reasons`. The denial's
    /// message contains the texts of all items.
    ///
    /// # Errors
    /// [`GuestStop::StoreFailed`] if the store is unavailable.
    pub(crate) async fn deny<A: Serialize, E: GuestError>(
        &mut self,
        row: &CallSpec,
        attributes: &Attributes,
        params: &impl Serialize,
        reasons: Vec<Reason>,
    ) -> wasmtime::Result<Result<A, E>> {
        let reasons = without_secrets(reasons);
        let reason = reasons.first().map_or("grant", |reason| reason.kind.as_str()).to_owned();
        let message = reasons.iter().map(|reason| reason.text.as_str()).collect::<Vec<_>>().join("; ");
        let answer = Err(E::denied(types::Denial { reason, message }));
        (self.freeze_guard, self.rights_guard) = (None, None);
        self.tally.refuse(row);
        self.count_decision(row, Decision::Denied);
        let denied =
            Denied { call: row.name.to_owned(), about: redactor().redact(&about(attributes)).into_owned(), reasons };
        let why = denied.texts();
        let add = denied.reasons.iter().find_map(|reason| reason.add.as_deref());
        let add = add.unwrap_or("no rule to suggest").replace('\n', " | ");
        tracing::warn!(
            plugin = self.plugin(),
            job = self.job_id(),
            call = row.name,
            about = denied.about,
            person = self.request().caller().id,
            why,
            add,
            "a host call of a plugin was refused for the reason in `why`; hint: if the call is wanted and the field `add` contains a rule or key, add that to plugins.toml"
        );
        let body = json!({ "arguments": params, "answer": answer, "denied": denied });
        self.tally.denied(denied);
        let entry = self.entry(EntryKind::Denied, row, &why, attributes, body);
        self.enter(entry, row, attributes, Vec::new()).await?;
        Ok(answer)
    }

    /// Records a call that the host did not perform, because its arguments are invalid, because another job holds a
    /// deployment lock of the effect, or because the job was cancelled. Returns `error`, which the plugin receives.
    ///
    /// # Errors
    /// [`GuestStop::StoreFailed`] if the store is unavailable.
    pub(crate) async fn record_not_tried<A: Serialize, E: GuestError>(
        &mut self,
        row: &CallSpec,
        attributes: &Attributes,
        params: &impl Serialize,
        error: E,
    ) -> wasmtime::Result<Result<A, E>> {
        let answer = Err(without_secrets(error));
        (self.freeze_guard, self.rights_guard) = (None, None);
        self.tally.refuse(row);
        self.count_decision(row, Decision::TurnedAway);
        let body = json!({ "arguments": params, "answer": answer });
        let entry = self.entry(EntryKind::Denied, row, "not tried", attributes, body);
        self.enter(entry, row, attributes, Vec::new()).await?;
        Ok(answer)
    }

    /// Returns the reason to refuse an effect that exceeds the limit `acts`: the maximum number of effects of one
    /// command.
    pub(crate) fn too_many_effects(&self) -> Reason {
        let text = format!("the command has reached its limit of {} effects", self.meter.limits().acts);
        let add = Some(format!("[plugin.{}.limits] acts = ...", self.plugin()));
        Reason { kind: "limit".to_owned(), text, add }
    }

    /// Returns the error `cancelled` for the first effect after the job was cancelled. Returns `None` for later
    /// effects, so that the plugin can clean up. Also returns `None` if the job was not cancelled.
    pub(crate) fn cancelled_error(&mut self, row: &CallSpec) -> Option<types::Problem> {
        let job_run = self
            .job_run()
            .filter(|job_run| row.kind == CallKind::Acts && job_run.job.is_cancelled() && !job_run.cancel_delivered)?;
        job_run.cancel_delivered = true;
        Some(cancelled())
    }

    /// Acquires the deployment locks of an effect. If another job holds one of the locks, acquires none of them and
    /// returns the error `busy`, which the plugin receives.
    ///
    /// # Errors
    /// [`GuestStop::QueuedForLock`] instead of `busy`, if the command has `--wait` and this job does not hold a lock
    /// yet. The job then waits in the queue of the lock.
    pub(crate) fn take_locks(
        &mut self,
        row: &CallSpec,
        attributes: &Attributes,
    ) -> wasmtime::Result<Result<(), types::Problem>> {
        let context = self.context().clone();
        let wait = self.request().command().options().wait;
        let (CallKind::Acts, Some(job_run)) = (row.kind, self.job_run()) else { return Ok(Ok(())) };
        let locks = if row.locks { locks(attributes) } else { Vec::new() };
        match context.locks.take(&locks, job_run.job.row()) {
            Ok(locks) => job_run.new_locks = locks,
            Err(busy) if wait && !busy.holds_another => return Err(GuestStop::QueuedForLock(busy.lock).into()),
            Err(busy) => return Ok(Err(types::Problem { code: "busy".to_owned(), message: busy.to_string() })),
        }
        Ok(Ok(()))
    }

    /// For an effect, stores the intent, the deployment locks and the announcements to other rooms in one transaction.
    /// The intent is the journal entry that says that the effect is about to happen. For other calls, stores nothing
    /// and only counts the call. If the job was cancelled and the plugin has not received this error yet, stores
    /// nothing and returns the error `cancelled` for the plugin.
    ///
    /// # Errors
    /// [`GuestStop::StoreFailed`] if the store is unavailable. The effect must then not be performed.
    pub(crate) async fn begin(
        &mut self,
        row: &CallSpec,
        attributes: &Attributes,
        rule: Rule,
        params: &impl Serialize,
    ) -> wasmtime::Result<Result<CallInProgress, types::Problem>> {
        if row.kind == CallKind::Acts {
            let entry = self.entry(EntryKind::Intent, row, &rule.text(), attributes, json!({ "arguments": params }));
            let context = self.context().clone();
            let mut notices = self.app_room_messages(attributes).await;
            let overrides = rule.notify.iter().enumerate();
            notices.extend(overrides.filter_map(|(nth, (room, text))| self.override_notice(nth, room, text)));
            let has_messages = !notices.is_empty();
            let mut number = 0;
            // The guard ends after the transaction, also if the guest ends at its wall limit before.
            let freeze_guard = self.freeze_guard.take();
            if let Some(JobRun { job, new_locks, cancel_delivered, .. }) = self.job_run() {
                let locks = std::mem::take(new_locks);
                let lock = |lock: &DeploymentLock| Write::Lock { lock: lock.clone(), job: job.row().id.clone() };
                let writes = locks.iter().map(lock).chain(notices).collect();
                let store = context.store.clone();
                let apply = move || {
                    context.locks.mark_stored(&locks);
                    drop(freeze_guard);
                    if has_messages {
                        context.outbox.wake();
                    }
                };
                // The cancellation can have arrived since the gate asked for it.
                let is_allowed = |job: &ActiveJob| *cancel_delivered || !job.is_cancelled();
                let stored = job.enter_if(store, is_allowed, vec![entry], writes, apply).await;
                let Some(stored) = stored.map_err(GuestStop::StoreFailed)? else {
                    *cancel_delivered = true;
                    return Ok(Err(cancelled()));
                };
                number = stored;
            }
            self.intent = number;
        }
        self.tally.allow(row);
        self.count_decision(row, Decision::Allowed);
        let attributes = if self.job().is_some() { attributes.clone() } else { Attributes::new() };
        Ok(Ok(CallInProgress { row: *row, rule, attributes }))
    }

    /// Returns the message that reports in `room` that the caller overrode an approval rule. Returns `None` if no bot
    /// has an account on the room's network. `nth` makes the message's idempotency key unique within the effect.
    fn override_notice(&self, nth: usize, room: &RoomName, text: &str) -> Option<Write> {
        let (job, replay) = (self.job()?, self.replay_state()?);
        let destination = self.context().outbox.destination(&job.row().bot, room)?;
        let key = format!("{}/told-{}-{nth}-{}", job.row().id, replay.effects.len(), destination.room);
        Some(Write::Send(destination.say(key, Text::lines(text))))
    }

    /// Stores the result of a host call, and the changes that the call made, in one transaction. A dry run stores
    /// nothing: values that the plugin wrote stay in memory until the end of the dry run.
    pub(crate) async fn record<A: Serialize, E: Serialize>(
        &mut self,
        call: CallInProgress,
        params: &impl Serialize,
        answer: &Result<A, E>,
    ) -> wasmtime::Result<()> {
        // 1. A dry run keeps the values that it writes in memory.
        if let RunMode::DryRun(dry_run_state) = &mut self.mode {
            for write in std::mem::take(&mut self.writes) {
                match write {
                    Write::SetValue { key, value, .. } => drop(dry_run_state.stored_values.insert(key, Some(value))),
                    Write::DeleteValue { key, .. } => drop(dry_run_state.stored_values.insert(key, None)),
                    _ => {}
                }
            }
        }
        if self.job().is_none() {
            return Ok(());
        }
        // 2. The entry: a result for an effect, a call otherwise.
        let kind = call.row.kind;
        let (entry_kind, body) = match kind {
            CallKind::Acts => (EntryKind::Result, json!({ "answer": answer })),
            _ => (EntryKind::Call, json!({ "arguments": params, "answer": answer })),
        };
        let mut entry = self.entry(entry_kind, &call.row, &call.rule.text(), &call.attributes, body);
        entry.of = (kind == CallKind::Acts).then_some(self.intent);
        // 3. The transaction.
        let writes = std::mem::take(&mut self.writes);
        self.enter(entry, &call.row, &call.attributes, writes).await
    }

    /// Stores the journal entry of a host call and the changes that the call made. For an effect that failed or was not
    /// performed, also releases its deployment locks, unless another effect of the job changed the same app and
    /// environment. The entry of a call that changes nothing is only queued; the next transaction stores it.
    async fn enter(
        &mut self,
        entry: Entry,
        row: &CallSpec,
        attributes: &Attributes,
        mut writes: Vec<Write>,
    ) -> wasmtime::Result<()> {
        let Some(job) = self.job().cloned() else { return Ok(()) };
        let unused = if row.kind == CallKind::Acts && row.locks { self.unused_locks(attributes) } else { Vec::new() };
        writes.extend(unused.iter().map(|lock| Write::Unlock { lock: lock.clone(), job: job.row().id.clone() }));
        let must_commit = matches!(entry.kind, EntryKind::Result) || row.kind == CallKind::Keeps;
        if writes.is_empty() && !must_commit {
            self.claims.clear();
            job.note(&*self.context().store, entry).await;
            return Ok(());
        }
        self.commit(&job, entry, writes, unused).await
    }

    /// Returns the deployment locks of a call that this job holds although none of its effects changed their app and
    /// environment.
    fn unused_locks(&self, attributes: &Attributes) -> Vec<DeploymentLock> {
        let (Some(job), Some(replay)) = (self.job(), self.replay_state()) else { return Vec::new() };
        let mut held = self.context().locks.held_by(&job.row().id);
        let of_call = locks(attributes);
        held.retain(|lock| of_call.contains(lock) && !replay.performed.changed(lock));
        held
    }

    /// Stores the journal entry of a wait and the job's new status in one transaction. The caller then ends the guest.
    pub(crate) async fn wait(
        &mut self,
        call: CallInProgress,
        params: &impl Serialize,
        parking: Parking,
    ) -> wasmtime::Result<()> {
        let body = json!({ "arguments": params, "timers": parking.timers });
        let entry = self.entry(EntryKind::Wait, &call.row, &call.rule.text(), &call.attributes, body);
        let writes = std::mem::take(&mut self.writes);
        if let Some(job) = self.job() {
            job.enter_with_status(&self.context().store, vec![entry], parking.status, writes)
                .await
                .map_err(GuestStop::StoreFailed)?;
            self.context().outbox.wake();
        }
        // The wake-up loop may currently wait for a later time.
        self.context().alarm.notify_one();
        Ok(())
    }

    /// Stores a journal entry and the changes of its call in one transaction, then makes the changes in memory. `unused`
    /// are the deployment locks whose rows the transaction removes. A separate task does both, so that a stored change
    /// is applied although the guest ends at its wall limit.
    async fn commit(
        &mut self,
        job: &Arc<ActiveJob>,
        entry: Entry,
        writes: Vec<Write>,
        unused: Vec<DeploymentLock>,
    ) -> wasmtime::Result<()> {
        let has_messages = writes.iter().any(|write| matches!(write, Write::Send(_)));
        let outcomes = closed_outcomes(&writes);
        let opens_job = writes.iter().any(|write| matches!(write, Write::Open(_)));
        let rights = |write: &&Write| matches!(write, Write::Grant(_) | Write::Revoke(_));
        let rights: Vec<Write> = writes.iter().filter(rights).cloned().collect();
        let (context, id) = (self.context().clone(), job.row().id.clone());
        let (store, claims) = (context.store.clone(), std::mem::take(&mut self.claims));
        let rights_guard = self.rights_guard.take();
        let apply = move || {
            outcomes.into_iter().for_each(job_ended);
            context.access.changed(&rights);
            drop(rights_guard);
            context.locks.mark_reserved(&unused, &id);
            drop(claims);
            if has_messages {
                context.outbox.wake();
            }
            if opens_job {
                // The wake-up loop may currently wait for a later time.
                context.alarm.notify_one();
            }
        };
        job.enter_and_apply(store, vec![entry], writes, apply).await.map_err(GuestStop::StoreFailed)?;
        Ok(())
    }

    fn entry(&self, kind: EntryKind, row: &CallSpec, rule: &str, attributes: &Attributes, body: Value) -> Entry {
        let redactor = redactor();
        let redact = |values: &Vec<String>| values.iter().map(|value| redactor.redact(value).into_owned()).collect();
        let attributes = attributes.iter().map(|(attribute, values)| (attribute.as_str().to_owned(), redact(values)));
        Entry {
            job: self.job_id().to_owned(),
            number: 0,
            kind,
            plugin: self.plugin().to_owned(),
            call: row.name.to_owned(),
            of: None,
            rule: redactor.redact(rule).into_owned(),
            attributes: attributes.collect(),
            body,
            blob: None,
            at: self.context().clock.now(),
        }
    }
}

/// Returns the error that the first effect after a cancellation returns to the plugin.
fn cancelled() -> types::Problem {
    types::Problem { code: "cancelled".to_owned(), message: "the job was cancelled".to_owned() }
}

/// Returns the deployment locks that an effect needs: one for every combination of its apps and environments.
fn locks(attributes: &Attributes) -> Vec<DeploymentLock> {
    let values = |attribute| attributes.get(&attribute).map(Vec::as_slice).unwrap_or_default();
    let environments = values(Attribute::Environment);
    let of = |app: &String| {
        let lock = |environment: &String| DeploymentLock { app: app.clone(), environment: environment.clone() };
        environments.iter().map(lock).collect::<Vec<_>>()
    };
    values(Attribute::App).iter().flat_map(of).collect()
}

/// Describes the attributes of a host call in one line: `cms/production version 1.0.2`. A value that is not a plain word
/// has quotation marks.
fn about(attributes: &Attributes) -> String {
    let values = |attribute| attributes.get(&attribute).filter(|values: &&Vec<String>| !values.is_empty());
    let one = |attribute| values(attribute).map(|values| as_words(values));
    let target = match (one(Attribute::App), one(Attribute::Environment)) {
        (Some(app), Some(environment)) => Some(format!("{app}/{environment}")),
        (app, environment) => app.or(environment).or_else(|| one(Attribute::Pipeline)),
    };
    let version = one(Attribute::Version).map(|version| format!("version {version}"));
    let key = one(Attribute::Key).map(|key| format!("key {key}"));
    let person = one(Attribute::Person).map(|person| format!("person {person}"));
    let role = one(Attribute::Role).map(|role| format!("role {role}"));
    [target, version, key, person, role].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// Returns the status of a job whose plugin is running. `now` is the time at which the status began.
pub(crate) fn running_status(now: jiff::Timestamp) -> JobStatus {
    JobStatus { phase: crate::store::JobPhase::Running, about: String::new(), since: now, wake: None }
}
