//! The next state of a run after an observation of its queue item or of its build.
//!
//! Invariant: pure, apart from the clock. A run counts as lost only after Jenkins has said for [`Timing::gone`] that it has
//! no such build, because a server that starts does not know its jobs yet.
//! Not here: the requests (`poller`) and the file of the run (`record`).

use std::time::Duration;

use wardroom::{Timestamp, adapter::RunEnd, model::Outcome};

#[cfg(doc)]
use crate::timing::Timing;
use crate::{
    client::{Build, Client},
    convert::{build_end, end_without_build},
    record::{Phase, RunRecord},
};

/// What a poll found out about one run.
#[derive(Debug, Clone)]
pub(crate) enum Observation {
    /// The item waits in the queue, for the reason that Jenkins states.
    Waiting(Option<String>),
    /// The item left the queue for the build with this number.
    Left(u64),
    /// The item was cancelled before a build was started.
    Cancelled,
    /// Jenkins does not know the item any more, and no build came from it. `is_certain` is false if builds were deleted
    /// in the meantime.
    ItemGone { is_certain: bool },
    /// The build runs.
    Running,
    /// The build with the number of the run, or the first one that is seen of the run.
    Build(Build),
    /// The job or the build does not exist.
    BuildGone,
}

/// How far a run is, for those who wait for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Waits in the queue, for this reason.
    Queued(Option<String>),
    Building(u64),
    Ended(RunEnd),
}

/// Returns the stage of a record without a new observation. Returns `None` for a run that was not started, or of which
/// this is not known.
pub(crate) fn stage(record: &RunRecord) -> Option<Stage> {
    match &record.phase {
        Phase::Triggering | Phase::NotStarted(_) => None,
        Phase::Queued { .. } => Some(Stage::Queued(None)),
        Phase::Building { number, .. } => Some(Stage::Building(*number)),
        Phase::Ended { end, .. } => Some(Stage::Ended(end.clone())),
    }
}

/// Changes a record by an observation, and returns the stage of the run.
pub(crate) fn apply(
    record: &mut RunRecord,
    observation: Observation,
    client: &Client,
    gone: Duration,
    now: Timestamp,
) -> Option<Stage> {
    match observation {
        Observation::Waiting(why) => {
            record.missing_since = None;
            if matches!(record.phase, Phase::Queued { .. }) {
                return Some(Stage::Queued(why));
            }
        }
        Observation::Left(number) => {
            record.missing_since = None;
            if let Phase::Queued { item, merged } = record.phase {
                record.phase = Phase::Building { item: Some(item), number, scheduled: None, merged };
            }
        }
        Observation::Running => record.missing_since = None,
        Observation::Cancelled => {
            let message = "the queue item was cancelled in Jenkins before a build was started";
            end(record, Outcome::Cancelled, message.to_owned());
        }
        Observation::ItemGone { is_certain } => {
            if is_missing_long(record, gone, now) {
                let item = record.item().unwrap_or_default();
                if is_certain {
                    let message = format!("queue item {item} left the queue of Jenkins, and no build was started");
                    end(record, Outcome::Cancelled, message);
                } else {
                    let message =
                        format!("Jenkins no longer knows queue item {item}, and builds of the job were deleted since");
                    end(record, Outcome::Unknown, message);
                }
            }
        }
        Observation::BuildGone => {
            if is_missing_long(record, gone, now) {
                let number = record.number().unwrap_or_default();
                let message = format!("build #{number} or its job was deleted in Jenkins while the host waited for it");
                end(record, Outcome::Unknown, message);
            }
        }
        Observation::Build(build) => seen(record, &build, client),
    }
    stage(record)
}

/// Applies a build that Jenkins returned for the run.
fn seen(record: &mut RunRecord, build: &Build, client: &Client) {
    record.missing_since = None;
    if let Phase::Queued { item, merged } = record.phase {
        record.phase = Phase::Building { item: Some(item), number: build.number, scheduled: None, merged };
    }
    let Phase::Building { item, number, scheduled, .. } = &mut record.phase else { return };
    // The number can belong to another build after the job was deleted and created again.
    let is_other = match (*item, build.item()) {
        (Some(known), Some(found)) => known != found,
        _ => scheduled.is_some() && build.timestamp.is_some() && *scheduled != build.timestamp,
    };
    if is_other {
        let message = format!(
            "build #{number} in Jenkins is now another build; the job was deleted and created again, or its build numbers \
             were reset"
        );
        end(record, Outcome::Unknown, message);
        return;
    }
    *scheduled = scheduled.or(build.timestamp);
    *item = item.or(build.item());
    if !build.is_running() {
        let (item, number) = (*item, Some(*number));
        let end = build_end(client, record, build);
        record.phase = Phase::Ended { item, number, end };
    }
}

/// Records that Jenkins does not know the run, and returns whether it has not known it for `gone`.
fn is_missing_long(record: &mut RunRecord, gone: Duration, now: Timestamp) -> bool {
    let since = *record.missing_since.get_or_insert(now);
    let elapsed = now.duration_since(since);
    Duration::try_from(elapsed).is_ok_and(|elapsed| elapsed >= gone)
}

fn end(record: &mut RunRecord, outcome: Outcome, message: String) {
    let end = end_without_build(record, outcome, message);
    record.missing_since = None;
    record.phase = Phase::Ended { item: record.item(), number: record.number(), end };
}

#[cfg(test)]
mod tests {
    use wardroom::base::SecretRef;

    use super::*;
    use crate::{
        config::{SignIn, System},
        job_path::JobPath,
    };

    fn client() -> Client {
        let system = System {
            name: "ci".to_owned(),
            url: "https://ci.example.org".parse().unwrap(),
            user: "bot".to_owned(),
            secret: SecretRef::Env("NONE".to_owned()),
            sign_in: SignIn::Token,
            ca: None,
            timeout: Duration::from_secs(1),
            run_parameter: "WARDROOM_RUN".to_owned(),
        };
        Client::new(&system, Duration::ZERO)
    }

    fn record(phase: Phase) -> RunRecord {
        RunRecord { phase, ..RunRecord::not_started(JobPath::parse("web/cms").unwrap(), "") }
    }

    fn build(json: &str) -> Observation {
        Observation::Build(serde_json::from_str(json).unwrap())
    }

    fn applied(record: &mut RunRecord, observation: Observation) -> Stage {
        apply(record, observation, &client(), Duration::from_secs(60), Timestamp::now()).unwrap()
    }

    fn ended(stage: Stage) -> RunEnd {
        match stage {
            Stage::Ended(end) => end,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_run_goes_from_the_queue_to_its_end() {
        let mut run = record(Phase::Queued { item: 17, merged: false });
        let why = Some("Waiting for next available executor".to_owned());
        assert_eq!(applied(&mut run, Observation::Waiting(why.clone())), Stage::Queued(why));
        assert_eq!(applied(&mut run, Observation::Left(3)), Stage::Building(3));
        let running = r#"{"number":3,"queueId":17,"building":true,"timestamp":1000,"duration":0}"#;
        assert_eq!(applied(&mut run, build(running)), Stage::Building(3));
        // The result is known, but the build is not completed.
        let late =
            r#"{"number":3,"queueId":17,"building":false,"inProgress":true,"result":"SUCCESS","timestamp":1000}"#;
        assert_eq!(applied(&mut run, build(late)), Stage::Building(3));
        let done = r#"{"number":3,"queueId":17,"building":false,"inProgress":false,"result":"SUCCESS","timestamp":1000,
            "duration":2500}"#;
        let end = ended(applied(&mut run, build(done)));
        assert_eq!((end.outcome, end.message.as_str()), (Outcome::Succeeded, ""));
        assert_eq!((end.started.as_millisecond(), end.ended.as_millisecond()), (1000, 3500));
        assert_eq!(end.details["url"], "https://ci.example.org/job/web/job/cms/3/");
    }

    #[test]
    fn each_result_has_an_outcome() {
        for (result, outcome, message, note) in [
            ("\"SUCCESS\"", Outcome::Succeeded, "", None),
            ("\"UNSTABLE\"", Outcome::Succeeded, "", Some("Jenkins marked build #3 as unstable.")),
            ("\"FAILURE\"", Outcome::Failed, "build #3 failed", None),
            ("\"ABORTED\"", Outcome::Cancelled, "build #3 was aborted in Jenkins", None),
            ("\"NOT_BUILT\"", Outcome::Failed, "Jenkins did not build #3 (NOT_BUILT)", None),
            ("\"STRANGE\"", Outcome::Unknown, "build #3 ended with the unknown result STRANGE", None),
            ("null", Outcome::Unknown, "build #3 ended without a result", None),
        ] {
            let mut run = record(Phase::Building { item: None, number: 3, scheduled: None, merged: false });
            let json = format!(r#"{{"number":3,"building":false,"result":{result},"timestamp":1000,"duration":1}}"#);
            let end = ended(applied(&mut run, build(&json)));
            assert_eq!((end.outcome, end.message.as_str()), (outcome, message));
            assert_eq!(end.details.get(RunEnd::NOTE).map(String::as_str), note);
        }
    }

    #[test]
    fn a_number_that_belongs_to_another_build_ends_the_run_as_unknown() {
        let known = |item, scheduled| Phase::Building { item, number: 3, scheduled, merged: false };
        for (phase, json) in [
            (known(Some(17), None), r#"{"number":3,"queueId":99,"building":false,"result":"SUCCESS","timestamp":5}"#),
            (known(None, Some(1000)), r#"{"number":3,"building":false,"result":"SUCCESS","timestamp":5000}"#),
        ] {
            let end = ended(applied(&mut record(phase), build(json)));
            assert_eq!(end.outcome, Outcome::Unknown);
            assert!(end.message.contains("is now another build"), "{}", end.message);
        }
    }

    #[test]
    fn a_missing_build_is_lost_only_after_some_time() {
        let (client, gone) = (client(), Duration::from_secs(60));
        let mut run = record(Phase::Building { item: Some(17), number: 3, scheduled: Some(1000), merged: false });
        let start = Timestamp::now();
        let at = |seconds: i64| start + jiff::SignedDuration::from_secs(seconds);
        let mut look = |observation, seconds| apply(&mut run, observation, &client, gone, at(seconds)).unwrap();
        assert_eq!(look(Observation::BuildGone, 0), Stage::Building(3));
        assert_eq!(look(Observation::BuildGone, 59), Stage::Building(3));
        assert_eq!(look(Observation::Running, 60), Stage::Building(3));
        assert_eq!(look(Observation::BuildGone, 70), Stage::Building(3), "the time starts again");
        let end = ended(look(Observation::BuildGone, 131));
        assert!(end.outcome == Outcome::Unknown && end.message.contains("was deleted"), "{}", end.message);
    }

    #[test]
    fn a_queue_item_that_left_without_a_build_was_cancelled() {
        for (is_certain, outcome) in [(true, Outcome::Cancelled), (false, Outcome::Unknown)] {
            let mut run = record(Phase::Queued { item: 17, merged: false });
            let gone = Observation::ItemGone { is_certain };
            let end = apply(&mut run, gone, &client(), Duration::ZERO, Timestamp::now()).map(ended).unwrap();
            assert_eq!(end.outcome, outcome);
        }
        let mut run = record(Phase::Queued { item: 17, merged: false });
        assert_eq!(ended(applied(&mut run, Observation::Cancelled)).outcome, Outcome::Cancelled);
    }
}
