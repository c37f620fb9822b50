//! `GET /metrics`, and what keeps the figures until somebody asks.

use std::sync::Arc;

use anyhow::Context as _;
use axum::{
    body::Body,
    extract::State,
    http::{HeaderValue, Response, header},
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use wardroom::figures::{self, Kind, TABLE};

use crate::{Desk, health::health};

/// What is counted and measured in this process.
#[derive(Clone)]
pub struct Figures(PrometheusHandle);

impl Figures {
    /// Has everything that is recorded in this process from here on kept. To be called once, before the engine is built.
    ///
    /// # Errors
    /// Something else keeps it already.
    pub fn install() -> anyhow::Result<Self> {
        let recorder = recorder()?;
        let figures = Self(recorder.handle());
        metrics::set_global_recorder(recorder).ok().context("the figures are kept by something else already")?;
        figures::describe();
        Ok(figures)
    }

    #[cfg(test)]
    pub(crate) fn of(recorder: &PrometheusRecorder) -> Self {
        Self(recorder.handle())
    }

    /// Sorts what was measured into its buckets.
    pub(crate) fn sort(&self) {
        self.0.run_upkeep();
    }
}

/// A recorder with the table's buckets.
pub(crate) fn recorder() -> anyhow::Result<PrometheusRecorder> {
    let mut builder = PrometheusBuilder::new();
    for figure in TABLE {
        if let Kind::Seconds(bounds) = figure.kind {
            builder = builder.set_buckets_for_metric(Matcher::Full(figure.name.to_owned()), bounds)?;
        }
    }
    Ok(builder.build_recorder())
}

/// All figures, in the text format of Prometheus.
pub(crate) async fn metrics(State(desk): State<Arc<Desk>>) -> Response<Body> {
    // What is known without the store is told without it.
    figures::accounts(&desk.engine.accounts());
    if let Some(health) = health(&desk).await {
        figures::health(&health);
    }
    let mut response = Response::new(Body::from(desk.figures.0.render()));
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
