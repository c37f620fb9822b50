//! The output of containers.

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use jiff::Timestamp;

use super::{Call, status};

impl Call<'_> {
    pub(super) fn output(&self) -> Response {
        let down = self.shared.faults().no_kubelet.clone();
        if !down.is_empty() && self.name.contains(&down) {
            let message = "Get \"https://10.0.0.7:10250/containerLogs/ci/pod/step\": dial tcp 10.0.0.7:10250: connect: \
                           connection refused";
            return status(500, "InternalError", message);
        }
        let data = self.shared.data();
        let pod = &self.name;
        if !data.output.keys().any(|(found, _)| found == pod) {
            return status(404, "NotFound", &format!("pods \"{pod}\" not found"));
        }
        let Some(container) = self.query("container") else {
            let message = format!("a container name must be specified for pod {pod}, choose one of: [...]");
            return status(400, "BadRequest", &message);
        };
        let lines = match data.output.get(&(pod.clone(), container.to_owned())) {
            None => return status(400, "BadRequest", &format!("container {container} is not valid for pod {pod}")),
            Some(None) => {
                let message =
                    format!("container \"{container}\" in pod \"{pod}\" is waiting to start: PodInitializing");
                return status(400, "BadRequest", &message);
            }
            Some(Some(lines)) => lines,
        };
        // The last lines of the whole output, and then those since a time. The node gets the time in whole seconds.
        let tail = self.query("tailLines").and_then(|text| text.parse::<usize>().ok()).unwrap_or(usize::MAX);
        let since = self.query("sinceTime").and_then(|text| text.parse::<Timestamp>().ok());
        let since = since.and_then(|time| Timestamp::from_second(time.as_second()).ok());
        let has_times = self.query("timestamps") == Some("true");
        let mut body = Vec::new();
        for (time, line) in &lines[lines.len().saturating_sub(tail)..] {
            if since.is_some_and(|since| *time < since) {
                continue;
            }
            if has_times {
                body.extend_from_slice(format!("{time:.9} ").as_bytes());
            }
            body.extend_from_slice(line);
        }
        let limit = self.query("limitBytes").and_then(|text| text.parse::<usize>().ok()).unwrap_or(usize::MAX);
        body.truncate(limit);
        ([(header::CONTENT_TYPE, "text/plain")], body).into_response()
    }
}
