//! Approval requests of jobs: stores a request, shows it in a room and waits for the decision or the deadline.
//!
//! Invariant: the journal entry of an approval request and the message that shows the request are stored in one
//! transaction.
//! Not here: votes on a request, which are in `vote.rs`.

use std::{sync::Arc, time::Duration};

use serde_json::json;

use super::{
    drive::{DriveError, Step},
    jobs::Jobs,
};
use crate::{
    command::Asker,
    hostcall::{DryRun, GuestStop, Invocation, Plugin, ReplayState, RunMode, Unapproved, running_status},
    job::{
        ActiveJob, ApprovalRequest, Decision, Event, GuestInvocation, JobHistory, Plan, PlanEnd, Replay, StartEntry,
        approval_text, entry,
    },
    messaging::Destination,
    model::Limits,
    plugin::GuestEnd,
    policy::{Need, Request},
    store::{EntryKind, JobPhase, JobRow, JobStatus, OutboxKind, OutboxRow, StoreError, Write},
};

/// The maximum number of people that the message of an approval request mentions.
const MAX_MENTIONED: usize = 20;

impl Jobs {
    /// Requests an approval for a job. Computes the job's plan with a dry run, stores an approval request for the plan
    /// and sends the request to a room. `held` is the effect that needs the approval. If the approval rules have
    /// changed and the effect no longer needs an approval, requests nothing and returns [`Step::Continue`].
    pub(crate) async fn request_approval(
        &self,
        job: &Arc<ActiveJob>,
        plugin: &Arc<Plugin>,
        request: &Arc<Request>,
        start: &StartEntry,
        held: Unapproved,
    ) -> Result<Step, DriveError> {
        let history = Arc::new(job.read(&*self.context.store).await?);
        let replay = ReplayState::new(Replay::new(history.clone()), start.settings.clone());
        let (plan, _) = self.dry_run(plugin, request, replay, start.limits, &start.invocation).await?;
        // Step 1: compare the plan with the job. Up to the held effect, a plugin cannot detect that it is in a dry run,
        // so a different plan means that the plugin is not deterministic.
        if plan.check(held.index, &held.effect).is_err() {
            let why = format!(
                "its plugin is not deterministic: the job requested the effect {}, but a dry run did not",
                held.effect.about()
            );
            return Err(DriveError::Hold(why));
        }
        // Step 2: collect the approvals that the pending effects need. A job that deviated from its approved plan also
        // needs the approvals of this plan again.
        let before = history.ask().filter(|_| held.repeat_reason.is_some()).map(|ask| ask.needs);
        let mut needs: Vec<Need> = before.unwrap_or_default();
        for effect in plan.effects.iter().filter(|effect| !effect.done) {
            Need::join(&mut needs, &effect.needs);
        }
        // If the rules have changed since the effect was held, the job may not need an approval any more.
        if needs.is_empty() {
            return Ok(Step::Continue);
        }
        // Step 3: refuse a plan that is too long for one message.
        if !approval_text::can_be_shown(&plan) {
            let why = "its plan is too long for one message, so nobody can approve it; run commands with fewer effects"
                .to_owned();
            return Err(DriveError::Hold(why));
        }
        // Step 4: store the request, the job's status and the messages in one transaction.
        let within = needs.iter().map(|need| need.within).min().unwrap_or(0);
        let within = jiff::SignedDuration::from_millis(i64::try_from(within).unwrap_or(i64::MAX));
        let until = self.context.monotonic.now().saturating_add(within).unwrap_or(jiff::Timestamp::MAX);
        let ask = ApprovalRequest::new(held.number, needs, until, plan);
        let again = held.repeat_reason.map(|why| format!("requests approval again: {why}; ")).unwrap_or_default();
        let event = Event::ApprovalAsked {
            ask: ask.number,
            needs: ask.needs.clone(),
            until,
            plan: ask.plan.clone(),
            about: format!("{again}{}", approval_text::approval_line(&ask)),
        };
        let now = self.context.clock.now();
        let entry = entry(job.row(), EntryKind::Event, json!(event), now);
        let status = self.approval_status(job.row(), &ask, now);
        let mut writes = vec![Write::Send(self.approval_message(job.row(), &ask, now))];
        let context = &self.context;
        writes.extend(context.notices.asked(&context.outbox, &context.catalog, job.row(), &ask));
        job.enter_with_status(&self.context.store, vec![entry], status, writes).await?;
        self.context.outbox.wake();
        self.context.alarm.notify_one();
        Ok(Step::Yield)
    }

    /// Runs a plugin without performing its effects. Returns the plan, and the state of the plugin's run at its end.
    /// `replay` contains the results of the calls that the job has already made. `command` is the command that the
    /// plugin receives.
    ///
    /// # Errors
    /// Fails if the store is unavailable.
    pub(crate) async fn dry_run(
        &self,
        plugin: &Arc<Plugin>,
        request: &Arc<Request>,
        replay: ReplayState,
        limits: Limits,
        command: &GuestInvocation,
    ) -> Result<(Plan, Invocation), StoreError> {
        let mode = RunMode::DryRun(Box::new(DryRun::new(replay, command.job.clone())));
        let invocation = Invocation::new(self.context.clone(), request.clone(), mode, plugin.clone(), limits);
        let mut ran = crate::plugin::run(plugin, invocation, command).await;
        let end = match ran.end {
            GuestEnd::Reply(_) => PlanEnd::Ended,
            // A plan contains only text of the host, so it quotes the code of a failure and not its message.
            GuestEnd::Failure(failure) => PlanEnd::Broke(format!("failure `{}`", code(&failure.code))),
            GuestEnd::Stopped(GuestStop::Unpredictable) => PlanEnd::Depends,
            GuestEnd::Stopped(GuestStop::StoreFailed(error)) => return Err(error),
            GuestEnd::Stopped(stop) => PlanEnd::Broke(stop.to_string()),
            GuestEnd::Limit(limit) => PlanEnd::Broke(limit.to_string()),
            GuestEnd::Trap(why) => PlanEnd::Broke(format!("the plugin crashed: {why}")),
        };
        Ok((Plan { effects: ran.invocation.take_effects(), end }, ran.invocation))
    }

    /// Handles a job that waits for approval. Before the request's deadline, updates the remaining time in the message
    /// of the request. After the deadline, stores that the job was not approved.
    pub(crate) async fn wait_for_approval(
        &self,
        job: &Arc<ActiveJob>,
        history: &JobHistory,
    ) -> Result<Step, DriveError> {
        let Some(ask) = history.ask() else { return Ok(Step::Continue) };
        let (row, now) = (job.row(), self.context.clock.now());
        if self.context.monotonic.now() >= ask.until {
            let names: Vec<String> = ask.needs.iter().map(|need| need.from.join(" or ")).collect();
            let about = format!("the deadline passed without the approval of the role {}", names.join(" and "));
            let event = Event::NotApproved { ask: ask.number, by: None, about };
            let say = Write::Send(self.approval_message(row, &ask.with(&event), now));
            let entry = entry(row, EntryKind::Event, json!(event), now);
            job.enter_with_status(&self.context.store, vec![entry], running_status(now), vec![say]).await?;
            self.context.outbox.wake();
            return Ok(Step::Continue);
        }
        let status = self.approval_status(row, &ask, now);
        if row.status.phase != JobPhase::Approval || row.status.wake != status.wake {
            let say = Write::Send(self.approval_message(row, &ask, now));
            job.enter_with_status(&self.context.store, Vec::new(), status, vec![say]).await?;
            self.context.outbox.wake();
            self.context.alarm.notify_one();
        }
        Ok(Step::Yield)
    }

    /// Returns the status of a job that waits for approval. On a network that supports edits, the job's wake time is
    /// the next update of the remaining time in the message. On other networks, it is the deadline of the request.
    pub(crate) fn approval_status(&self, row: &JobRow, ask: &ApprovalRequest, now: jiff::Timestamp) -> JobStatus {
        let since = if row.status.phase == JobPhase::Approval { row.status.since } else { now };
        let destination = self.approval_room(row, ask);
        let edits =
            self.context.outbox.chat(&destination.bot, &destination.network).is_some_and(|chat| chat.features().edits);
        let wake = if edits { next_update(self.context.monotonic.now(), ask.until) } else { ask.until };
        let mut about = approval_text::approval_line(ask);
        if (&destination.network, &destination.room) != (&row.inbox.network, &row.inbox.room) {
            about.push_str(&format!(", requested in {}", destination.room));
        }
        JobStatus { phase: JobPhase::Approval, about, since, wake: Some(wake) }
    }

    /// Returns the room that shows an approval request: the room of the command's app, or the room of another app of the
    /// effects if these do not change the command's app. If the app has no room, returns the room of the command.
    fn approval_room(&self, row: &JobRow, ask: &ApprovalRequest) -> Destination {
        let mut changed =
            ask.needs.iter().flat_map(|need| &need.targets).filter_map(|(app, _)| app.as_deref()).peekable();
        let first = changed.peek().copied();
        let typed = row.app.as_deref().filter(|typed| first.is_none() || changed.any(|app| app == *typed));
        let room = typed.or(first).and_then(|app| self.context.catalog.app(app)?.room.clone());
        let configured = room.and_then(|room| self.context.outbox.destination(&row.bot, &room));
        let (bot, network, room) = (row.bot.clone(), row.inbox.network.clone(), row.inbox.room.clone());
        configured.unwrap_or(Destination { bot, network, room })
    }

    /// Returns the message that shows the current state of an approval request.
    pub(crate) fn approval_message(&self, row: &JobRow, ask: &ApprovalRequest, now: jiff::Timestamp) -> OutboxRow {
        let destination = self.approval_room(row, ask);
        let thumbs = self.context.outbox.trusts_relations(&destination.bot, &destination.network, &destination.room);
        let text = approval_text::message(row, ask, &self.people_to_mention(row, ask), now, thumbs);
        let say = destination.say(approval_text::key(&row.id, ask.number), text);
        OutboxRow { purpose: OutboxKind::Card { rest: true }, ..say }
    }

    /// Returns the final text of an approval request for a job that ended before the request was decided. Returns
    /// `None` if the request was decided.
    pub(crate) fn closed_approval_message(&self, row: &JobRow, ask: ApprovalRequest) -> Option<Write> {
        let decision = Some(Decision::NotApproved("the job has ended".to_owned()));
        let over = ask.decision.is_none().then_some(ApprovalRequest { decision, ..ask })?;
        Some(Write::Send(self.approval_message(row, &over, self.context.clock.now())))
    }

    /// Returns the ids of at most [`MAX_MENTIONED`] people who can approve a request: the members of the required
    /// roles, except for the person who started the job.
    pub(crate) fn people_to_mention(&self, row: &JobRow, ask: &ApprovalRequest) -> Vec<String> {
        let access = &self.context.access;
        let mut ids = Vec::new();
        for need in &ask.needs {
            // Members of a role that is limited to rooms are always mentioned, because the room of their answer is not
            // yet known.
            let can_approve = |id: &String| {
                let of_rooms = |role: &String| access.role(role).is_some_and(|role| role.rooms.is_some());
                self.context.access.may_give(need, Asker { bot: Some(&row.bot), ..Asker::from(id) })
                    || need.from.iter().any(of_rooms)
            };
            for id in need.from.iter().flat_map(|role| access.known_members(role)).filter(can_approve) {
                let may = !access.same_principal(&id, &row.caller.id) && !ids.contains(&id);
                if may && ids.len() < MAX_MENTIONED {
                    ids.push(id);
                }
            }
        }
        ids
    }
}

/// Cleans the failure code of a plugin: keeps ASCII letters, digits and `-`, and truncates the code to 40 characters.
fn code(code: &str) -> String {
    code.chars().filter(|sign| sign.is_ascii_alphanumeric() || *sign == '-').take(40).collect()
}

/// Returns the next time to update the message of an approval request, which shows the time until the deadline `until`.
/// The message is updated every hour, every 10 minutes in the last 2 hours, and every minute in the last 10 minutes.
fn next_update(now: jiff::Timestamp, until: jiff::Timestamp) -> jiff::Timestamp {
    let left: Duration = until.duration_since(now).try_into().unwrap_or_default();
    let step = match left.as_secs() {
        0..=600 => 60,
        601..=7200 => 600,
        _ => 3600,
    };
    // The message is updated when the remaining time is a multiple of `step`. An update within 5 seconds is skipped.
    let rest = left.as_secs() % step;
    let pause = if rest < 5 { rest + step } else { rest };
    let next = now.saturating_add(jiff::SignedDuration::from_secs(i64::try_from(pause).unwrap_or(i64::MAX)));
    next.unwrap_or(until).min(until)
}
