//! An action of a plugin: a job, journaled call by call, with a card and a closing line.

use std::sync::Arc;

use futures_util::future::join_all;

use super::Host;
use crate::{
    access::Authorized,
    capability::{Invocation, Purpose},
    command::Value,
    job::{Job, JobCard, entry, first_card, follow, persist, said},
    plugin::{GuestRun, LoadedPlugin, bindings::commands, bindings::types, run},
    port::Outcome,
    port::store::{EntryKind, InboxRow, JobEnd, JobOutcome, JobRow, Phase, Stand, StoreError, Write},
    reply::{closing, emoji, took},
};

/// How often a job's id is drawn again when it is taken.
const DRAWS: u32 = 8;

impl Host {
    /// Opens a job, runs it, closes it.
    pub(super) async fn action(
        self: &Arc<Self>,
        plugin: Arc<LoadedPlugin>,
        authorized: Arc<Authorized>,
    ) -> Result<(), StoreError> {
        let row = self.open(&plugin, &authorized).await?;
        self.shared.outbox.wake();
        let card = JobCard::begin(row.clone(), self.shared.store.clone(), self.shared.outbox.clone());
        let job = Arc::new(Job::new(row.clone(), card));
        let ran = {
            let Ok(_turn) = self.job_turns.acquire().await else { unreachable!("the semaphore is never closed") };
            let invocation =
                Invocation::new(self.shared.clone(), authorized.clone(), Purpose::Job(job.clone()), plugin.clone());
            run(&plugin, invocation, &asked(&authorized, &row.id)).await
        };
        self.close(authorized.message(), &row, job, ran).await
    }

    /// Opens a job in the transaction that marks its message as dealt with.
    async fn open(&self, plugin: &LoadedPlugin, authorized: &Authorized) -> Result<Arc<JobRow>, StoreError> {
        let message = authorized.message();
        let command = authorized.command();
        let mut draws = 0;
        loop {
            let now = self.shared.clock.now();
            let row = JobRow {
                id: draw_id(),
                inbox: message.key.clone(),
                thread: self.thread(message),
                bot: self.shared.access.bot.clone(),
                caller: message.sender.clone(),
                plugin: plugin.name.to_string(),
                digest: plugin.digest.clone(),
                command: command.spec().name.clone(),
                app: command.app().map(str::to_owned),
                environment: command.environment().map(str::to_owned),
                line: crate::reply::clean(command.line()),
                parent: None,
                opened: now,
                stand: Stand { phase: Phase::Working, about: String::new(), since: now, wake: None },
                end: None,
            };
            let body = serde_json::json!({
                "invocation": asked(authorized, &row.id),
                "line": row.line,
                "digest": row.digest,
                "settings": &*plugin.settings,
            });
            let entry = entry(&row, 0, EntryKind::Invocation, body, row.opened);
            let writes = vec![
                Write::Open(row.clone()),
                Write::Enter(entry),
                Write::Done(message.key.clone()),
                Write::Say(self.react(message, "👀")),
                Write::Say(first_card(&row)),
            ];
            match self.shared.store.commit(writes).await {
                Ok(_) => return Ok(Arc::new(row)),
                Err(StoreError::Failed(_)) if draws < DRAWS => draws += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Closes a job: how the guest ended, the last card, the closing line and the emoji are one transaction.
    async fn close(
        &self,
        message: &InboxRow,
        row: &Arc<JobRow>,
        job: Arc<Job>,
        ran: GuestRun,
    ) -> Result<(), StoreError> {
        let (mut outcome, mut text) = closing(row, &ran);
        let number = ran.invocation.entries() + 1;
        // The guest is gone and with it every other holder of the job.
        drop(ran);
        let unfinished = job.unfinished();
        if !unfinished.is_empty() {
            job.stage("the plugin ended before its run".to_owned());
            let meanwhile = format!("`{}` (job {}) ended before its run did.", row.line, row.id);
            let runs = unfinished.iter().map(|run| follow(&self.shared, row, run, &meanwhile));
            for followed in join_all(runs).await {
                outcome = with_run(outcome, followed.outcome);
                text.push_lines(followed.line);
            }
        }
        let now = self.shared.clock.now();
        let mut says = vec![said(row, "closing", text.clone()), self.react(message, emoji(outcome))];
        if let Some(job) = Arc::into_inner(job) {
            says.insert(0, job.into_card().end(outcome, &took(row.opened, now)).await);
        }
        let end = JobEnd { outcome, at: now, summary: text.plain() };
        let body = serde_json::json!({ "outcome": outcome.as_str(), "said": end.summary });
        let mut writes = vec![
            Write::Enter(entry(row, number, EntryKind::End, body, now)),
            Write::Close { job: row.id.clone(), end },
        ];
        writes.extend(says.into_iter().map(Write::Say));
        persist(&*self.shared.store, writes).await;
        self.shared.outbox.wake();
        Ok(())
    }
}

/// A job is not better than a run that nobody waited for.
fn with_run(outcome: JobOutcome, run: Option<Outcome>) -> JobOutcome {
    match (outcome, run) {
        (JobOutcome::Succeeded | JobOutcome::Warnings, Some(Outcome::Failed)) => JobOutcome::Failed,
        (JobOutcome::Succeeded | JobOutcome::Warnings, Some(Outcome::Cancelled)) => JobOutcome::Cancelled,
        (JobOutcome::Succeeded | JobOutcome::Warnings, Some(Outcome::Unknown) | None) => JobOutcome::Unknown,
        (outcome, _) => outcome,
    }
}

/// What the guest is given.
pub(super) fn asked(authorized: &Authorized, job: &str) -> commands::Invocation {
    let value = |value: &Value| match value {
        Value::Text(text) => commands::Value::Text(text.clone()),
        Value::Integer(number) => commands::Value::Integer(*number),
        Value::Boolean(yes) => commands::Value::Boolean(*yes),
    };
    let arguments = authorized.command().arguments();
    commands::Invocation {
        job: job.to_owned(),
        command: authorized.command().spec().name.clone(),
        arguments: arguments
            .map(|(parameter, given)| commands::Argument { name: parameter.name.clone(), value: value(given) })
            .collect(),
        caller: types::Person { id: authorized.caller().id.clone(), name: authorized.caller().name.clone() },
    }
}

/// Five letters and digits that are not mistaken for others when they are read aloud.
fn draw_id() -> String {
    const SIGNS: &[u8; 31] = b"23456789abcdefghjkmnpqrstuvwxyz";
    let mut random = [0_u8; 5];
    if getrandom::fill(&mut random).is_err() {
        // Without a source of randomness the clock keeps ids apart; a taken one is drawn again.
        random.copy_from_slice(&jiff::Timestamp::now().as_nanosecond().to_le_bytes()[..5]);
    }
    random.iter().map(|byte| char::from(SIGNS[usize::from(*byte) % SIGNS.len()])).collect()
}
