//! A part of the console output of a build.
//!
//! Source: stapler's `LargeText.doProgressText`. The offsets count the bytes of the file on the server. The text has other
//! lengths, because Jenkins removes console notes and ends lines with CR LF. The next offset is therefore known from
//! `X-Text-Size` only. Until a build has ended, one response has at most 10,000 lines.

use std::{collections::VecDeque, time::Instant};

use tokio::time::timeout_at;

use super::{Call, Client, MAX_ERROR_BODY, report};
use crate::{
    error::{JenkinsError, classify, no_response, not_the_api},
    job_path::{JobPath, below},
    responses::Request,
};

/// The maximum number of bytes that are read of one response. The rest is skipped, as is what does not arrive within half
/// of the timeout.
const MAX_READ: usize = 16 << 20;

/// A part of the output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogChunk {
    /// The last bytes of the part.
    pub(crate) bytes: Vec<u8>,
    /// Whether other text of the part was left out.
    pub(crate) is_cut: bool,
    /// The offset at which the next part begins.
    pub(crate) next: u64,
    /// Whether Jenkins will write more.
    pub(crate) has_more: bool,
}

impl Client {
    /// Returns the output of a build from the offset `start`, at most its last `keep` bytes. `keep` 0 returns only the
    /// next offset. If the output is shorter than `start`, Jenkins returns it from its beginning.
    pub(crate) async fn log(
        &self,
        job: &JobPath,
        number: u64,
        start: u64,
        keep: usize,
    ) -> Result<LogChunk, JenkinsError> {
        let text = number.to_string();
        let call = Call::read(
            job.segments().chain([&*text, "logText", "progressiveText"]),
            format!("output of build #{number} of the job `{job}`"),
        );
        let secret = self.credentials.secret()?;
        let permit = self.breaker.permit().map_err(JenkinsError::not_sent)?;
        let _slot = self.slots.acquire().await;
        let chunk = self.read_log(&call, &secret, start, keep).await;
        report(permit, chunk.as_ref().err());
        chunk
    }

    async fn read_log(
        &self,
        call: &Call<'_>,
        secret: &wardroom::base::Secret,
        start: u64,
        keep: usize,
    ) -> Result<LogChunk, JenkinsError> {
        let failed = |error| no_response(error, &self.server(), self.timeout);
        let began = Instant::now();
        let sent = self
            .http()?
            .get(below(&self.base, call.segments.iter().copied()))
            .query(&[("start", start)])
            .basic_auth(&self.credentials.user, Some(secret.expose()))
            .timeout(self.timeout)
            .send()
            .await;
        let status = sent.as_ref().ok().map(|response| response.status().as_u16());
        wardroom::metrics::http_request(&self.name, "GET", status, began);
        let mut response = sent.map_err(failed)?;
        let (status, headers) = (response.status(), response.headers().clone());
        if !status.is_success() {
            let body = self.read_body(response, MAX_ERROR_BODY).await.ok().flatten().unwrap_or_default();
            return Err(classify(Request::Read, status, &headers, &body, &call.what, &self.credentials.user));
        }
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let Some(next) = header("x-text-size").and_then(|size| size.trim().parse().ok()) else {
            let body = self.read_body(response, MAX_ERROR_BODY).await.ok().flatten().unwrap_or_default();
            return Err(not_the_api(&headers, &body));
        };
        let has_more = header("x-more-data").is_some_and(|more| more.trim() == "true");
        let (mut kept, mut read, mut is_whole) = (VecDeque::new(), 0_usize, false);
        // A slow connection must not end in a timeout, because the same part would be requested again and again.
        let deadline = began + self.timeout / 2;
        while keep > 0 && read <= MAX_READ {
            let part = match timeout_at(deadline.into(), response.chunk()).await {
                Ok(part) => part.map_err(failed)?,
                Err(_) => break,
            };
            let Some(part) = part else {
                is_whole = true;
                break;
            };
            read = read.saturating_add(part.len());
            let part = &part[part.len().saturating_sub(keep)..];
            kept.drain(..(kept.len() + part.len()).saturating_sub(keep));
            kept.extend(part);
        }
        let is_cut = !is_whole || read > kept.len();
        Ok(LogChunk { is_cut, bytes: kept.into(), next, has_more })
    }
}
