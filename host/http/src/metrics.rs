//! `GET /metrics`, and the Prometheus recorder that collects the metrics.

use std::sync::Arc;

use anyhow::Context as _;
use axum::{
    body::Body,
    extract::State,
    http::{Response, header},
    response::IntoResponse as _,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use wardroom::metrics::TABLE;

use crate::{AppState, health::health};

/// A handle to the process's Prometheus recorder. A clone is cheap and reads the same recorder.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Installs the process's recorder. Call `install` once, before the engine is built.
    ///
    /// # Errors
    /// The process already has a metrics recorder.
    pub fn install() -> anyhow::Result<Self> {
        let recorder = recorder()?;
        let metrics = Self(recorder.handle());
        ::metrics::set_global_recorder(recorder).ok().context("the process already has a metrics recorder")?;
        Ok(metrics)
    }

    #[cfg(test)]
    pub(crate) fn of(recorder: &PrometheusRecorder) -> Self {
        Self(recorder.handle())
    }

    /// Moves recorded values into their histograms, which frees the memory of the recorded values.
    pub(crate) fn run_upkeep(&self) {
        self.0.run_upkeep();
    }
}

/// Builds a recorder with the descriptions and the histogram buckets of [`TABLE`].
pub(crate) fn recorder() -> anyhow::Result<PrometheusRecorder> {
    let mut builder = PrometheusBuilder::new();
    for metric in TABLE {
        if let Some(bounds) = metric.buckets() {
            builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), bounds)?;
        }
    }
    let recorder = builder.build_recorder();
    for metric in TABLE {
        metric.describe(&recorder);
    }
    Ok(recorder)
}

/// Returns all metrics in the text format of Prometheus. While the store cannot be read, the metrics that are computed
/// from the store keep the values of the last successful read.
pub(crate) async fn render(State(state): State<Arc<AppState>>) -> Response<Body> {
    for account in state.engine.accounts() {
        account.record();
    }
    for store in state.engine.secret_stores() {
        store.record();
    }
    if let Some(health) = health(&state).await {
        health.record();
    }
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], state.metrics.0.render()).into_response()
}
