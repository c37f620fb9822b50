//! Runs a script, step by step.
//!
//! Invariant: a failed call does not end the script. Its error becomes a word of the reply.

use core::time::Duration;

use wardroom_guest::catalog::{AppQuery, ReleaseQuery};
use wardroom_guest::chat::Message;
use wardroom_guest::clock::Timer;
use wardroom_guest::jobs::{Left, Which};
use wardroom_guest::pipelines::{GateAnswer, PipelineQuery, Ready, Request, Run, RunOf, Waitable};
use wardroom_guest::store::{Item, Key, Prefix};
use wardroom_guest::{
    Entry, Error, Failure, Later, Reply, WaitError, catalog, chat, clock, first_of, jobs, pipelines, store, timer,
    wait_for, wait_until,
};

use crate::script::{OfRun, Step};

/// The word of the reply for a step that found no pipeline run, timer or job to use.
const NOTHING: &str = "nothing";

/// The maximum length of a value in the reply, in bytes. The reply has `bytes:LENGTH` instead of a longer value.
const MAX_SHOWN_BYTES: usize = 64;

/// The maximum number of releases that one call of `catalog.releases` returns.
const MAX_RELEASES: u32 = 200;

/// The pipeline runs, timers and scheduled jobs of earlier steps of the script.
#[derive(Default)]
struct State {
    /// The pipeline runs that no step has waited for yet, oldest first.
    runs: Vec<Run>,
    /// The id of the newest pipeline run.
    newest: Option<String>,
    /// The timers that no step has waited for yet, newest last.
    timers: Vec<Timer>,
    /// The scheduled jobs that no step has cancelled, newest last.
    scheduled: Vec<Left>,
    /// True if the newest pipeline run is a placeholder of a dry run.
    is_dry_run: bool,
}

/// Runs all steps of a script. The reply has one word per step.
///
/// # Errors
/// A failure with the code `CODE` if the script has the step `fail:CODE`. The failure's message has the words of the
/// earlier steps.
pub(crate) fn all(steps: &[Step]) -> Result<Reply, Failure> {
    let mut state = State::default();
    let mut words: Vec<String> = Vec::with_capacity(steps.len());
    for step in steps {
        if let Step::Fail(code) = step {
            words.push("as told".to_owned());
            return Err(Failure::new(code, words.join(" ")));
        }
        words.push(state.one(step));
    }
    Ok(Reply::new(words.join(" ")))
}

impl State {
    fn one(&mut self, step: &Step) -> String {
        match step {
            Step::Trigger { pipeline, parameters } => self.trigger(pipeline, parameters),
            Step::Wait => self.wait(),
            Step::Any => self.any(),
            Step::After(span) => self.after(*span),
            Step::Sleep => self.sleep(),
            Step::Set { key, value } => set(key, value.as_bytes().to_vec()),
            Step::Big(bytes) => set("big", vec![b'x'; *bytes]),
            Step::Get(key) => get(key),
            Step::Delete(key) => word(store::delete(&Key { name: key.clone() }), ok),
            Step::Keys => {
                let all = Prefix { name: String::new(), limit: 1000 };
                word(store::list(&all), |items| items.len().to_string())
            }
            Step::Now => word(clock::now(), |_| "now".to_owned()),
            Step::Say(text) => word(chat::say(&Message { text: text.clone() }), ok),
            Step::Stage(text) => word(chat::stage(&Message { text: text.clone() }), ok),
            Step::Later { span, command, arguments } => self.later(*span, command, arguments),
            Step::List => word(jobs::list(), |scheduled| scheduled.len().to_string()),
            Step::CallOff => self.cancel(),
            Step::Apps => word(catalog::apps(&AppQuery { app: None }), |apps| apps.len().to_string()),
            Step::Rollbacks => word(catalog::rollbacks(&AppQuery { app: None }), |known| known.len().to_string()),
            Step::Releases { app, environment } => releases(app, environment),
            Step::Pipelines(system) => {
                word(pipelines::list(&PipelineQuery { system: system.clone(), filter: String::new() }), |names| {
                    names.len().to_string()
                })
            }
            Step::Describe(pipeline) => word(pipelines::describe(pipeline), |found| found.parameters.len().to_string()),
            Step::OfRun { what, pipeline, run } => self.of_run(*what, pipeline, run),
            Step::Fail(_) => NOTHING.to_owned(),
            Step::Dry(step) if self.is_dry_run => self.one(step),
            Step::Real(step) if !self.is_dry_run => self.one(step),
            Step::Dry(_) | Step::Real(_) => "ok".to_owned(),
            Step::Trap => std::process::abort(),
            Step::Spin => loop {
                core::hint::spin_loop();
            },
        }
    }

    fn trigger(&mut self, pipeline: &str, parameters: &[(String, String)]) -> String {
        let parameters = parameters.iter().map(|(name, value)| Entry { name: name.clone(), value: value.clone() });
        let request = Request { pipeline: pipeline.to_owned(), parameters: parameters.collect() };
        word(pipelines::trigger(&request), |run| {
            self.is_dry_run = run.id.starts_with("plan-");
            self.newest = Some(run.id.clone());
            self.runs.push(run);
            "ok".to_owned()
        })
    }

    fn wait(&mut self) -> String {
        let Some(run) = self.runs.first() else { return NOTHING.to_owned() };
        let waited = wait_for(run);
        if waited.is_ok() {
            self.runs.remove(0);
        }
        word(waited, outcome)
    }

    fn any(&mut self) -> String {
        let mut items: Vec<Waitable> = self.runs.iter().map(Waitable::from).collect();
        items.extend(self.timers.last().map(Waitable::from));
        if items.is_empty() {
            return NOTHING.to_owned();
        }
        word(first_of(&items), |(index, ready)| {
            if index < self.runs.len() {
                self.runs.remove(index);
            } else {
                self.timers.pop();
            }
            outcome(ready)
        })
    }

    fn of_run(&self, what: OfRun, pipeline: &str, run: &str) -> String {
        let newest = self.newest.as_deref();
        let Some(run) = Some(run).filter(|run| *run != "-").or(newest) else { return NOTHING.to_owned() };
        let named = RunOf { pipeline: pipeline.to_owned(), run: run.to_owned() };
        match what {
            OfRun::Status => word(pipelines::status(&named), |run| run.state),
            OfRun::Output => word(pipelines::output(&named, 100), |lines| lines.len().to_string()),
            OfRun::Tests => word(pipelines::tests(&named), |report| report.failed.to_string()),
            OfRun::Cancel => word(pipelines::cancel(&named), ok),
            OfRun::Answer => {
                let RunOf { pipeline, run } = named;
                let answer = GateAnswer {
                    pipeline,
                    run,
                    gate: "gate".to_owned(),
                    question: String::new(),
                    proceeds: true,
                    choice: None,
                };
                word(pipelines::answer(&answer), ok)
            }
        }
    }

    fn after(&mut self, span: Duration) -> String {
        word(timer(span), |timer| {
            self.timers.push(timer);
            "ok".to_owned()
        })
    }

    fn sleep(&mut self) -> String {
        let Some(timer) = self.timers.last() else { return NOTHING.to_owned() };
        let waited = wait_until(timer);
        if waited.is_ok() {
            self.timers.pop();
        }
        word(waited, outcome)
    }

    fn later(&mut self, span: Duration, command: &str, arguments: &[(String, String)]) -> String {
        let later = arguments.iter().fold(Later::new(command), |later, (name, value)| later.argument(name, value));
        word(later.after(span), |job| {
            self.scheduled.push(job);
            "left".to_owned()
        })
    }

    fn cancel(&mut self) -> String {
        let Some(newest) = self.scheduled.last() else { return NOTHING.to_owned() };
        let cancelled = jobs::cancel(&Which { id: newest.id.clone() });
        if cancelled.is_ok() {
            self.scheduled.pop();
        }
        word(cancelled, ok)
    }
}

fn set(key: &str, value: Vec<u8>) -> String {
    word(store::set(&Item { name: key.to_owned(), value }), ok)
}

fn get(key: &str) -> String {
    word(store::get(&Key { name: key.to_owned() }), |item| match item {
        None => "none".to_owned(),
        Some(item) if item.value.len() > MAX_SHOWN_BYTES => format!("bytes:{}", item.value.len()),
        Some(item) => String::from_utf8_lossy(&item.value).into_owned(),
    })
}

fn releases(app: &str, environment: &str) -> String {
    let query = ReleaseQuery {
        app: Some(app.to_owned()),
        environment: Some(environment.to_owned()),
        version: None,
        outcome: None,
        latest: false,
        limit: MAX_RELEASES,
    };
    word(catalog::releases(&query), |releases| releases.len().to_string())
}

fn ok((): ()) -> String {
    "ok".to_owned()
}

fn outcome(ready: Ready) -> String {
    ready.outcome
}

/// Formats the result of a host call as one word. `format` formats the answer of a success.
fn word<T, E: Into<ErrorWord>>(result: Result<T, E>, format: impl FnOnce(T) -> String) -> String {
    match result.map_err(Into::into) {
        Ok(value) => format(value),
        Err(ErrorWord(word)) => word,
    }
}

struct ErrorWord(String);

impl From<Error> for ErrorWord {
    fn from(error: Error) -> Self {
        WaitError::from(error).into()
    }
}

impl From<WaitError> for ErrorWord {
    fn from(error: WaitError) -> Self {
        Self(match error {
            WaitError::Denied(_) => "denied".to_owned(),
            WaitError::Cancelled => "cancelled".to_owned(),
            WaitError::Other(problem) => format!("error:{}", problem.code),
        })
    }
}

#[cfg(test)]
mod tests {
    use wardroom_guest::{Denial, Problem};

    use super::*;

    #[test]
    fn the_result_of_a_call_is_one_word() {
        let denial = || Denial { reason: "grant".into(), message: "no rule allows it".into() };
        let problem = || Problem { code: "not-found".into(), message: "there is none".into() };
        assert_eq!(word(Ok::<_, Error>(()), ok), "ok");
        assert_eq!(word(Err(Error::Denied(denial())), ok), "denied");
        assert_eq!(word(Err(Error::Other(problem())), ok), "error:not-found");
        assert_eq!(word(Err(WaitError::Cancelled), ok), "cancelled");
        assert_eq!(word(Err(WaitError::Denied(denial())), ok), "denied");
    }

    #[test]
    fn a_step_without_a_run_timer_or_job_makes_no_call() {
        let nothing = all(&[Step::Wait, Step::Any, Step::Sleep, Step::CallOff]).unwrap();
        assert_eq!(nothing.text, "nothing nothing nothing nothing");
    }

    #[test]
    fn the_step_fail_ends_the_script_with_the_earlier_words() {
        let failure = all(&[Step::Wait, Step::Fail("invalid".into()), Step::Trap]).unwrap_err();
        assert_eq!((failure.code.as_str(), failure.message.as_str()), ("invalid", "nothing as told"));
    }
}
