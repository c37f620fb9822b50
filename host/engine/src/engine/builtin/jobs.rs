//! The host's own commands about jobs and releases: `jobs`, `job`, `logs`, `cancel` and `release record`.
//!
//! Invariant: a job is shown to its caller, to admins, and to people with rights on its app and environment. Only its
//! caller, and people who may run its command on its app and environment, may change the job.

use crate::{
    base::{PREFIX, Text, clean},
    command::{Asker, Target, Value},
    engine::{
        host::Host,
        verdict::{Refusal, Verdict},
    },
    job::{JobHistory, Status, history},
    model::{Attribute, Outcome, Person, RunKey},
    policy::Authorized,
    runner::DoubtAnswer,
    store::{InboxRow, JobPhase, JobQuery, JobRow, Release, StoreError, Write},
};

/// The maximum number of jobs that one answer lists. Further jobs are left out.
const MAX_LISTED: u32 = 50;
/// The maximum number of jobs that the host reads from the store for one answer, among the jobs that wait for a time
/// (phases `Scheduled` and `Time`). The answer does not show further jobs.
const MAX_READ: u32 = 2_000;
/// The default of the option `--tail` of `logs`, in lines.
const DEFAULT_TAIL: i64 = 20;
/// The maximum of the option `--tail` of `logs`, in lines.
const MAX_TAIL: i64 = 200;
/// The maximum number of bytes that `logs` reads from the end of the output of one pipeline run.
const MAX_TAIL_BYTES: usize = 8_000;

pub(crate) fn malformed(message: impl Into<String>) -> Refusal {
    Refusal::Malformed(message.into())
}

pub(crate) fn read_failed(error: StoreError) -> Refusal {
    Refusal::Unable(format!("The jobs and releases cannot be read: {error}. Try again."))
}

impl Host {
    /// Runs the command `jobs`.
    pub(crate) async fn list_jobs(&self, person: &Person) -> Result<String, Refusal> {
        let jobs = self.open_jobs(person).await?;
        let mut lines: Vec<String> = jobs.iter().map(|job| self.job_line(job)).collect();
        let more = lines.len().saturating_sub(MAX_LISTED as usize);
        lines.truncate(MAX_LISTED as usize);
        if more > 0 {
            lines.push(format!("and {more} more"));
        }
        if lines.is_empty() {
            lines.push("No job is open.".to_owned());
        }
        Ok(lines.join("\n"))
    }

    fn job_line(&self, job: &JobRow) -> String {
        job.status_line(self.stage(job).as_deref())
    }

    /// Returns the progress that the status card of a running job shows: the stage that the plugin reported, and the
    /// pipeline run. Returns `None` if the job is not running or has no progress yet.
    fn stage(&self, job: &JobRow) -> Option<String> {
        self.jobs.running(&job.id).and_then(|job| job.card().shown())
    }

    /// Runs `job [ID] [assume done | again]`.
    pub(crate) async fn one_job(&self, authorized: &Authorized) -> Result<Verdict, Refusal> {
        let (person, message) = (authorized.caller(), authorized.message());
        let id = text(authorized, "id");
        let say = text(authorized, "say").map(|say| say.split_whitespace().collect::<Vec<_>>().join(" "));
        let doubt_answer = match say.as_deref() {
            None => None,
            Some("assume done") => Some(DoubtAnswer::AssumeDone),
            Some("again") => Some(DoubtAnswer::Again),
            Some(other) => {
                let id = clean(id.unwrap_or("ID"));
                return Err(malformed(format!(
                    "`{}` is neither the id of a job nor an answer for a job in doubt. Answer with \
                     `{PREFIX}job {id} assume done` or `{PREFIX}job {id} again`.",
                    clean(other)
                )));
            }
        };
        let waits_for_answer = |job: &JobRow| matches!(job.status.phase, JobPhase::InDoubt | JobPhase::Held);
        let fits = |job: &JobRow| doubt_answer.is_none() || waits_for_answer(job);
        let job = self.pick(message, person, id, fits).await?;
        let Some(doubt_answer) = doubt_answer else {
            let status = Status::read(&*self.context.store, &job, self.context.locks.held_by(&job.id)).await;
            return Ok(self.answered(message, Text::lines(status.text(&job, self.stage(&job).as_deref()))));
        };
        self.may_change(person, &job)?;
        let extra_writes = |answer: &str| self.extra_writes(message, answer);
        let answer = self.jobs.answer(job, person, doubt_answer, &extra_writes).await;
        answer.map(Verdict::CarriedOut).map_err(Refusal::Unable)
    }

    /// Runs `logs [ID] [--tail N]`.
    pub(crate) async fn logs(&self, authorized: &Authorized) -> Result<Verdict, Refusal> {
        let message = authorized.message();
        // 1. Determine the number of lines and the job.
        let tail = integer(authorized, "tail").unwrap_or(DEFAULT_TAIL).clamp(1, MAX_TAIL);
        let tail = usize::try_from(tail).unwrap_or(1);
        let job = self.pick(message, authorized.caller(), text(authorized, "id"), |_| true).await?;
        // 2. Read the pipeline runs that the job may have started.
        let history = match JobHistory::read(&*self.context.store, &job.id).await {
            Ok(history) => history,
            Err(error) => {
                let answer = format!("The output of job {} cannot be shown: {error}", job.id);
                return Ok(self.answered(message, Text::lines(answer)));
            }
        };
        let mut answer = Text::lines(self.job_line(&job));
        let starts: Vec<_> = history.entries().iter().filter(|entry| history.may_run(entry)).collect();
        if starts.is_empty() {
            answer.push_lines("The job has not started a pipeline run.");
        }
        // 3. Append the end of the output of each pipeline run, if the person has rights on the run's app and
        //    environment.
        for intent in starts {
            let Some(run) = history::run_of(&self.context.catalog, intent) else {
                answer.push_lines(
                    "The output of one pipeline run is not shown, because its pipeline is no longer configured.",
                );
                continue;
            };
            let access = &self.context.access;
            if !access.sees(authorized.asker(), Some(&run.app), Some(&run.environment)) {
                answer.push_lines(
                    "The output of one pipeline run is not shown, because you have no rights on its app and \
                     environment.",
                );
                continue;
            }
            match self.context.backends.get(run.backend).output(&run.key, &run.pipeline, MAX_TAIL_BYTES).await {
                Ok(output) if output.trim().is_empty() => {
                    answer.push_lines(format!("The pipeline run of `{}` has no output.", run.pipeline))
                }
                Ok(output) => {
                    let lines: Vec<&str> = output.lines().collect();
                    answer.push_lines(format!("Last output of {}:", run.pipeline));
                    answer.push_code(lines[lines.len().saturating_sub(tail)..].join("\n"));
                }
                Err(error) => answer.push_lines(format!(
                    "The output of the pipeline run of `{}` cannot be read: {error}",
                    run.pipeline
                )),
            }
        }
        Ok(self.answered(message, answer))
    }

    /// Runs `cancel [ID]`.
    pub(crate) async fn cancel(&self, authorized: &Authorized) -> Result<Verdict, Refusal> {
        let (person, message) = (authorized.caller(), authorized.message());
        let can_be_cancelled = |job: &JobRow| job.end.is_none() && self.may_change(person, job).is_ok();
        let job = self.pick(message, person, text(authorized, "id"), can_be_cancelled).await?;
        self.may_change(person, &job)?;
        if let Some(end) = &job.end {
            return Err(malformed(format!("Job {} has already ended: {}.", job.id, end.outcome.as_str())));
        }
        let answer = self.jobs.cancel(job, person, &|answer| self.extra_writes(message, answer)).await;
        answer.map(Verdict::CarriedOut).map_err(Refusal::Unable)
    }

    /// Runs `release record APP ENVIRONMENT VERSION`.
    pub(crate) async fn record(&self, authorized: &Authorized) -> Result<Verdict, Refusal> {
        let (person, command, message) = (authorized.caller(), authorized.command(), authorized.message());
        let typed = |attribute| command.typed(attribute).next().unwrap_or_default().to_owned();
        let now = self.context.clock.now();
        let name = crate::store::digest(format!("{:?}", message.key).as_bytes());
        let run = RunKey::parse(&format!("recorded-{}", &name["sha256:".len()..][..32])).ok_or_else(|| {
            malformed("Internal error: the release was not recorded. Report this bug with the host's log.")
        })?;
        let release = Release {
            run,
            app: typed(Attribute::App),
            environment: typed(Attribute::Environment),
            version: typed(Attribute::Version),
            person: person.clone(),
            job: String::new(),
            started: now,
            ended: now,
            outcome: Outcome::Succeeded,
            recorded: true,
        };
        let answer = format!(
            "Recorded: {} runs {} in {}, deployed without Wardroom. Rollbacks can start from this version or return \
             to it.",
            release.app, release.version, release.environment
        );
        let writes = std::iter::once(Write::Release(release)).chain(self.extra_writes(message, &answer)).collect();
        let committed = self.context.store.commit(writes).await;
        let unable = |error| Refusal::Unable(format!("The release was not recorded: {error}. Try again."));
        committed.map(|_| Verdict::CarriedOut(answer)).map_err(unable)
    }

    /// Returns further changes, which a host command stores in the same transaction as its main change: the audit
    /// record, the mark that the message is handled, and the reply. With a separate transaction, the host would run the
    /// command again after a crash in between. A command without a job id could then apply to a different job.
    pub(crate) fn extra_writes(&self, message: &InboxRow, answer: &str) -> Vec<Write> {
        let line = Write::AuditRecord(self.line(message));
        // A message of `Engine::ask` has no chat network, and its answer is not sent.
        let network = self.context.outbox.chat(&message.bot, &message.key.network);
        let say = network.map(|_| Write::Send(self.say(message, "answer", Text::lines(answer))));
        [line, Write::Handled(message.key.clone())].into_iter().chain(say).collect()
    }

    /// Finds the job to which a command applies, among the jobs that `person` may see. If `id` is given, returns the
    /// job with this id. If no id is given, considers only jobs for which `fits` returns true: first the jobs in the
    /// message's thread, then all open jobs. In the thread, an open job takes precedence over ended jobs.
    ///
    /// # Errors
    /// Fails with a refusal if no job is found, or if several jobs are found.
    pub(crate) async fn pick(
        &self,
        message: &InboxRow,
        person: &Person,
        id: Option<&str>,
        fits: impl Fn(&JobRow) -> bool,
    ) -> Result<JobRow, Refusal> {
        let store = &self.context.store;
        // 1. With an id, return that job.
        if let Some(id) = id {
            let job = store.job(&id.to_lowercase()).await.map_err(read_failed)?;
            // The refusal must not reveal whether the job exists.
            return job
                .filter(|job| self.may_see(person, job))
                .ok_or_else(|| malformed(format!("There is no job `{}`, or you may not see it.", clean(id))));
        }
        // 2. Without an id, search the thread of the message. In the thread of a job, no other job is meant.
        let mut found = self.jobs_of_thread(message).await?;
        let is_in_thread = !found.is_empty();
        found.retain(|job| self.may_see(person, job) && fits(job));
        if found.iter().any(|job| job.end.is_none()) {
            found.retain(|job| job.end.is_none());
        }
        // 3. Outside of such a thread, search all open jobs.
        if !is_in_thread {
            found = self.open_jobs(person).await?;
            found.retain(|job| fits(job));
        }
        // 4. There must be exactly one match.
        let several = |count: usize, ids: &str| {
            format!("{count} jobs match the command: {ids}. Add the id of one of them to the command.")
        };
        let place = if is_in_thread { " of this thread" } else { "" };
        only_job(found, several)?
            .ok_or_else(|| malformed(format!("No job{place} matches the command. `{PREFIX}jobs` lists the open jobs.")))
    }

    /// Returns the jobs whose messages go to the thread of a message, the newest first. Returns none for a message outside
    /// of a thread, or in a room whose relations the host cannot trust.
    pub(crate) async fn jobs_of_thread(&self, message: &InboxRow) -> Result<Vec<JobRow>, Refusal> {
        let Some(thread) = message.thread.as_ref().filter(|_| self.context.outbox.trusts_thread(message)) else {
            return Ok(Vec::new());
        };
        let thread = Some((message.key.network.clone(), message.key.room.clone(), thread.clone()));
        let query = JobQuery { thread, limit: Some(MAX_LISTED), ..JobQuery::default() };
        self.context.store.jobs(&query).await.map_err(read_failed)
    }

    /// Returns the open jobs that a person may see, newest first. Of the jobs that are scheduled or wait for a timer,
    /// reads at most [`MAX_READ`] jobs of all people, and at most [`MAX_READ`] jobs of this person.
    pub(crate) async fn open_jobs(&self, person: &Person) -> Result<Vec<JobRow>, Refusal> {
        let sleeping = vec![JobPhase::Time, JobPhase::Scheduled];
        let awake = JobPhase::ALL.into_iter().filter(|phase| !sleeping.contains(phase)).collect();
        let open = JobQuery { open: Some(true), ..JobQuery::default() };
        let queries = [
            JobQuery { phases: Some(awake), ..open.clone() },
            JobQuery { phases: Some(sleeping.clone()), limit: Some(MAX_READ), ..open.clone() },
            JobQuery { phases: Some(sleeping), caller: Some(person.id.clone()), limit: Some(MAX_READ), ..open },
        ];
        let mut jobs = Vec::new();
        for query in &queries {
            jobs.extend(self.context.store.jobs(query).await.map_err(read_failed)?);
        }
        let mut known = std::collections::HashSet::new();
        jobs.retain(|job| self.may_see(person, job) && known.insert(job.id.clone()));
        jobs.sort_by_key(|job| std::cmp::Reverse(job.opened));
        Ok(jobs)
    }

    pub(crate) fn may_see(&self, person: &Person, job: &JobRow) -> bool {
        let access = &self.context.access;
        let (app, environment) = (job.app.as_deref(), job.environment.as_deref());
        access.same_person(&job.caller.id, &person.id)
            || access.is_admin(&person.id)
            || self.may_start(person, job)
            || (app.is_some() && access.sees(through(job, person), app, environment))
    }

    /// Returns whether a person may run the command of a job on the job's app and environment. Only admins may run a
    /// command without an app.
    fn may_start(&self, person: &Person, job: &JobRow) -> bool {
        if job.app.is_none() {
            return self.context.access.is_admin(&person.id);
        }
        let target = Target::Plugin(job.plugin.as_str().into());
        let rights = self.context.access.rights(through(job, person), &job.command, target);
        let held = self.context.locks.held_by(&job.id);
        // If the command names no environment, the job's deployment locks determine the environments.
        if job.environment.is_none() && !held.is_empty() {
            return held.iter().all(|lock| rights.rule(Some(&lock.app), Some(&lock.environment)).is_some());
        }
        rights.rule(job.app.as_deref(), job.environment.as_deref()).is_some()
    }

    /// Checks that a person may cancel a job, retry a held job, or decide whether an effect in doubt happened.
    fn may_change(&self, person: &Person, job: &JobRow) -> Result<(), Refusal> {
        if self.context.access.same_person(&job.caller.id, &person.id) || self.may_start(person, job) {
            return Ok(());
        }
        let missing = self.context.access.missing(&job.command, job.app.as_deref(), job.environment.as_deref());
        Err(Refusal::Denied(format!("Job {} is not yours, and {missing}", job.id)))
    }
}

/// Returns `person` as if they had sent a command to the job's bot. Grants that were made in chat through another bot
/// do not apply to the job.
fn through<'a>(job: &'a JobRow, person: &'a Person) -> Asker<'a> {
    Asker { bot: Some(&job.bot), ..Asker::from(person) }
}

/// Returns the only job of `found`; `None` if `found` is empty. For several jobs, returns a refusal with the text
/// `several`. The arguments of `several` are the number of jobs and the ids of the first jobs.
pub(crate) fn only_job(
    mut found: Vec<JobRow>,
    several: impl FnOnce(usize, &str) -> String,
) -> Result<Option<JobRow>, Refusal> {
    if found.len() > 1 {
        let ids: Vec<&str> = found.iter().take(5).map(|job| job.id.as_str()).collect();
        return Err(malformed(several(found.len(), &ids.join(", "))));
    }
    Ok(found.pop())
}

pub(crate) fn integer(authorized: &Authorized, name: &str) -> Option<i64> {
    authorized.command().arguments().find_map(|(parameter, value)| match value {
        Value::Integer(number) if parameter.name == name => Some(*number),
        _ => None,
    })
}

pub(crate) fn text<'a>(authorized: &'a Authorized, name: &str) -> Option<&'a str> {
    authorized.command().arguments().find_map(|(parameter, value)| match value {
        Value::Text(text) if parameter.name == name => Some(text.as_str()),
        _ => None,
    })
}
