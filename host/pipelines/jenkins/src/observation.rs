//! What an answer of Jenkins says about a run.
//!
//! Invariant: pure. A number that belongs to another build ends the run as unknown.

use wardroom::model::Outcome;
use wardroom_remote::{Observation, Open, Progress};

use crate::{
    client::{Build, Client},
    convert::{build_end, end_without_build},
    run::JenkinsRun,
    system::Jenkins,
};

type Run = Open<Jenkins>;

/// The item waits in the queue, for the reason that Jenkins states.
pub(crate) fn waiting(open: &Run, why: Option<String>) -> Observation<JenkinsRun> {
    Observation::Open(Progress { waits: why, ..Progress::of(open.run.clone()) })
}

/// The item left the queue for the build with this number, or the build with this number runs.
pub(crate) fn running(open: &Run, number: u64) -> Observation<JenkinsRun> {
    Observation::Open(Progress::of(open.run.building(number)))
}

/// The item was cancelled before a build was started.
pub(crate) fn cancelled(open: &Run) -> Observation<JenkinsRun> {
    let message = "the queue item was cancelled in Jenkins before a build was started";
    Observation::Ended { run: open.run.clone(), end: end_without_build(open, Outcome::Cancelled, message) }
}

/// Jenkins does not know the item any more, and no build came from it. `is_certain` is false if builds were deleted in the
/// meantime.
pub(crate) fn item_gone(open: &Run, is_certain: bool) -> Observation<JenkinsRun> {
    let item = open.run.item().unwrap_or_default();
    Observation::Missing(if is_certain {
        let message = format!("queue item {item} left the queue of Jenkins, and no build was started");
        end_without_build(open, Outcome::Cancelled, message)
    } else {
        let message =
            format!("queue item {item} is gone, and builds of the job were deleted since; look at the job in Jenkins");
        end_without_build(open, Outcome::Unknown, message)
    })
}

/// The job or the build does not exist.
pub(crate) fn build_gone(open: &Run) -> Observation<JenkinsRun> {
    let number = open.run.number().unwrap_or_default();
    let message = format!("build #{number} or its job was deleted in Jenkins while the host waited for it");
    Observation::Missing(end_without_build(open, Outcome::Unknown, message))
}

/// Jenkins returned this build for the run.
pub(crate) fn of_build(client: &Client, open: &Run, build: &Build) -> Observation<JenkinsRun> {
    let JenkinsRun::Building { item, number, scheduled, merged } = open.run.building(build.number) else {
        return waiting(open, None);
    };
    // The number can belong to another build after the job was deleted and created again.
    let is_other = match (item, build.item()) {
        (Some(known), Some(found)) => known != found,
        _ => scheduled.is_some() && build.timestamp.is_some() && scheduled != build.timestamp,
    };
    let run =
        JenkinsRun::Building { item: item.or(build.item()), number, scheduled: scheduled.or(build.timestamp), merged };
    if is_other {
        let message = format!(
            "build #{number} in Jenkins is now another build; the job was deleted and created again, or its build numbers \
             were reset"
        );
        let end = end_without_build(open, Outcome::Unknown, message);
        return Observation::Ended { run: open.run.clone(), end };
    }
    if build.is_running() {
        let started = build.timestamp.map(|at| client.host_time(at));
        return Observation::Open(Progress { started, ..Progress::of(run) });
    }
    Observation::Ended { end: build_end(client, open, build), run }
}

#[cfg(test)]
mod tests {
    use wardroom::{Timestamp, adapter::RunEnd, base::SecretRef, model::RunKey};

    use super::*;
    use crate::{
        config::{SignIn, System},
        job_path::JobPath,
        run::JenkinsRequest,
    };

    fn client() -> Client {
        let system = System {
            name: "ci".to_owned(),
            url: "https://ci.example.org".parse().unwrap(),
            user: "bot".to_owned(),
            secret: SecretRef::Env("NONE".to_owned()),
            sign_in: SignIn::Token,
            ca: None,
            timeout: std::time::Duration::from_secs(1),
            run_parameter: "WARDROOM_RUN".to_owned(),
        };
        Client::new(&system, std::time::Duration::ZERO)
    }

    fn open(run: JenkinsRun) -> Run {
        Open {
            key: RunKey::parse("a-1").unwrap(),
            request: JenkinsRequest::unknown(JobPath::parse("web/cms").unwrap()),
            run,
            requested: Timestamp::now(),
        }
    }

    fn seen(run: JenkinsRun, json: &str) -> Observation<JenkinsRun> {
        of_build(&client(), &open(run), &serde_json::from_str(json).unwrap())
    }

    fn end(observation: Observation<JenkinsRun>) -> RunEnd {
        match observation {
            Observation::Ended { end, .. } => end,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_queue_item_becomes_a_build_that_ends() {
        let queued = JenkinsRun::Queued { item: 17, merged: false };
        assert_eq!(
            waiting(&open(queued.clone()), Some("busy".to_owned())),
            Observation::Open(Progress { waits: Some("busy".to_owned()), ..Progress::of(queued.clone()) })
        );
        let building = JenkinsRun::Building { item: Some(17), number: 3, scheduled: None, merged: false };
        assert_eq!(running(&open(queued.clone()), 3), Observation::Open(Progress::of(building)));
        let json = r#"{"number":3,"queueId":17,"building":true,"timestamp":1000}"#;
        let identified = JenkinsRun::Building { item: Some(17), number: 3, scheduled: Some(1000), merged: false };
        let started = Some(Timestamp::from_second(1).unwrap());
        assert_eq!(seen(queued.clone(), json), Observation::Open(Progress { started, ..Progress::of(identified) }));
        let end = end(seen(queued, r#"{"number":3,"queueId":17,"result":"SUCCESS","timestamp":1000,"duration":500}"#));
        assert_eq!((end.outcome, end.details["build"].as_str()), (Outcome::Succeeded, "3"));
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
            let run = JenkinsRun::Building { item: None, number: 3, scheduled: None, merged: false };
            let json = format!(r#"{{"number":3,"building":false,"result":{result},"timestamp":1000,"duration":1}}"#);
            let end = end(seen(run, &json));
            assert_eq!((end.outcome, end.message.as_str()), (outcome, message));
            assert_eq!(end.details.get(RunEnd::NOTE).map(String::as_str), note);
        }
    }

    #[test]
    fn a_number_that_belongs_to_another_build_ends_the_run_as_unknown() {
        let known = |item, scheduled| JenkinsRun::Building { item, number: 3, scheduled, merged: false };
        for (run, json) in [
            (known(Some(17), None), r#"{"number":3,"queueId":99,"building":false,"result":"SUCCESS","timestamp":5}"#),
            (known(None, Some(1000)), r#"{"number":3,"building":false,"result":"SUCCESS","timestamp":5000}"#),
        ] {
            let end = end(seen(run, json));
            assert_eq!(end.outcome, Outcome::Unknown);
            assert!(end.message.contains("is now another build"), "{}", end.message);
        }
    }

    #[test]
    fn a_queue_item_that_left_without_a_build_was_cancelled() {
        let queued = open(JenkinsRun::Queued { item: 17, merged: false });
        for (is_certain, outcome) in [(true, Outcome::Cancelled), (false, Outcome::Unknown)] {
            let Observation::Missing(end) = item_gone(&queued, is_certain) else { panic!("not missing") };
            assert_eq!(end.outcome, outcome);
        }
        assert_eq!(end(cancelled(&queued)).outcome, Outcome::Cancelled);
    }
}
