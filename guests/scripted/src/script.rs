//! Parses a script: one word per host call, for example `after:100 sleep`.
//!
//! Invariant: the whole script is parsed before its first step runs, so a script with an invalid word does nothing.

use core::time::Duration;
use core::{fmt, str::FromStr};

/// A step of a script: one word, which makes at most one host call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// `trigger:PIPELINE:VERSION` or `trigger:PIPELINE:NAME=VALUE,NAME=VALUE`: starts a pipeline with these parameters.
    Trigger { pipeline: String, parameters: Vec<(String, String)> },
    /// `wait`: waits for the oldest pipeline run that no step has waited for.
    Wait,
    /// `any`: waits for the first of the newest timer and of all pipeline runs that no step has waited for.
    Any,
    /// `after:MS`: sets a timer of `MS` milliseconds.
    After(Duration),
    /// `sleep`: waits for the newest timer.
    Sleep,
    /// `set:KEY:VALUE`: stores a value.
    Set { key: String, value: String },
    /// `get:KEY`: replies with the stored value.
    Get(String),
    /// `delete:KEY`: deletes a stored value.
    Delete(String),
    /// `keys`: replies with the number of keys in the plugin's store.
    Keys,
    /// `now`: reads the clock; the reply does not contain the time.
    Now,
    /// `say:WORD`: posts a message in the room.
    Say(String),
    /// `stage:WORD`: sets the stage on the job's status card.
    Stage(String),
    /// `later:MS:COMMAND:NAME=VALUE,NAME=VALUE`: schedules a job with a delay of `MS` milliseconds. A `+` in a value
    /// becomes a space.
    Later { span: Duration, command: String, arguments: Vec<(String, String)> },
    /// `list`: replies with the number of scheduled jobs.
    List,
    /// `call-off`: cancels the newest job that the script scheduled.
    CallOff,
    /// `apps`: replies with the number of apps.
    Apps,
    /// `rollbacks`: replies with the number of rollback pipelines.
    Rollbacks,
    /// `releases:APP:ENV`: replies with the number of releases.
    Releases { app: String, environment: String },
    /// `pipelines:SYSTEM`: replies with the number of opened pipelines.
    Pipelines(String),
    /// `describe:PIPELINE`: replies with the number of parameters.
    Describe(String),
    /// `status:PIPELINE:RUN`, `output:PIPELINE:RUN`, `tests:PIPELINE:RUN`, `cancel-run:PIPELINE:RUN`,
    /// `answer:PIPELINE:RUN`: reads or changes a run. The run `-` is the newest one that the script started.
    OfRun { what: OfRun, pipeline: String, run: String },
    /// `fail:CODE`: ends the command with a failure that has this code.
    Fail(String),
    /// `trap`: aborts the plugin.
    Trap,
    /// `spin`: loops forever.
    Spin,
    /// `big:BYTES`: stores a value of this size under the key `big`.
    Big(usize),
    /// `dry:WORD`: runs the step `WORD` only in a dry run.
    Dry(Box<Step>),
    /// `real:WORD`: runs the step `WORD` only outside of a dry run.
    Real(Box<Step>),
}

/// What a step does with a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OfRun {
    Status,
    Output,
    Tests,
    Cancel,
    Answer,
}

/// A word of a script that is not a valid step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InvalidStep(String);

impl fmt::Display for InvalidStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the script has an invalid step `{}`", self.0)
    }
}

/// Parses a whole script.
///
/// # Errors
/// The first invalid step.
pub(crate) fn parse(script: &str) -> Result<Vec<Step>, InvalidStep> {
    script.split_whitespace().map(|word| step(word).ok_or_else(|| InvalidStep(word.to_owned()))).collect()
}

fn step(word: &str) -> Option<Step> {
    let (name, rest) = match word.split_once(':') {
        Some((name, rest)) => (name, Some(rest)),
        None => (word, None),
    };
    Some(match (name, rest) {
        ("wait", None) => Step::Wait,
        ("any", None) => Step::Any,
        ("sleep", None) => Step::Sleep,
        ("now", None) => Step::Now,
        ("keys", None) => Step::Keys,
        ("list", None) => Step::List,
        ("call-off", None) => Step::CallOff,
        ("apps", None) => Step::Apps,
        ("rollbacks", None) => Step::Rollbacks,
        ("trap", None) => Step::Trap,
        ("spin", None) => Step::Spin,
        ("trigger", Some(rest)) => {
            let (pipeline, rest) = pair(rest)?;
            let parameters = if rest.contains('=') { named(&rest)? } else { vec![("version".to_owned(), rest)] };
            Step::Trigger { pipeline, parameters }
        }
        ("set", Some(rest)) => {
            let (key, value) = pair(rest)?;
            Step::Set { key, value }
        }
        ("releases", Some(rest)) => {
            let (app, environment) = pair(rest)?;
            Step::Releases { app, environment }
        }
        ("pipelines", Some(rest)) => Step::Pipelines(non_empty(rest)?),
        ("describe", Some(rest)) => Step::Describe(non_empty(rest)?),
        ("status" | "output" | "tests" | "cancel-run" | "answer", Some(rest)) => {
            let (pipeline, run) = pair(rest)?;
            let what = match name {
                "status" => OfRun::Status,
                "output" => OfRun::Output,
                "tests" => OfRun::Tests,
                "cancel-run" => OfRun::Cancel,
                _ => OfRun::Answer,
            };
            Step::OfRun { what, pipeline, run }
        }
        ("after", Some(rest)) => Step::After(span(rest)?),
        ("big", Some(rest)) => Step::Big(number(rest)?),
        ("get", Some(rest)) => Step::Get(non_empty(rest)?),
        ("delete", Some(rest)) => Step::Delete(non_empty(rest)?),
        ("say", Some(rest)) => Step::Say(non_empty(rest)?),
        ("stage", Some(rest)) => Step::Stage(non_empty(rest)?),
        ("fail", Some(rest)) => Step::Fail(non_empty(rest)?),
        ("later", Some(rest)) => later(rest)?,
        ("dry", Some(rest)) => Step::Dry(Box::new(step(rest)?)),
        ("real", Some(rest)) => Step::Real(Box::new(step(rest)?)),
        _ => return None,
    })
}

fn later(rest: &str) -> Option<Step> {
    let (after, rest) = rest.split_once(':')?;
    let (command, arguments) = rest.split_once(':').unwrap_or((rest, ""));
    Some(Step::Later { span: span(after)?, command: non_empty(command)?, arguments: named(arguments)? })
}

/// Parses `NAME=VALUE,NAME=VALUE`. A `+` in a value becomes a space.
fn named(text: &str) -> Option<Vec<(String, String)>> {
    let arguments = text.split(',').filter(|argument| !argument.is_empty()).map(|argument| {
        let (name, value) = argument.split_once('=')?;
        Some((non_empty(name)?, value.replace('+', " ")))
    });
    arguments.collect()
}

/// Splits a text at its first colon. Both parts must not be empty.
fn pair(rest: &str) -> Option<(String, String)> {
    let (first, second) = rest.split_once(':')?;
    Some((non_empty(first)?, non_empty(second)?))
}

fn non_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn span(text: &str) -> Option<Duration> {
    number(text).map(Duration::from_millis)
}

fn number<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(word: &str) -> Step {
        let steps = parse(word).unwrap();
        assert_eq!(steps.len(), 1);
        steps[0].clone()
    }

    #[test]
    fn words_are_parsed_in_their_order() {
        let steps = parse("after:10  any sleep\tlist call-off apps now wait trap spin").unwrap();
        let wanted = [
            Step::After(Duration::from_millis(10)),
            Step::Any,
            Step::Sleep,
            Step::List,
            Step::CallOff,
            Step::Apps,
            Step::Now,
            Step::Wait,
            Step::Trap,
            Step::Spin,
        ];
        assert_eq!(steps, wanted);
    }

    #[test]
    fn a_word_contains_the_arguments_of_its_step() {
        let trigger =
            Step::Trigger { pipeline: "cms/staging".into(), parameters: vec![("version".into(), "1.0.2".into())] };
        assert_eq!(one("trigger:cms/staging:1.0.2"), trigger);
        assert_eq!(one("set:key:a:b"), Step::Set { key: "key".into(), value: "a:b".into() });
        assert_eq!(one("releases:cms:staging"), Step::Releases { app: "cms".into(), environment: "staging".into() });
        assert_eq!(one("get:a:b"), Step::Get("a:b".into()));
        assert_eq!(one("delete:key"), Step::Delete("key".into()));
        assert_eq!(one("keys"), Step::Keys);
        assert_eq!(one("say:hi"), Step::Say("hi".into()));
        assert_eq!(one("stage:migrating"), Step::Stage("migrating".into()));
        assert_eq!(one("fail:invalid"), Step::Fail("invalid".into()));
        assert_eq!(one("big:65537"), Step::Big(65_537));
    }

    #[test]
    fn a_scheduled_job_has_its_arguments_by_name() {
        let argument = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            one("later:500:script-app:app=cms,environment=staging,version=1,script=now+trigger:cms/staging:1"),
            Step::Later {
                span: Duration::from_millis(500),
                command: "script-app".into(),
                arguments: vec![
                    argument("app", "cms"),
                    argument("environment", "staging"),
                    argument("version", "1"),
                    argument("script", "now trigger:cms/staging:1"),
                ],
            }
        );
        let bare = Step::Later { span: Duration::ZERO, command: "script".into(), arguments: Vec::new() };
        assert_eq!((one("later:0:script"), one("later:0:script:")), (bare.clone(), bare));
    }

    #[test]
    fn a_script_with_an_invalid_word_is_rejected() {
        let wrong = [
            "dance",
            "wait:1",
            "now:",
            "trigger",
            "trigger:cms/staging",
            "trigger:cms/staging:",
            "set:key",
            "get:",
            "after",
            "after:soon",
            "after:-1",
            "big:1e3",
            "fail",
            "later:5",
            "later:5:",
            "later:5:script:script",
            "later:x:script",
            "releases:cms",
        ];
        for word in wrong {
            assert_eq!(parse(&format!("now {word} trap")), Err(InvalidStep(word.to_owned())));
        }
        assert_eq!(InvalidStep("dance".into()).to_string(), "the script has an invalid step `dance`");
    }
}
