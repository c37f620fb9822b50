//! Reads and changes any run of the server, also one that the host did not start.

use wardroom::{
    Timestamp,
    adapter::{GateAnswer, PipelineError, RunProgress, RunView, TestReport},
    model::RunKey,
};

use crate::{
    backend::Backend,
    error::RemoteError,
    system::{Observation, Open, Stop, System},
};

/// How often a run may get another identity while it is being stopped.
const MAX_MOVES: usize = 3;

impl<S: System> Backend<S> {
    pub(crate) async fn view(&self, pipeline: &str, run: &str) -> Result<RunView, PipelineError> {
        let open = self.find(pipeline, run).await?;
        let observation = self.system.look(&open).await.map_err(RemoteError::while_changing)?;
        Ok(self.view_of(&open, run, observation))
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

    /// Asks the server to stop a run once. A run that the host started is cancelled with more force if it does not end.
    pub(crate) async fn stop_existing(&self, pipeline: &str, run: &str) -> Result<(), PipelineError> {
        let mut open = self.find(pipeline, run).await?;
        for _ in 0..MAX_MOVES {
            match self.system.stop(&open, 0).await.map_err(RemoteError::while_changing)? {
                Stop::Requested | Stop::Done => return Ok(()),
                Stop::Moved(run) => open.run = run,
            }
        }
        Err(RemoteError::not_sent("the run changes too often to be stopped").while_changing())
    }

    /// Returns the key of a run that the host started, if `run` is one.
    pub(crate) async fn own(&self, run: &str) -> Result<Option<(RunKey, Open<S>)>, PipelineError> {
        let Some(key) = RunKey::parse(run) else { return Ok(None) };
        let record = self.read(&key).await?;
        Ok(record.and_then(|record| record.open::<S>(&key)).map(|open| (key, open)))
    }

    /// Finds a run by the host's key or by the id of the server.
    async fn find(&self, pipeline: &str, run: &str) -> Result<Open<S>, PipelineError> {
        if let Some((_, open)) = self.own(run).await? {
            return Ok(open);
        }
        let (request, run) = self.system.locate(pipeline, run).await.map_err(RemoteError::while_changing)?;
        // The key has no file. It only names the run in the answer.
        Ok(Open { key: RunKey::new("view", 0), request, run, requested: Timestamp::now() })
    }

    fn view_of(&self, open: &Open<S>, id: &str, observation: Observation<S::Run>) -> RunView {
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
        match observation {
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
            Observation::Missing(end) => {
                RunView { outcome: Some(end.outcome), message: end.message, ..view(&open.run) }
            }
        }
    }
}
