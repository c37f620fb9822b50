//! Finds the execution of a run whose trigger had no answer, by the correlation id that holds the key of the run.
//!
//! Invariant: a search is complete only if Spinnaker has the pipeline, because Gate searches the pipelines that exist now,
//! by their names; and if the result has fewer executions than were requested.

use std::time::Duration;

use wardroom::{Timestamp, model::RunKey};
use wardroom_remote::{Found, Lost, RemoteError};

use crate::{
    client::{Execution, PipelineConfig, Search},
    definition::{Origin, Trigger, find, not_found},
    system::{ExecutionId, Spinnaker, correlation_id},
};

/// How much earlier than the request an execution may seem to be, because the clocks of Gate and Orca differ.
const CLOCK_MARGIN: Duration = Duration::from_secs(3600);
/// How far back a run is searched of which the host has no file.
const MAX_AGE: Duration = Duration::from_secs(30 * 24 * 3600);

impl Spinnaker {
    pub(crate) async fn search_lost(&self, lost: &Lost<'_, Self>) -> Result<Found<ExecutionId>, RemoteError> {
        let path = &lost.request.path;
        let list = self.definitions(&path.application, Duration::ZERO).await?;
        // The pipeline can have another name now.
        let pipeline = match &lost.request.id {
            Some(id) => list.iter().find(|pipeline| pipeline.id.as_ref() == Some(id)),
            None => find(path, Origin::Given, &list),
        };
        let Some(pipeline) = pipeline else {
            return Ok(Found::Unclear(format!(
                "the pipeline `{path}` was deleted in Spinnaker, so that its executions cannot be searched; look at the \
                 executions of the application"
            )));
        };
        self.search_in(lost.key, &path.application, pipeline, lost.requested - CLOCK_MARGIN).await
    }

    pub(crate) async fn search_without_file(
        &self,
        key: &RunKey,
        pipeline: &str,
    ) -> Result<Found<(Trigger, ExecutionId)>, RemoteError> {
        let (path, origin) = match self.path(pipeline) {
            Ok(path) => path,
            Err(error) => return Ok(Found::Unclear(error.reason().to_owned())),
        };
        let list = self.definitions(&path.application, Duration::ZERO).await?;
        let Some(pipeline) = find(&path, origin, &list) else {
            return Ok(Found::Unclear(not_found(&path, &list)));
        };
        let found = self.search_in(key, &path.application, pipeline, Timestamp::now() - MAX_AGE).await?;
        Ok(match found {
            Found::Run(run) => {
                let trigger = Trigger { path, id: pipeline.id.clone(), values: Default::default() };
                Found::Run((trigger, run))
            }
            Found::Nothing => Found::Nothing,
            Found::Unclear(reason) => Found::Unclear(reason),
        })
    }

    async fn search_in(
        &self,
        key: &RunKey,
        application: &str,
        pipeline: &PipelineConfig,
        since: Timestamp,
    ) -> Result<Found<ExecutionId>, RemoteError> {
        let correlation_id = correlation_id(key);
        let name = pipeline.name.as_deref().unwrap_or_default();
        let search = Search { application, pipeline: name, correlation_id: &correlation_id, since };
        let executions = self.client.search(&search).await?;
        Ok(among(&executions, &correlation_id, pipeline.id.as_deref()))
    }
}

/// Returns the first execution that has the correlation id and belongs to the pipeline.
fn among(executions: &[Execution], correlation_id: &str, pipeline: Option<&str>) -> Found<ExecutionId> {
    let is_of_pipeline = |execution: &&Execution| match (execution.pipeline_config_id.as_deref(), pipeline) {
        (Some(id), Some(pipeline)) => id == pipeline,
        _ => true,
    };
    let fitting = executions.iter().filter(|execution| execution.correlation_id() == Some(correlation_id));
    let first = fitting.filter(is_of_pipeline).min_by_key(|execution| (execution.build_time, execution.id.clone()));
    match first {
        Some(execution) => Found::Run(ExecutionId { id: execution.id.clone() }),
        None if executions.len() >= Search::MAX => Found::Unclear(format!(
            "Spinnaker returned the newest {} executions of the pipeline, and those before them could be the one of this \
             run; look at the executions of the pipeline",
            Search::MAX
        )),
        None => Found::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn execution(id: &str, correlation_id: &str, pipeline: &str, built: i64) -> Execution {
        Execution {
            id: id.to_owned(),
            build_time: Some(built),
            pipeline_config_id: Some(pipeline.to_owned()),
            trigger: json!({ "correlationId": correlation_id }),
            ..Execution::default()
        }
    }

    #[test]
    fn the_first_execution_with_the_correlation_id_is_found() {
        let list = [
            execution("d", "wardroom-7f3ak-2", "p", 9),
            execution("c", "wardroom-7f3ak-2", "p", 7),
            execution("b", "WARDROOM-7f3ak-2", "p", 6),
            execution("a", "wardroom-7f3ak-2", "other", 5),
        ];
        let found = |id: &str| Found::Run(ExecutionId { id: id.to_owned() });
        assert_eq!(among(&list, "wardroom-7f3ak-2", Some("p")), found("c"));
        assert_eq!(among(&list, "wardroom-7f3ak-2", None), found("a"));
        assert_eq!(among(&list, "wardroom-7f3ak-3", Some("p")), Found::Nothing);
    }

    #[test]
    fn a_full_page_decides_nothing() {
        let list: Vec<Execution> = (0..).map(|at| execution("e", "x", "p", at)).take(Search::MAX).collect();
        assert!(matches!(among(&list, "wardroom-a-1", Some("p")), Found::Unclear(_)));
        assert_eq!(among(&list[1..], "wardroom-a-1", Some("p")), Found::Nothing);
    }
}
