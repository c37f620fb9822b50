//! Reads and changes any run of the server, also one that the host did not start.

use std::sync::Arc;

use wardroom::{
    Timestamp,
    adapter::{GateAnswer, PipelineError, RunProgress, RunView, TestReport},
    model::RunKey,
};

use crate::{
    backend::{Backend, refused},
    error::RemoteError,
    record::{Phase, Record},
    system::{Observation, Open, Stop, System},
};

/// How often a run may get another identity while it is being stopped.
const MAX_MOVES: usize = 3;

impl<S: System> Backend<S> {
    pub(crate) async fn view(&self, pipeline: &str, run: &str) -> Result<RunView, PipelineError> {
        let open = match self.own(pipeline, run).await? {
            Some((_, record)) if record.phase == Phase::Triggering => return Ok(unanswered(run)),
            Some((key, record)) => match (record.open::<S>(&key), record.phase) {
                // The server may have forgotten the run.
                (Some(open), Phase::Ended { run: ended, end }) => {
                    return self.view_of(&open, run, Observation::Ended { run: ended, end });
                }
                (Some(open), _) => open,
                (None, Phase::NotStarted(reason)) => return Err(refused(reason)),
                (None, _) => return Err(refused(format!("the state of the pipeline run `{key}` is not known"))),
            },
            None => self.locate(pipeline, run).await?,
        };
        let observation = self.system.look(&open).await.map_err(RemoteError::while_changing)?;
        self.view_of(&open, run, observation)
    }

    pub(crate) async fn output_of(&self, pipeline: &str, run: &str, bytes: usize) -> Result<String, PipelineError> {
        let open = self.find(pipeline, run).await?;
        self.system.tail(&open, bytes).await.map_err(RemoteError::while_changing)
    }

    pub(crate) async fn tests(&self, pipeline: &str, run: &str) -> Result<TestReport, PipelineError> {
        let open = self.find(pipeline, run).await?;
        self.system.tests(&open).await.map_err(RemoteError::while_changing)
    }

    pub(crate) async fn answer(
        &self,
        pipeline: &str,
        run: &str,
        gate: &str,
        answer: &GateAnswer,
    ) -> Result<(), PipelineError> {
        let open = self.find(pipeline, run).await?;
        self.system.answer(&open, gate, answer).await.map_err(RemoteError::while_changing)
    }

    /// Asks the server to stop a run once. A run that the host started is cancelled, so that it is stopped with more force
    /// if it does not end.
    pub(crate) async fn stop_existing(self: &Arc<Self>, pipeline: &str, run: &str) -> Result<(), PipelineError> {
        if let Some((key, _)) = self.own(pipeline, run).await? {
            return self.cancel(&key).await;
        }
        let mut open = self.locate(pipeline, run).await?;
        if let Some(key) = self.key_of(&open).await? {
            return self.cancel(&key).await;
        }
        for _ in 0..MAX_MOVES {
            match self.system.stop(&open, 0).await.map_err(RemoteError::while_changing)? {
                Stop::Requested | Stop::Done => return Ok(()),
                Stop::Moved(run) => open.run = run,
            }
        }
        Err(RemoteError::not_sent("the run changes too often to be stopped").while_changing())
    }

    /// Returns the run that the host started, if `run` is its key.
    ///
    /// # Errors
    /// It is a run of another pipeline, whose rules can differ.
    async fn own(&self, pipeline: &str, run: &str) -> Result<Option<(RunKey, Record<S>)>, PipelineError> {
        let Some(key) = RunKey::parse(run) else { return Ok(None) };
        match self.read(&key).await? {
            Some(record) if record.pipeline != pipeline => {
                Err(refused(format!("`{run}` is not a run of the pipeline `{pipeline}`")))
            }
            record => Ok(record.map(|record| (key, record))),
        }
    }

    /// Returns the key of a located run, if the host started it.
    async fn key_of(&self, open: &Open<S>) -> Result<Option<RunKey>, PipelineError> {
        let (records, _) = self.others(&open.key).await?;
        let (pipeline, id) = (self.system.pipeline(&open.request), self.system.id(&open.run));
        let is_same = |record: &Record<S>| {
            let request = record.request.as_ref();
            id.is_some()
                && request.is_some_and(|request| self.system.pipeline(request) == pipeline)
                && record.run().is_some_and(|run| self.system.id(run) == id)
        };
        Ok(records.into_iter().find(|(_, record)| is_same(record)).map(|(key, _)| key))
    }

    /// Finds a run by the host's key or by the id of the server.
    async fn find(&self, pipeline: &str, run: &str) -> Result<Open<S>, PipelineError> {
        match self.own(pipeline, run).await? {
            Some((key, record)) => record
                .open::<S>(&key)
                .ok_or_else(|| refused(format!("the system has not answered the start of the run `{key}`"))),
            None => self.locate(pipeline, run).await,
        }
    }

    /// Finds a run by the id of the server.
    async fn locate(&self, pipeline: &str, run: &str) -> Result<Open<S>, PipelineError> {
        let (request, run) = self.system.locate(pipeline, run).await.map_err(RemoteError::while_changing)?;
        // The key has no file. It only names the run in the answer.
        Ok(Open { key: RunKey::new("view", 0), request, run, requested: Timestamp::now() })
    }

    fn view_of(&self, open: &Open<S>, id: &str, observation: Observation<S::Run>) -> Result<RunView, PipelineError> {
        let view = |run: &S::Run| RunView {
            id: self.system.id(run).unwrap_or_else(|| id.to_owned()),
            is_waiting: false,
            outcome: None,
            message: String::new(),
            started: None,
            ended: None,
            url: self.system.url(&open.request, Some(run)),
            progress: RunProgress::default(),
        };
        Ok(match observation {
            Observation::Open(progress) => RunView {
                is_waiting: self.system.title(&progress.run).is_none(),
                message: progress.waits.unwrap_or_default(),
                started: progress.started,
                progress: RunProgress { stages: progress.stages, gates: progress.gates },
                ..view(&progress.run)
            },
            Observation::Ended { run, end } => RunView {
                outcome: Some(end.outcome),
                message: end.message,
                started: Some(end.started),
                ended: Some(end.ended),
                ..view(&run)
            },
            // A server that starts does not know its runs yet.
            Observation::Missing(_) => {
                return Err(refused(format!("{} shows no run `{id}` of this pipeline", S::NAME)));
            }
        })
    }
}

/// The view of a run whose start the server has not answered yet.
fn unanswered(run: &str) -> RunView {
    RunView {
        id: run.to_owned(),
        is_waiting: true,
        outcome: None,
        message: "the system has not answered the start".to_owned(),
        started: None,
        ended: None,
        url: None,
        progress: RunProgress::default(),
    }
}
