//! Pipelines and executions of the server, also those that the host did not start.
//!
//! Invariant: an execution is found only under its own pipeline, because the rights of a person are those on the pipeline.

use futures_util::future::try_join_all;
use wardroom::adapter::{ParameterDescription, PipelineDescription};
use wardroom_remote::RemoteError;

use crate::{
    client::{Execution, ParameterConfig, is_id},
    convert::execution_view,
    definition::{Origin, Trigger},
    pipeline_path::PipelinePath,
    stages::one_line,
    system::{ExecutionId, Spinnaker},
};

/// The number of executions in the description of a pipeline.
const NEWEST: usize = 10;
/// The number of applications whose pipelines one list requests. Gate has no list over all applications.
const MAX_APPLICATIONS: usize = 50;

impl Spinnaker {
    /// Returns the paths of the pipelines that contain `filter`, at most `most`.
    pub(crate) async fn list_pipelines(&self, filter: &str, most: usize) -> Result<Vec<String>, RemoteError> {
        let mut applications = self.client.applications().await?;
        applications.sort();
        if let Some((application, _)) = filter.split_once('/') {
            applications.retain(|name| name.ends_with(application));
        }
        if applications.len() > MAX_APPLICATIONS {
            return Err(RemoteError::rejected(format!(
                "Spinnaker has {} applications, and the pipelines of at most {MAX_APPLICATIONS} are listed at once; write the \
                 application with a slash, for example `{}/`",
                applications.len(),
                one_line(&applications[0])
            )));
        }
        let lists = applications.iter().map(|application| self.client.pipelines(application));
        let lists = try_join_all(lists).await?;
        let mut paths: Vec<String> = applications
            .iter()
            .zip(lists)
            .flat_map(|(application, list)| {
                list.into_iter().filter_map(move |pipeline| {
                    let application = pipeline.application.as_ref().unwrap_or(application);
                    Some(format!("{application}/{}", pipeline.name?))
                })
            })
            .filter(|path| path.contains(filter))
            .collect();
        paths.sort();
        paths.truncate(most);
        Ok(paths)
    }

    /// Returns the parameters and the newest executions of a pipeline.
    pub(crate) async fn describe_pipeline(
        &self,
        path: &PipelinePath,
        origin: Origin,
    ) -> Result<PipelineDescription, RemoteError> {
        let application = &path.application;
        let pipeline = self.definition(path, origin).await?;
        let executions = match pipeline.id.as_deref() {
            Some(id) => self.client.newest(application, id, NEWEST).await?,
            None => Vec::new(),
        };
        let view = |execution: &Execution| {
            let url = self.execution_url(application, &execution.id);
            execution_view(&self.client.server, execution, url)
        };
        let parameters = pipeline.parameter_config.unwrap_or_default();
        Ok(PipelineDescription {
            parameters: parameters.iter().map(describe_parameter).collect(),
            runs: executions.iter().take(NEWEST).map(view).collect(),
        })
    }

    /// Returns the execution of a pipeline with this id.
    pub(crate) async fn locate_execution(
        &self,
        path: PipelinePath,
        origin: Origin,
        id: &str,
    ) -> Result<(Trigger, ExecutionId), RemoteError> {
        let unknown =
            || RemoteError::Missing { reason: format!("the pipeline `{path}` has no execution `{}`", one_line(id)) };
        if !is_id(id) {
            return Err(unknown());
        }
        let pipeline = self.definition(&path, origin).await?;
        let execution = match self.client.execution(&path.application, id).await {
            Ok(execution) => execution,
            Err(RemoteError::Missing { .. }) => return Err(unknown()),
            Err(error) => return Err(error),
        };
        if pipeline.id.is_none() || execution.pipeline_config_id != pipeline.id {
            return Err(unknown());
        }
        Ok((Trigger { path, id: pipeline.id, values: Default::default() }, ExecutionId { id: execution.id }))
    }
}

fn describe_parameter(parameter: &ParameterConfig) -> ParameterDescription {
    let default = parameter.default_value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let options = parameter.options().unwrap_or_default();
    ParameterDescription {
        name: parameter.name.clone(),
        description: parameter.description.clone().unwrap_or_default(),
        required: parameter.needs_value(),
        default,
        choices: options.into_iter().map(str::to_owned).collect(),
    }
}
