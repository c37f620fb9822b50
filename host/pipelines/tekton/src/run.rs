//! The PipelineRun of a run: what is sent, what identifies it, and whether the host created it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wardroom::model::RunKey;
use wardroom_remote::RemoteError;

use crate::{
    names::{is_label_value, run_name},
    tekton::Tekton,
    types::PipelineRun,
};

/// The label with the key of a run.
pub(crate) const RUN_LABEL: &str = "wardroom/run";
/// The label with the id of the installation that started a run.
pub(crate) const INSTALLATION_LABEL: &str = "wardroom/installation";

/// The annotation with the name of the deployment.
const DEPLOYMENT: &str = "wardroom/deployment";

/// What is sent to start a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TektonRequest {
    pub(crate) namespace: String,
    /// The name of the Pipeline.
    pub(crate) pipeline: String,
    /// The name of the deployment, `APP/ENVIRONMENT`.
    pub(crate) deployment: String,
    /// The specification of the PipelineRun.
    pub(crate) spec: Value,
}

/// What identifies a PipelineRun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TektonRun {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
}

impl Tekton {
    /// Returns whether a PipelineRun was created by this host for a key.
    pub(crate) fn is_own(&self, run: &PipelineRun, key: &RunKey) -> Result<bool, RemoteError> {
        let installation = self.installation.id()?;
        Ok(run.metadata.label(RUN_LABEL) == key.as_str() && run.metadata.label(INSTALLATION_LABEL) == installation)
    }

    /// Returns the PipelineRun of a key, if the host created it.
    pub(crate) async fn find(&self, key: &RunKey, namespace: &str) -> Result<Option<PipelineRun>, RemoteError> {
        let name = run_name(key).map_err(RemoteError::rejected)?;
        match self.get_run(namespace, &name).await? {
            Some(run) if self.is_own(&run, key)? => Ok(Some(run)),
            _ => Ok(None),
        }
    }

    /// Returns the request and the identity of a PipelineRun that exists.
    pub(crate) fn existing(
        &self,
        pipeline: &str,
        run: &PipelineRun,
    ) -> Result<(TektonRequest, TektonRun), RemoteError> {
        let (namespace, name) = self.target(pipeline)?;
        let deployment = run.metadata.annotations.get(DEPLOYMENT).map_or(pipeline, String::as_str);
        let request = TektonRequest {
            namespace: namespace.to_owned(),
            pipeline: name.to_owned(),
            deployment: deployment.to_owned(),
            spec: run.spec.clone(),
        };
        Ok((request, identity(namespace, run)))
    }

    pub(crate) fn object(&self, key: &RunKey, name: &str, request: &TektonRequest) -> Result<Value, RemoteError> {
        let mut labels = BTreeMap::from([
            ("app.kubernetes.io/managed-by", "wardroom"),
            (RUN_LABEL, key.as_str()),
            (INSTALLATION_LABEL, self.installation.id()?),
        ]);
        let configured = Some(&request.deployment).filter(|name| self.pipelines.contains_key(*name));
        let (app, environment) = configured.and_then(|name| name.split_once('/')).unwrap_or_default();
        for (label, value) in [("wardroom/app", app), ("wardroom/environment", environment)] {
            if is_label_value(value) {
                labels.insert(label, value);
            }
        }
        Ok(json!({
            "apiVersion": "tekton.dev/v1",
            "kind": "PipelineRun",
            "metadata": {
                "name": name,
                "namespace": request.namespace,
                "labels": labels,
                "annotations": { DEPLOYMENT: request.deployment },
            },
            "spec": request.spec,
        }))
    }
}

/// Returns what identifies a PipelineRun.
pub(crate) fn identity(namespace: &str, run: &PipelineRun) -> TektonRun {
    TektonRun { namespace: namespace.to_owned(), name: run.metadata.name.clone(), uid: run.metadata.uid.clone() }
}
