//! Follows a run to its end: passes on its output and the changes of its stage.
//!
//! Not here: the requests for its state, which one task makes for all runs (`poller`).

use std::sync::Arc;

use wardroom::{
    adapter::{PipelineError, RunEnd},
    model::RunKey,
};

use crate::{
    backend::{Backend, unavailable},
    breaker::without_times,
    job_path::JobPath,
    log::LogFollower,
    poller::View,
    progress::Stage,
    record::{Phase, RunRecord},
};

/// How often the end of the output is read until Jenkins says that it is complete.
const LAST_READS: usize = 3;

impl Backend {
    /// Waits for the end of a run, and passes on its output and the changes of its stage.
    pub(crate) async fn follow(
        self: &Arc<Self>,
        key: &RunKey,
        line: &mut (dyn for<'line> FnMut(&'line str) + Send),
    ) -> Result<RunEnd, PipelineError> {
        let record = self.wait_until_started(key, line).await?;
        let job = record.job.clone();
        let mut log = LogFollower::default();
        let Some(mut waiter) = self.wait_for(key, record.clone()) else {
            let Phase::Ended { number, end, .. } = record.phase else {
                return Err(unavailable(format!("the state of the pipeline run `{key}` is not known")));
            };
            self.pass_rest(&mut log, &job, number, line).await;
            return Ok(end);
        };
        let mut shown = Shown::default();
        let mut turn = Box::pin(self.log_turns.wait());
        loop {
            let view = waiter.view.borrow_and_update().clone();
            shown.pass_changes(self, &job, &view, line);
            let number = match view.stage {
                Stage::Queued(_) => None,
                Stage::Building(number) => Some(number),
                Stage::Ended(end) => {
                    let number = end.details.get("build").and_then(|number| number.parse().ok());
                    self.pass_rest(&mut log, &job, number, line).await;
                    return Ok(end);
                }
            };
            tokio::select! {
                changed = waiter.view.changed() => if changed.is_err() {
                    return Err(unavailable("the poller of the backend ended".to_owned()));
                },
                // A turn that is waited for is kept over changes of the view.
                () = &mut turn, if number.is_some() => {
                    turn = Box::pin(self.log_turns.wait());
                    let Some(number) = number else { continue };
                    match log.read(&self.client, &job, number).await {
                        Ok((lines, _)) => lines.iter().for_each(|text| line(text)),
                        Err(error) => tracing::debug!(run = %key, %error, "cannot read the output of a build"),
                    }
                }
            }
        }
    }

    /// Waits until the queue item or the build of a run is known.
    async fn wait_until_started(
        self: &Arc<Self>,
        key: &RunKey,
        line: &mut (dyn for<'line> FnMut(&'line str) + Send),
    ) -> Result<RunRecord, PipelineError> {
        let mut told = None;
        loop {
            match self.started(key).await {
                Err(PipelineError::Unavailable { message }) => {
                    let trouble = without_times(&message).to_owned();
                    if told.as_ref() != Some(&trouble) {
                        line(&trouble);
                        told = Some(trouble);
                    }
                    tokio::time::sleep(self.timing.poll).await;
                }
                record => return record,
            }
        }
    }

    /// Passes on the output that is left at the end of a build. Output that cannot be read is left out.
    async fn pass_rest(
        &self,
        log: &mut LogFollower,
        job: &JobPath,
        number: Option<u64>,
        line: &mut (dyn for<'line> FnMut(&'line str) + Send),
    ) {
        let Some(number) = number else { return };
        for _ in 0..LAST_READS {
            match log.read(&self.client, job, number).await {
                Ok((lines, has_more)) => {
                    lines.iter().for_each(|text| line(text));
                    if !has_more {
                        break;
                    }
                }
                Err(error) => {
                    tracing::debug!(%job, number, %error, "cannot read the end of the output of a build");
                    break;
                }
            }
            tokio::time::sleep(self.timing.poll / 8).await;
        }
        log.finish().iter().for_each(|text| line(text));
    }
}

/// What one who waits was told.
#[derive(Default)]
struct Shown {
    why: Option<String>,
    number: Option<u64>,
    trouble: Option<String>,
}

impl Shown {
    fn pass_changes(
        &mut self,
        backend: &Backend,
        job: &JobPath,
        view: &View,
        line: &mut (dyn for<'line> FnMut(&'line str) + Send),
    ) {
        // The time of the next attempt is no news.
        let trouble = view.trouble.as_ref().map(|trouble| without_times(trouble).to_owned());
        if trouble != self.trouble {
            if let Some(trouble) = &trouble {
                line(&format!("{trouble}; retrying"));
            }
            self.trouble = trouble;
        }
        match &view.stage {
            Stage::Queued(Some(why)) => {
                // The remaining seconds of a quiet period are no news.
                let without_digits: String = why.chars().filter(|letter| !letter.is_ascii_digit()).collect();
                if self.why.as_ref() != Some(&without_digits) {
                    line(&format!("waiting in the queue of Jenkins: {why}"));
                    self.why = Some(without_digits);
                }
            }
            Stage::Building(number) if self.number != Some(*number) => {
                line(&format!("build #{number}: {}", backend.client.build_url(job, *number)));
                self.number = Some(*number);
            }
            _ => {}
        }
    }
}
