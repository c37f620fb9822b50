//! The host's own commands about jobs and releases: `jobs`, `job`, `logs`, `cancel`, `release record`.
//!
//! Invariant: a job is shown to its caller, to admins, and to people with rights on its app and environment. It can be
//! changed by its caller and by people who may start its command there.

use crate::{
    base::{Text, clean},
    command::{Asker, Target, Value},
    engine::{
        host::Host,
        verdict::{Refusal, Verdict},
    },
    job::{JobHistory, Status, history, status},
    model::{Attribute, Outcome, Person, RunKey},
    policy::Authorized,
    runner::DoubtAnswer,
    store::{InboxRow, JobPhase, JobQuery, JobRow, Release, StoreError, Write},
};

/// The most jobs that one answer lists.
const MAX_LISTED: u32 = 50;
/// The most jobs that are read from the store for one answer.
const MAX_READ: u32 = 2_000;
/// The default and the maximum of `--tail`, in lines, and the most output of one run that is read, in bytes.
const DEFAULT_TAIL: i64 = 20;
const MAX_TAIL: i64 = 200;
const MAX_TAIL_BYTES: usize = 8_000;

type Answer = Result<String, Refusal>;

pub(crate) fn malformed(message: impl Into<String>) -> Refusal {
    Refusal::Malformed(message.into())
}

pub(crate) fn read_failed(error: &StoreError) -> Refusal {
    Refusal::Unable(format!("the jobs cannot be read now: {error}"))
}

impl Host {
    /// Runs `jobs`.
    pub(crate) async fn list_jobs(&self, person: &Person) -> Answer {
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
        status::status_line(job, self.stage(job).as_deref())
    }

    /// The current line of a job's card; `None` if the job does not run.
    fn stage(&self, job: &JobRow) -> Option<String> {
        self.jobs.running(&job.id).and_then(|job| job.card().shown())
    }

    /// Runs `job [ID] [assume done | again]`.
    pub(crate) async fn one_job(&self, authorized: &Authorized) -> Result<Verdict, Refusal> {
        let (person, message) = (authorized.caller(), authorized.message());
        let (mut id, mut say) = (text(authorized, "id"), text(authorized, "say"));
        // Without an id, the first word belongs to the answer.
        if id.is_some_and(|word| word == "again" || word == "assume") {
            let words = [id, say].into_iter().flatten().collect::<Vec<_>>().join(" ");
            say = Some(if words == "again" { "again" } else { "assume done" }).filter(|known| *known == words).or(say);
            id = None;
        }
        let said = match say {
            None => None,
            Some("assume done") => Some(DoubtAnswer::AssumeDone),
            Some("again") => Some(DoubtAnswer::Again),
            Some(other) => {
                return Err(malformed(format!(
                    "`{}` says nothing about a job: `assume done` or `again` do.",
                    clean(other)
                )));
            }
        };
        let asks = |job: &JobRow| matches!(job.status.phase, JobPhase::InDoubt | JobPhase::Held);
        let job = match said {
            None => self.pick(message, person, id, |_| true).await?,
            Some(_) => self.pick(message, person, id, asks).await?,
        };
        match said {
            None => {
                let status = Status::read(&*self.context.store, &job, self.context.locks.held_by(&job.id)).await;
                Ok(self.answered(message, Text::lines(status.text(&job, self.stage(&job).as_deref()))))
            }
            Some(said) => {
                self.may_change(person, &job)?;
                let told = self.jobs.answer(job, person, said, &|told| self.extra_writes(message, told)).await;
                carried_out(told.map_err(Refusal::Unable))
            }
        }
    }

    /// Runs `logs [ID] [--tail N]`.
    pub(crate) async fn logs(&self, authorized: &Authorized) -> Verdict {
        // 1. Determine the number of lines and the job.
        let tail = authorized.command().arguments().find_map(|(parameter, value)| match value {
            Value::Integer(lines) if parameter.name == "tail" => Some(*lines),
            _ => None,
        });
        let tail = usize::try_from(tail.unwrap_or(DEFAULT_TAIL).clamp(1, MAX_TAIL)).unwrap_or(1);
        let id = text(authorized, "id");
        let job = match self.pick(authorized.message(), authorized.caller(), id, |_| true).await {
            Ok(job) => job,
            Err(refused) => return Verdict::Refused(refused),
        };
        // 2. Read the runs that the job may have started.
        let history = match JobHistory::read(&*self.context.store, &job.id).await {
            Ok(history) => history,
            Err(error) => return self.answered(authorized.message(), Text::lines(format!("job {}: {error}", job.id))),
        };
        let mut said = Text::lines(self.job_line(&job));
        let starts: Vec<_> = history.entries().iter().filter(|entry| history.may_run(entry)).collect();
        if starts.is_empty() {
            said.push_lines("It has started no run.");
        }
        // 3. Append the last output of each run whose app and environment the person may see.
        for intent in starts {
            let Some(run) = history::run_of(&self.context.catalog, intent) else {
                said.push_lines("A run of a pipeline that is no longer configured.");
                continue;
            };
            let access = &self.context.access;
            if !access.sees(authorized.asker(), Some(&run.app), Some(&run.environment)) {
                said.push_lines("A run that you may not see.");
                continue;
            }
            match self.context.backends.get(run.backend).output(&run.key, &run.pipeline, MAX_TAIL_BYTES).await {
                Ok(output) if output.trim().is_empty() => said.push_lines(format!("{} said nothing.", run.pipeline)),
                Ok(output) => {
                    let lines: Vec<&str> = output.lines().collect();
                    said.push_lines(format!("{} said last:", run.pipeline));
                    said.push_code(lines[lines.len().saturating_sub(tail)..].join("\n"));
                }
                Err(error) => said.push_lines(format!("What {} said cannot be read: {error}", run.pipeline)),
            }
        }
        self.answered(authorized.message(), said)
    }

    /// Runs `cancel [ID]`.
    pub(crate) async fn cancel(&self, authorized: &Authorized) -> Result<Verdict, Refusal> {
        let (person, message) = (authorized.caller(), authorized.message());
        let mine = |job: &JobRow| job.end.is_none() && self.may_change(person, job).is_ok();
        let job = self.pick(message, person, text(authorized, "id"), mine).await?;
        self.may_change(person, &job)?;
        if let Some(end) = &job.end {
            return Err(malformed(format!("Job {} has already ended: {}.", job.id, end.outcome.as_str())));
        }
        let told = self.jobs.cancel(job, person, &|told| self.extra_writes(message, told)).await;
        carried_out(told.map_err(Refusal::Unable))
    }

    /// Runs `release record APP ENVIRONMENT VERSION`.
    pub(crate) async fn record(&self, authorized: &Authorized) -> Result<Verdict, Refusal> {
        let (person, command, message) = (authorized.caller(), authorized.command(), authorized.message());
        let typed = |attribute| command.typed(attribute).next().unwrap_or_default().to_owned();
        let now = self.context.clock.now();
        let name = crate::store::digest(format!("{:?}", message.key).as_bytes());
        let run = RunKey::parse(&format!("recorded-{}", &name["sha256:".len()..][..32]));
        let Some(run) = run else { return Err(malformed("this cannot be recorded")) };
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
        let told = format!(
            "Recorded: {} runs {} in {}, deployed by others. It can be rolled back from and to.",
            release.app, release.version, release.environment
        );
        let writes = std::iter::once(Write::Release(release)).chain(self.extra_writes(message, &told)).collect();
        let kept = self.context.store.commit(writes).await;
        carried_out(
            kept.map(|_| told).map_err(|error| Refusal::Unable(format!("nothing was changed: {error}; try again"))),
        )
    }

    /// The writes that go with a host command's change: its answer, its audit record and the handled mark. They must be
    /// one transaction with the change: handled again after a crash, a command without an id could match another job.
    pub(crate) fn extra_writes(&self, message: &InboxRow, told: &str) -> Vec<Write> {
        let line = Write::AuditRecord(self.line(message, None, Vec::new(), Vec::new()));
        // `Engine::ask` returns the answer, so there is nothing to send.
        let network = self.context.outbox.chat(&message.bot, &message.key.network);
        let say = network.map(|_| Write::Send(self.say(message, "answer", Text::lines(told))));
        [line, Write::Handled(message.key.clone())].into_iter().chain(say).collect()
    }

    /// Finds the job of a command. With an id, it is that job. Without one, it must be the only match for `fits` in the
    /// message's thread, or else the only match among the open jobs. In a thread, an open job takes precedence over
    /// ended ones.
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
            let job = store.job(&id.to_lowercase()).await.map_err(|error| read_failed(&error))?;
            // The refusal is the same for an unknown job and for one that the person may not see.
            return job
                .filter(|job| self.may_see(person, job))
                .ok_or_else(|| malformed(format!("There is no job `{}` that you may see.", clean(id))));
        }
        // 2. Without an id, search the thread of the message.
        let mut here = Vec::new();
        if let Some(thread) = &message.thread
            && self.context.outbox.trusts_thread(message)
        {
            let thread = Some((message.key.network.clone(), message.key.room.clone(), thread.clone()));
            let query = JobQuery { thread, limit: Some(MAX_LISTED), ..JobQuery::default() };
            here = store.jobs(&query).await.map_err(|error| read_failed(&error))?;
            here.retain(|job| self.may_see(person, job) && fits(job));
            if here.iter().any(|job| job.end.is_none()) {
                here.retain(|job| job.end.is_none());
            }
        }
        // 3. Search all open jobs.
        if here.is_empty() {
            here = self.open_jobs(person).await?;
            here.retain(|job| fits(job));
        }
        // 4. There must be exactly one match.
        match here.len() {
            1 => here.pop().ok_or_else(|| malformed("There is no such job.")),
            0 => Err(malformed("There is no job that fits. `jobs` shows those that are open.")),
            _ => {
                let ids: Vec<&str> = here.iter().take(5).map(|job| job.id.as_str()).collect();
                Err(malformed(format!(
                    "Which job? {} fit: {}. Put its id behind the command.",
                    here.len(),
                    ids.join(", ")
                )))
            }
        }
    }

    /// The open jobs that a person may see, the newest first. There can be very many jobs that wait only for a time, so
    /// at most [`MAX_READ`] of them are read, and at most as many of the person's own.
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
            jobs.extend(self.context.store.jobs(query).await.map_err(|error| read_failed(&error))?);
        }
        jobs.retain(|job| self.may_see(person, job));
        let mut known = std::collections::HashSet::new();
        jobs.retain(|job| known.insert(job.id.clone()));
        jobs.sort_by_key(|job| std::cmp::Reverse(job.opened));
        Ok(jobs)
    }

    /// Whether a person may see a job.
    pub(crate) fn may_see(&self, person: &Person, job: &JobRow) -> bool {
        let access = &self.context.access;
        let (app, environment) = (job.app.as_deref(), job.environment.as_deref());
        access.same_person(&job.caller.id, &person.id)
            || access.is_admin(&person.id)
            || self.may_start(person, job)
            || (app.is_some() && access.sees(through(job, person), app, environment))
    }

    /// Whether a person may start a job's command on its app and environment. For a job without an app, only admins
    /// may.
    fn may_start(&self, person: &Person, job: &JobRow) -> bool {
        if job.app.is_none() {
            return self.context.access.is_admin(&person.id);
        }
        let target = Target::Plugin(job.plugin.as_str().into());
        let rights = self.context.access.rights(through(job, person), &job.command, target);
        let held = self.context.locks.held_by(&job.id);
        // Without a typed environment, the job's deployment locks determine the environments.
        if job.environment.is_none() && !held.is_empty() {
            return held.iter().all(|place| rights.rule(Some(&place.app), Some(&place.environment)).is_some());
        }
        rights.rule(job.app.as_deref(), job.environment.as_deref()).is_some()
    }

    /// Whether a person may cancel a job, or answer for it when it is in doubt or held.
    fn may_change(&self, person: &Person, job: &JobRow) -> Result<(), Refusal> {
        if self.context.access.same_person(&job.caller.id, &person.id) || self.may_start(person, job) {
            return Ok(());
        }
        let missing = self.context.access.missing(&job.command, job.app.as_deref(), job.environment.as_deref());
        Err(Refusal::Denied(format!("job {} is not yours, and {missing}", job.id)))
    }
}

/// The person with the job's bot: grants in chat that were made through another bot do not count for the job.
fn through<'a>(job: &'a JobRow, person: &'a Person) -> Asker<'a> {
    Asker { bot: Some(&job.bot), ..Asker::from(person) }
}

pub(crate) fn carried_out(told: Result<String, Refusal>) -> Result<Verdict, Refusal> {
    Ok(Verdict::CarriedOut(Text::lines(told?)))
}

pub(crate) fn text<'a>(authorized: &'a Authorized, name: &str) -> Option<&'a str> {
    authorized.command().arguments().find_map(|(parameter, value)| match value {
        Value::Text(text) if parameter.name == name => Some(text.as_str()),
        _ => None,
    })
}
