//! What the host stores of a run, and how an observation changes it.
//!
//! Invariant: pure, apart from the files (`files`). A run counts as lost only after the server has said for
//! [`Timing::gone`] that it has no such run, because a server that starts does not know its runs yet.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wardroom::{Timestamp, adapter::RunEnd, model::RunKey};

use crate::system::{Observation, Open, Progress, System};
#[cfg(doc)]
use crate::timing::Timing;

/// What is known of a run. `Q` is a [`System::Request`], `R` a [`System::Run`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunRecord<Q, R> {
    /// The name of the pipeline in the configuration, or `SYSTEM:PATH`.
    pub(crate) pipeline: String,
    /// What was sent, or was to be sent. `None` if nothing was sent because the values are wrong.
    pub(crate) request: Option<Q>,
    /// The time before the trigger was sent, of the host's clock.
    pub(crate) requested: Timestamp,
    /// The time at which the host stopped waiting for the answer to the trigger. `None` if there was an answer, and after
    /// a crash.
    #[serde(default)]
    pub(crate) unanswered_since: Option<Timestamp>,
    pub(crate) phase: Phase<R>,
    /// Whether the run is to be cancelled.
    #[serde(default)]
    pub(crate) cancel: bool,
    /// The time since which the server says that it has no such run.
    #[serde(default)]
    pub(crate) missing_since: Option<Timestamp>,
}

/// The record of a run of one kind of server.
pub(crate) type Record<S> = RunRecord<<S as System>::Request, <S as System>::Run>;

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Phase<R> {
    /// The trigger may have been sent, and its answer is not known.
    Triggering,
    /// Nothing was started, and nothing will be. The text is the reason.
    NotStarted(String),
    /// The server has the run.
    Started(R),
    /// The run has ended.
    Ended { run: R, end: RunEnd },
}

/// The state of a started run, for its waiters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State<R> {
    Open(Progress<R>),
    Ended(RunEnd),
}

impl<Q, R> RunRecord<Q, R> {
    /// A record whose trigger is about to be sent.
    pub(crate) fn triggering(pipeline: &str, request: Q) -> Self {
        Self { request: Some(request), ..Self::not_started(pipeline, String::new()) }.with(Phase::Triggering)
    }

    /// A record of a run of which nothing was started.
    pub(crate) fn not_started(pipeline: &str, reason: impl Into<String>) -> Self {
        Self {
            pipeline: pipeline.to_owned(),
            request: None,
            requested: Timestamp::now(),
            unanswered_since: None,
            phase: Phase::NotStarted(reason.into()),
            cancel: false,
            missing_since: None,
        }
    }

    pub(crate) fn with(self, phase: Phase<R>) -> Self {
        Self { phase, ..self }
    }

    /// Returns what identifies the run on the server; `None` before this is known.
    pub(crate) fn run(&self) -> Option<&R> {
        match &self.phase {
            Phase::Started(run) | Phase::Ended { run, .. } => Some(run),
            Phase::Triggering | Phase::NotStarted(_) => None,
        }
    }
}

impl<Q: Clone, R: Clone> RunRecord<Q, R> {
    /// Returns the run; `None` before it is known.
    pub(crate) fn open<S: System<Request = Q, Run = R>>(&self, key: &RunKey) -> Option<Open<S>> {
        let (request, run) = (self.request.clone()?, self.run()?.clone());
        Some(Open { key: key.clone(), request, run, requested: self.requested })
    }

    /// Returns how far the run is without a new observation; `None` before the run is known.
    pub(crate) fn state(&self) -> Option<State<R>> {
        match &self.phase {
            Phase::Triggering | Phase::NotStarted(_) => None,
            Phase::Started(run) => Some(State::Open(Progress::of(run.clone()))),
            Phase::Ended { end, .. } => Some(State::Ended(end.clone())),
        }
    }

    /// Changes a record of a started run by an observation, and returns how far the run is.
    pub(crate) fn apply(&mut self, observation: Observation<R>, gone: Duration, now: Timestamp) -> Option<State<R>> {
        if !matches!(self.phase, Phase::Started(_)) {
            return self.state();
        }
        match observation {
            Observation::Open(progress) => {
                self.missing_since = None;
                self.phase = Phase::Started(progress.run.clone());
                return Some(State::Open(progress));
            }
            Observation::Ended { run, end } => {
                self.missing_since = None;
                self.phase = Phase::Ended { run, end };
            }
            Observation::Missing(end) => {
                let since = *self.missing_since.get_or_insert(now);
                let is_lost = Duration::try_from(now.duration_since(since)).is_ok_and(|elapsed| elapsed >= gone);
                if let (true, Some(run)) = (is_lost, self.run().cloned()) {
                    self.missing_since = None;
                    self.phase = Phase::Ended { run, end };
                }
            }
        }
        self.state()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::SignedDuration;
    use wardroom::model::Outcome;

    use super::*;

    fn end(message: &str) -> RunEnd {
        let now = Timestamp::UNIX_EPOCH;
        RunEnd {
            outcome: Outcome::Unknown,
            message: message.to_owned(),
            started: now,
            ended: now,
            details: BTreeMap::new(),
        }
    }

    #[test]
    fn a_missing_run_is_lost_only_after_some_time() {
        let mut record = RunRecord::triggering("cms/staging", 1).with(Phase::Started(7));
        let gone = Duration::from_secs(60);
        let start = Timestamp::now();
        let mut look = |observation, seconds| {
            record.apply(observation, gone, start + SignedDuration::from_secs(seconds)).expect("a started run")
        };
        let open = || State::Open(Progress::of(7));
        let missing = || Observation::Missing(end("it was deleted"));
        assert_eq!(look(missing(), 0), open());
        assert_eq!(look(missing(), 59), open());
        assert_eq!(look(Observation::Open(Progress::of(7)), 60), open());
        assert_eq!(look(missing(), 70), open(), "the time starts again");
        assert_eq!(look(missing(), 131), State::Ended(end("it was deleted")));
        assert_eq!(
            look(Observation::Open(Progress::of(7)), 132),
            State::Ended(end("it was deleted")),
            "an end is final"
        );
    }

    #[test]
    fn a_run_gets_its_new_identity() {
        let mut record = RunRecord::triggering("cms/staging", 1).with(Phase::Started(7));
        record.apply(Observation::Open(Progress::of(8)), Duration::ZERO, Timestamp::now());
        assert_eq!(record.run(), Some(&8));
        record.apply(Observation::Ended { run: 9, end: end("") }, Duration::ZERO, Timestamp::now());
        assert_eq!(record.run(), Some(&9));
    }
}
