//! A job waits for other people: it asks, they answer, and each answer is an entry of its journal.
//!
//! Invariant: who may answer is judged at that moment, on the person and not on the id. Each answer is one transaction
//! with the message that it changes and the mark that it was dealt with.
//! Not here: which effects need whom (`capability::approve`), and how answers are counted (`crate::approval`).

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use serde_json::json;

use super::{
    Begun, Job, Jobs, Replay, Standing, Tape, TapeError, WithOrder,
    drive::{Step, Trouble},
    entry, first_card, said,
};
use crate::{
    access::{Asker, Authorized},
    approval::{self, Ask, Counted, Decision, Effect, Event, Need, Plan, PlanEnd},
    capability::{Held, Invocation, Past, Purpose, Rehearsal, Stop, working},
    plugin::{GuestEnd, Limits, LoadedPlugin, bindings::commands, run},
    port::{
        StoreError,
        store::{Entry, EntryKind, InboxRow, JobRow, OutboxRow, Phase, Purpose as OutboxPurpose, Stand, Write},
    },
    reply::{clean, who_is},
};

/// No more people than this are called by name.
const MOST_CALLED: usize = 20;
/// A reason is kept up to here, in bytes.
const LONGEST_REASON: usize = 500;

/// What somebody says of an ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Vote {
    /// Yes; the event of the reaction, if it was one.
    Approve(Option<String>),
    /// No; why.
    Deny(String),
    /// The reaction of this event was taken away.
    Withdraw(String),
}

/// Why what somebody says changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoVote {
    /// They may not say it.
    Denied(String),
    /// There is nothing to be said, or not any more.
    Over(String),
    /// It cannot be written down now.
    Unable(String),
}

impl Jobs {
    /// Finds out what a job is about to do, writes it down, and asks.
    pub(super) async fn ask_others(
        &self,
        job: &Arc<Job>,
        plugin: &Arc<LoadedPlugin>,
        authorized: &Arc<Authorized>,
        begun: &Begun,
        held: Held,
    ) -> Result<Step, Trouble> {
        let tape = Arc::new(job.read(&*self.shared.store).await?);
        let past = Past::new(Replay::new(tape.clone()), begun.settings.clone());
        let (plan, _) = self.rehearse(plugin, authorized, past, begun.limits, &begun.invocation).await?;
        // The plugin cannot know that it is a dry run before its first effect is held; one that does something else has guessed.
        let same = plan.effects.get(held.place).is_some_and(|effect| {
            (&effect.call, &effect.attributes, &effect.arguments)
                == (&held.effect.call, &held.effect.attributes, &held.effect.arguments)
        });
        if !same {
            let why =
                format!("its plugin does something else in a dry run: {} is not in its plan", held.effect.about());
            return Err(Trouble::Hold(why, true));
        }
        // One that leaves what was approved is asked for by those who approved of that.
        let before = tape.ask().filter(|_| held.again.is_some()).map(|ask| ask.needs);
        let mut needs: Vec<Need> = before.unwrap_or_default();
        for effect in plan.effects.iter().filter(|effect| !effect.done) {
            Need::join(&mut needs, &effect.needs);
        }
        // Meanwhile nobody has to be asked any more.
        if needs.is_empty() {
            return Ok(Step::GoOn);
        }
        if !approval::fits(&plan) {
            let why = "what it is about to do is too long to be shown whole, so nobody can approve of it".to_owned();
            return Err(Trouble::Hold(why, true));
        }
        let within = needs.iter().map(|need| need.within).min().unwrap_or(0);
        let within = jiff::SignedDuration::from_millis(i64::try_from(within).unwrap_or(i64::MAX));
        let until = self.shared.steady.now().saturating_add(within).unwrap_or(jiff::Timestamp::MAX);
        let ask = Ask { number: held.ask, needs, until, plan, given: Vec::new(), decision: None };
        let again = held.again.map(|why| format!("asks again: {why}; ")).unwrap_or_default();
        let event = Event::ApprovalAsked {
            ask: ask.number,
            needs: ask.needs.clone(),
            until,
            plan: ask.plan.clone(),
            about: format!("{again}{}", approval::line(&ask)),
        };
        let now = self.shared.clock.now();
        let entry = entry(job.row(), EntryKind::Event, json!(event), now);
        let stand = self.stand_of(job.row(), &ask, now);
        let say = Write::Say(self.asks(job.row(), &ask, now));
        job.enter_and_stand(&*self.shared.store, vec![entry], stand, vec![say]).await?;
        self.shared.outbox.wake();
        self.shared.alarm.notify_one();
        Ok(Step::Rest)
    }

    /// Runs a plugin without any of its effects. Gives what it would do, and the invocation that did it.
    ///
    /// # Errors
    /// What it reads cannot be read now.
    pub(crate) async fn rehearse(
        &self,
        plugin: &Arc<LoadedPlugin>,
        authorized: &Arc<Authorized>,
        past: Past,
        limits: Limits,
        asked: &commands::Invocation,
    ) -> Result<(Plan, Invocation), StoreError> {
        let purpose = Purpose::Plan(Box::new(Rehearsal::new(past, asked.job.clone())));
        let invocation = Invocation::new(self.shared.clone(), authorized.clone(), purpose, plugin.clone(), limits);
        let mut ran = run(plugin, invocation, asked).await;
        let end = match ran.end {
            GuestEnd::Reply(_) => PlanEnd::Ended,
            // Its code and not its sentence: the words of a plan are the host's.
            GuestEnd::Failure(failure) => PlanEnd::Broke(format!("with the failure `{}`", code(&failure.code))),
            GuestEnd::Stopped(Stop::Unforetold) => PlanEnd::Depends,
            GuestEnd::Stopped(Stop::Unkept(error)) => return Err(error),
            GuestEnd::Stopped(stop) => PlanEnd::Broke(stop.to_string()),
            GuestEnd::Limit(limit) => PlanEnd::Broke(limit.to_string()),
            GuestEnd::Trap(why) => PlanEnd::Broke(format!("it breaks: {why}")),
        };
        let effects: Vec<Effect> = ran.invocation.take_effects();
        Ok((Plan { effects, end }, ran.invocation))
    }

    /// A job that asked is looked at: the time may be over, or what is left of it is to be shown anew.
    pub(super) async fn wait_for_others(&self, job: &Arc<Job>, tape: &Tape) -> Result<Step, Trouble> {
        let Some(ask) = tape.ask() else { return Ok(Step::GoOn) };
        let (row, now) = (job.row(), self.shared.clock.now());
        if self.shared.steady.now() >= ask.until {
            let names: Vec<String> = ask.needs.iter().map(|need| need.from.join(" or ")).collect();
            let about = format!("there was no approval ({}) in time", names.join(" and "));
            let event = Event::NotApproved { ask: ask.number, by: None, about };
            let say = Write::Say(self.asks(row, &ask.with(&event), now));
            let entry = entry(row, EntryKind::Event, json!(event), now);
            job.enter_and_stand(&*self.shared.store, vec![entry], working(now), vec![say]).await?;
            self.shared.outbox.wake();
            return Ok(Step::GoOn);
        }
        let stand = self.stand_of(row, &ask, now);
        if row.stand.phase != Phase::Approval || row.stand.wake != stand.wake {
            let say = Write::Say(self.asks(row, &ask, now));
            job.enter_and_stand(&*self.shared.store, Vec::new(), stand, vec![say]).await?;
            self.shared.outbox.wake();
            self.shared.alarm.notify_one();
        }
        Ok(Step::Rest)
    }

    /// Where a job stands that asked. It is looked at when the time is over, and before that to say how much is left.
    fn stand_of(&self, row: &JobRow, ask: &Ask, now: jiff::Timestamp) -> Stand {
        let since = if row.stand.phase == Phase::Approval { row.stand.since } else { now };
        let edits = self
            .place_of(row, ask)
            .is_some_and(|(network, _)| self.shared.outbox.chat(&network).is_some_and(|chat| chat.abilities().edits));
        let wake = if edits { next_look(self.shared.steady.now(), ask.until) } else { ask.until };
        let mut about = approval::line(ask);
        if let Some((network, room)) = self.place_of(row, ask)
            && (&network, &room) != (&row.inbox.network, &row.inbox.room)
        {
            about.push_str(&format!(", asked for in {room}"));
        }
        Stand { phase: Phase::Approval, about, since, wake: Some(wake) }
    }

    /// Where an ask is shown: in the app's room, or where it was typed.
    fn place_of(&self, row: &JobRow, ask: &Ask) -> Option<(String, String)> {
        let apps = ask.needs.iter().flat_map(|need| &need.places).find_map(|(app, _)| app.clone());
        let room = apps.or_else(|| row.app.clone()).and_then(|app| self.shared.catalog.app(&app)?.room.clone());
        let configured = room.and_then(|room| self.shared.outbox.place(&room));
        let typed = || (row.inbox.network.clone(), row.inbox.room.clone());
        Some(configured.map_or_else(typed, |(network, name)| (network.to_owned(), name)))
    }

    /// The message that asks, as it stands now.
    fn asks(&self, row: &JobRow, ask: &Ask, now: jiff::Timestamp) -> OutboxRow {
        let typed = said(row, "approval", approval::message(row, ask, &self.called(row, ask), now));
        let (network, room) = self.place_of(row, ask).unwrap_or((typed.network, typed.room));
        OutboxRow {
            key: approval::key(&row.id, ask.number),
            network,
            room,
            thread: None,
            purpose: OutboxPurpose::Card { rest: true },
            text: typed.text,
        }
    }

    /// The message of an ask that nobody answers any more, because its job is over.
    pub(super) fn asks_no_more(&self, row: &JobRow, tape: &Tape) -> Option<Write> {
        let mut ask = tape.ask().filter(|ask| ask.decision.is_none())?;
        ask.decision = Some(Decision::NotApproved("the job is over".to_owned()));
        Some(Write::Say(self.asks(row, &ask, self.shared.clock.now())))
    }

    /// Those who can approve and are named by the rules.
    fn called(&self, row: &JobRow, ask: &Ask) -> Vec<String> {
        let access = &self.shared.access;
        let mut ids = Vec::new();
        for need in &ask.needs {
            // Where a role counts in some rooms alone, who says something there is judged when they do.
            let stands = |id: &String| {
                let of_rooms = |role: &String| access.role(role).is_some_and(|role| role.rooms.is_some());
                self.stands(need, Asker::from(id)) || need.from.iter().any(of_rooms)
            };
            for id in need.from.iter().flat_map(|role| access.named_in(role)).filter(stands) {
                let may = !access.same_person(&id, &row.caller.id) && !ids.contains(&id);
                if may && ids.len() < MOST_CALLED {
                    ids.push(id);
                }
            }
        }
        ids
    }

    /// Whether a person stands for all that a need is about.
    fn stands(&self, need: &Need, who: Asker<'_>) -> bool {
        let access = &self.shared.access;
        let in_role = |role: &String| {
            need.places
                .iter()
                .all(|(app, environment)| access.stands_for(role, who, app.as_deref(), environment.as_deref()))
        };
        need.from.iter().any(in_role)
    }

    /// Whether a person may answer for a job that asks.
    pub(crate) async fn may_vote(&self, row: &JobRow, who: Asker<'_>) -> bool {
        if row.stand.phase != Phase::Approval || self.shared.access.same_person(&row.caller.id, who.id) {
            return false;
        }
        match Tape::read(&*self.shared.store, &row.id).await {
            Ok(tape) => tape.ask().is_some_and(|ask| ask.needs.iter().any(|need| self.stands(need, who))),
            Err(_) => false,
        }
    }

    /// Somebody answers. `number` says which ask is meant, where that is known. Gives what happens now, one line; `with` is given
    /// the same.
    ///
    /// # Errors
    /// [`NoVote`]; nothing was changed.
    pub(crate) async fn vote(
        self: &Arc<Self>,
        row: JobRow,
        number: Option<u32>,
        message: &InboxRow,
        vote: Vote,
        with: WithOrder<'_>,
    ) -> Result<String, NoVote> {
        // A job that does not ask is at work, perhaps for long: nobody waits for that.
        self.asking(&row.id, number, &vote).await?;
        // Who is in which room and group, as it is now.
        self.shared.access.look(&self.shared.outbox).await;
        let Some(claim) = self.shared.claims.claim_soon(&row.id).await else {
            return Err(NoVote::Unable(format!("job {} is being looked at; try again", row.id)));
        };
        let (row, tape, ask) = self.asking(&row.id, number, &vote).await?;
        let (events, told) = self.counted(&row, &ask, message, vote)?;
        let now = self.shared.clock.now();
        let after = events.iter().fold(ask, Ask::with);
        let decided = after.decision.is_some();
        let mut writes = Vec::new();
        for (event, number) in events.iter().zip(tape.next()..) {
            let entry = entry(&row, EntryKind::Event, json!(event), now);
            writes.push(Write::Enter(Entry { number, ..entry }));
        }
        if !events.is_empty() {
            let stand = if decided { working(now) } else { self.stand_of(&row, &after, now) };
            writes.push(Write::Stand { job: row.id.clone(), stand: stand.clone() });
            writes.push(Write::Say(self.asks(&row, &after, now)));
            let edits = self.shared.outbox.chat(&row.inbox.network).is_some_and(|chat| chat.abilities().edits);
            // Elsewhere the message that asks says it once more, and that is enough.
            if !decided && edits {
                writes.push(Write::Say(first_card(&JobRow { stand, ..row.clone() })));
            }
        }
        writes.extend(with(&told));
        self.shared.store.commit(writes).await.map_err(|error| unable(&error))?;
        self.shared.outbox.wake();
        self.shared.alarm.notify_one();
        drop(claim);
        if decided {
            self.take_up(JobRow { stand: working(now), ..row });
        }
        Ok(told)
    }

    /// What a job asks now.
    async fn asking(&self, id: &str, number: Option<u32>, vote: &Vote) -> Result<(JobRow, Tape, Ask), NoVote> {
        let over = |why: &str| NoVote::Over(format!("Job {id} waits for no approval{why}."));
        let row = self.shared.store.job(id).await.map_err(|error| unable(&error))?.ok_or_else(|| over(""))?;
        if row.end.is_some() {
            return Err(over(": it is over"));
        }
        let tape = match Tape::read(&*self.shared.store, id).await {
            Ok(tape) => tape,
            Err(TapeError::Store(error)) => return Err(unable(&error)),
            Err(broken) => return Err(over(&format!(": {broken}"))),
        };
        let ask = match (tape.standing(), tape.ask()) {
            (Standing::Asks, Some(ask)) => ask,
            (_, Some(Ask { decision: Some(Decision::Approved), .. })) => return Err(over(": it was approved")),
            (_, Some(Ask { decision: Some(Decision::NotApproved(_)), .. })) => {
                return Err(over(": it was not approved"));
            }
            _ => return Err(over("")),
        };
        match number {
            Some(number) if number != ask.number => {
                return Err(NoVote::Over(format!("Job {id} asked again since; this is about what it asked before.")));
            }
            // Whoever types the job's id alone may have seen the first message alone.
            None if ask.number > 1 && matches!(vote, Vote::Approve(_)) => {
                let handle = approval::handle(id, ask.number);
                return Err(NoVote::Over(format!(
                    "Job {id} asked again, for something else: look at that, and say `approve {handle}`."
                )));
            }
            _ => {}
        }
        if self.shared.steady.now() >= ask.until {
            return Err(over(" any more: the time is over"));
        }
        Ok((row, tape, ask))
    }

    /// What an answer adds to the journal, and what is told.
    fn counted(&self, row: &JobRow, ask: &Ask, message: &InboxRow, vote: Vote) -> Result<(Vec<Event>, String), NoVote> {
        let (access, number) = (&self.shared.access, ask.number);
        let (by, who) = (&message.sender, Asker::from(message));
        let name = who_is(&by.id, &by.name);
        if let Vote::Withdraw(reaction) = &vote {
            let given = ask.given.iter().find(|given| given.reaction.as_ref() == Some(reaction));
            let Some(given) = given else {
                return Err(NoVote::Over(format!("Nothing was said of job {} by that.", row.id)));
            };
            let about = format!("{} takes the approval back", who_is(&given.id, &given.name));
            let event = Event::ApprovalWithdrawn { ask: number, by: given.id.clone(), about: about.clone() };
            return Ok((vec![event], format!("job {}: {about}", row.id)));
        }
        if access.same_person(&by.id, &row.caller.id) {
            let help = self.who_can(row, ask);
            return Err(NoVote::Denied(format!(
                "You asked for job {} yourself: somebody else has to approve ({help}).",
                row.id
            )));
        }
        let counts: BTreeSet<usize> =
            ask.needs.iter().enumerate().filter(|(_, need)| self.stands(need, who)).map(|(at, _)| at).collect();
        if counts.is_empty() {
            let help = self.who_can(row, ask);
            return Err(NoVote::Denied(format!("You may not approve job {}: that takes {help}.", row.id)));
        }
        match vote {
            Vote::Deny(reason) => {
                let mut reason = clean(reason.trim());
                reason.truncate(reason.floor_char_boundary(LONGEST_REASON));
                let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
                let about = format!("{name} said no{why}");
                let event = Event::NotApproved { ask: number, by: Some(by.id.clone()), about };
                Ok((vec![event], format!("job {} is not approved", row.id)))
            }
            Vote::Approve(reaction)
                if let Some(given) = ask.given.iter().find(|given| access.same_person(&given.id, &by.id)) =>
            {
                // What is typed stands, also where a reaction that said it first is taken away.
                let typed = reaction.is_none() && given.reaction.is_some();
                let about = format!("{name} approves by command too");
                let again = Counted { reaction: None, ..given.clone() };
                let event = typed.then(|| Event::ApprovalGiven { ask: number, by: again, about });
                let told = format!("job {}: you approved already; {}", row.id, approval::line(ask));
                Ok((event.into_iter().collect(), told))
            }
            Vote::Approve(reaction) => {
                let counted = Counted { id: by.id.clone(), name: clean(&by.name), counts, reaction };
                let given = Event::ApprovalGiven { ask: number, by: counted, about: format!("{name} approves") };
                let after = ask.clone().with(&given);
                if !after.is_met() {
                    return Ok((vec![given], format!("job {}: {}", row.id, approval::line(&after))));
                }
                let approved = Event::Approved { ask: number, about: "it is approved".to_owned() };
                Ok((vec![given, approved], format!("job {} is approved and goes on", row.id)))
            }
            Vote::Withdraw(_) => unreachable!("it was taken above"),
        }
    }

    /// Who can approve, in words.
    fn who_can(&self, row: &JobRow, ask: &Ask) -> String {
        let roles: BTreeSet<&str> = ask.needs.iter().flat_map(|need| &need.from).map(String::as_str).collect();
        let roles: Vec<&str> = roles.into_iter().collect();
        let called = self.called(row, ask);
        match called.is_empty() {
            true => format!("the role {}", roles.join(" or ")),
            false => format!("the role {}: {}", roles.join(" or "), called.join(", ")),
        }
    }
}

/// A failure's code as far as it is one.
fn code(code: &str) -> String {
    code.chars().filter(|sign| sign.is_ascii_alphanumeric() || *sign == '-').take(40).collect()
}

fn unable(error: &StoreError) -> NoVote {
    NoVote::Unable(format!("nothing was changed: {error}"))
}

/// When what is left of the time is to be said next: each minute near the end, and seldom before.
fn next_look(now: jiff::Timestamp, until: jiff::Timestamp) -> jiff::Timestamp {
    let left: Duration = until.duration_since(now).try_into().unwrap_or_default();
    let step = match left.as_secs() {
        0..=600 => 60,
        601..=7200 => 600,
        _ => 3600,
    };
    // So that it is said when a round number is left.
    let rest = left.as_secs() % step;
    let pause = if rest < 5 { rest + step } else { rest };
    let next = now.saturating_add(jiff::SignedDuration::from_secs(i64::try_from(pause).unwrap_or(i64::MAX)));
    next.unwrap_or(until).min(until)
}
