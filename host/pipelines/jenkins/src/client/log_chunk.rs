//! A part of the console output of a build.
//!
//! Source: stapler's `LargeText.doProgressText`. The offsets count the bytes of the file on the server. The text has other
//! lengths, because Jenkins removes console notes and ends lines with CR LF. The next offset is therefore known from
//! `X-Text-Size` only. Until a build has ended, one response has at most 10,000 lines.

use std::{collections::VecDeque, time::Instant};

use reqwest::Response;
use tokio::time::timeout_at;
use wardroom_remote::{MAX_ERROR_BODY, RemoteError};

use super::{Call, Client};
use crate::{error::classify, job_path::JobPath, responses::Request};

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
    ) -> Result<LogChunk, RemoteError> {
        let text = number.to_string();
        let mut call = Call::read(
            job.segments().chain([&*text, "logText", "progressiveText"]),
            format!("output of build #{number} of the job `{job}`"),
        );
        call.query.push(("start", start.to_string()));
        let secret = self.credentials.secret.get()?;
        let began = Instant::now();
        let build = |request| self.prepare(request, &call, &secret, None);
        let mut open = self.server.open(call.method.clone(), self.url(&call), build).await?;
        let chunk = self.read_log(&call, &mut open.response, began, keep).await;
        open.report(chunk.as_ref().err());
        chunk
    }

    async fn read_log(
        &self,
        call: &Call<'_>,
        response: &mut Response,
        began: Instant,
        keep: usize,
    ) -> Result<LogChunk, RemoteError> {
        let (status, headers) = (response.status(), response.headers().clone());
        if !status.is_success() {
            let answer = self.server.read(response, MAX_ERROR_BODY).await?;
            return Err(classify(Request::Read, status, &headers, &answer.body, &call.what, &self.credentials.user));
        }
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let Some(next) = header("x-text-size").and_then(|size| size.trim().parse().ok()) else {
            let answer = self.server.read(response, MAX_ERROR_BODY).await?;
            return Err(RemoteError::not_the_api("Jenkins", &headers, &answer.body));
        };
        let has_more = header("x-more-data").is_some_and(|more| more.trim() == "true");
        let (mut kept, mut read, mut is_whole) = (VecDeque::new(), 0_usize, false);
        // A slow connection must not end in a timeout, because the same part would be requested again and again.
        let deadline = began + self.timeout() / 2;
        while keep > 0 && read <= MAX_READ {
            let part = match timeout_at(deadline.into(), response.chunk()).await {
                Ok(part) => part.map_err(|error| self.server.failed(error))?,
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
