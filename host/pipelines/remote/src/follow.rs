//! Follows a run to its end: passes on its output, its stages and why it waits.
//!
//! Not here: the requests for its state, which one task makes for all runs (`poller`).

use std::sync::Arc;

use wardroom::{
    adapter::{PipelineError, RunEnd, RunEvent, RunProgress},
    model::RunKey,
};

use crate::{
    backend::{Backend, unavailable},
    breaker::without_times,
    poller::View,
    record::{Record, State},
    system::{Open, Progress, System},
};

/// How often the end of the output is read until the server says that it is complete.
const LAST_READS: usize = 4;

/// What news about a run are passed to.
pub(crate) type Listener<'l> = &'l mut (dyn for<'event> FnMut(RunEvent<'event>) + Send);

impl<S: System> Backend<S> {
    /// Waits for the end of a run, and passes on its output, its stages and why it waits.
    pub(crate) async fn follow(self: &Arc<Self>, key: &RunKey, event: Listener<'_>) -> Result<RunEnd, PipelineError> {
        let record = self.wait_until_started(key, event).await?;
        let mut log = S::Log::default();
        let Some(mut open) = record.open::<S>(key) else {
            return Err(unavailable(format!("the state of the pipeline run `{key}` is not known")));
        };
        let Some(mut waiter) = self.wait_for(key, record.clone()) else {
            let Some(State::Ended(end)) = record.state() else {
                return Err(unavailable(format!("the state of the pipeline run `{key}` is not known")));
            };
            self.pass_rest(&open, &mut log, event).await;
            return Ok(end);
        };
        let mut shown = Shown::default();
        let mut turn = Box::pin(self.log_turns.wait());
        loop {
            let view = waiter.view.borrow_and_update().clone();
            match &view.state {
                State::Open(progress) => open.run = progress.run.clone(),
                State::Ended(end) => {
                    // Other runs must not wait for a turn that nobody takes.
                    drop(turn);
                    self.refresh(&mut open).await;
                    shown.pass_title(&self.system, &open, event);
                    self.pass_rest(&open, &mut log, event).await;
                    return Ok(end.clone());
                }
            }
            shown.pass_changes(&self.system, &open, &view, event);
            let has_begun = self.system.title(&open.run).is_some();
            tokio::select! {
                changed = waiter.view.changed() => if changed.is_err() {
                    return Err(unavailable("internal error: the host stopped following this run; its log has the details".to_owned()));
                },
                // A turn that is waited for is kept over changes of the view.
                () = &mut turn, if has_begun => {
                    match self.system.log(&open, &mut log).await {
                        Ok(part) => part.lines.iter().for_each(|text| event(RunEvent::Line(text))),
                        Err(error) => tracing::debug!(run = %key, %error, "cannot read the output of a pipeline run"),
                    }
                    turn = Box::pin(self.log_turns.wait());
                }
            }
        }
    }

    /// Waits until the server has the run.
    async fn wait_until_started(
        self: &Arc<Self>,
        key: &RunKey,
        event: Listener<'_>,
    ) -> Result<Record<S>, PipelineError> {
        let mut told = None;
        loop {
            match self.started(key).await {
                Err(PipelineError::Unavailable { message }) => {
                    let trouble = without_times(&message).to_owned();
                    if told.as_ref() != Some(&trouble) {
                        event(RunEvent::Line(&trouble));
                        told = Some(trouble);
                    }
                    tokio::time::sleep(self.timing.poll).await;
                }
                record => return record,
            }
        }
    }

    /// Replaces the identity of a run by the one with which it ended.
    async fn refresh(&self, open: &mut Open<S>) {
        if let Ok(Some(record)) = self.read(&open.key).await
            && let Some(run) = record.run()
        {
            open.run = run.clone();
        }
    }

    /// Passes on the output that is left at the end of a run. Output that cannot be read is left out.
    async fn pass_rest(&self, open: &Open<S>, log: &mut S::Log, event: Listener<'_>) {
        if self.system.title(&open.run).is_none() {
            return;
        }
        for _ in 0..LAST_READS {
            match self.system.log(open, log).await {
                Ok(part) => {
                    part.lines.iter().for_each(|text| event(RunEvent::Line(text)));
                    if !part.has_more {
                        break;
                    }
                }
                Err(error) => {
                    tracing::debug!(run = %open.key, %error, "cannot read the end of the output of a pipeline run");
                    break;
                }
            }
            tokio::time::sleep(self.timing.poll / 8).await;
        }
        self.system.rest_of_log(log).iter().for_each(|text| event(RunEvent::Line(text)));
    }
}

/// What one who waits was told.
#[derive(Default)]
struct Shown {
    waits: Option<String>,
    title: Option<String>,
    trouble: Option<String>,
    progress: RunProgress,
}

impl Shown {
    fn pass_changes<S: System>(&mut self, system: &S, open: &Open<S>, view: &View<S::Run>, event: Listener<'_>) {
        // The time of the next attempt is no news.
        let trouble = view.trouble.as_ref().map(|trouble| without_times(trouble).to_owned());
        if trouble != self.trouble {
            if let Some(trouble) = &trouble {
                event(RunEvent::Line(&format!("{trouble}; retrying")));
            }
            self.trouble = trouble;
        }
        let State::Open(Progress { waits, stages, gates, .. }) = &view.state else { return };
        if let Some(waits) = waits {
            // The remaining seconds of a quiet period are no news.
            let without_digits: String = waits.chars().filter(|letter| !letter.is_ascii_digit()).collect();
            if self.waits.as_ref() != Some(&without_digits) {
                event(RunEvent::Line(&format!("waiting in {}: {waits}", S::NAME)));
                self.waits = Some(without_digits);
            }
        }
        self.pass_title(system, open, event);
        let progress = RunProgress { stages: stages.clone(), gates: gates.clone() };
        if progress != self.progress {
            event(RunEvent::Progress(&progress));
            self.progress = progress;
        }
    }

    fn pass_title<S: System>(&mut self, system: &S, open: &Open<S>, event: Listener<'_>) {
        let title = system.title(&open.run);
        if title == self.title {
            return;
        }
        if let Some(title) = &title {
            match system.url(&open.request, Some(&open.run)) {
                Some(url) => event(RunEvent::Line(&format!("{title}: {url}"))),
                None => event(RunEvent::Line(title)),
            }
        }
        self.title = title;
    }
}
