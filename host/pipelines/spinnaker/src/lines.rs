//! The output of an execution: a line for each change of a stage. Gate has no console output.

use std::collections::BTreeMap;

use wardroom::base::spoken_duration;

use crate::{
    client::{Execution, StageInfo, Status},
    stages::{build_url, one_line, reason},
};

/// Which changes of an execution were told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// The status of each stage, by its id.
    stages: BTreeMap<String, String>,
    /// The stages whose build was told.
    builds: BTreeMap<String, String>,
    is_paused: bool,
}

impl Told {
    /// Returns the lines for what has changed since the last call.
    pub(crate) fn lines(&mut self, execution: &Execution) -> Vec<String> {
        let mut lines = Vec::new();
        for stage in execution.top_stages() {
            let status = stage.status.clone().unwrap_or_default();
            let is_new = self.stages.get(&stage.id) != Some(&status);
            let name = one_line(stage.title());
            if let Some(url) = build_url(stage).filter(|url| self.builds.get(&stage.id) != Some(url)) {
                lines.push(format!("{name}: {url}"));
                self.builds.insert(stage.id.clone(), url);
            }
            if is_new && let Some(change) = change(stage) {
                lines.push(match reason(execution, stage).filter(|_| stage.status().is_failure()) {
                    Some(reason) => format!("{name}: {change}: {reason}"),
                    None => format!("{name}: {change}"),
                });
            }
            self.stages.insert(stage.id.clone(), status);
        }
        let is_paused = execution.status() == Status::Held;
        if is_paused != self.is_paused {
            let change = if is_paused { "was paused" } else { "goes on" };
            lines.push(format!("the execution {change} in Spinnaker"));
            self.is_paused = is_paused;
        }
        lines
    }
}

/// Returns how far a stage is; `None` if it has not begun.
fn change(stage: &StageInfo) -> Option<String> {
    let took = match (stage.start_time, stage.end_time) {
        (Some(start), Some(end)) => u64::try_from(end.saturating_sub(start)).ok(),
        _ => None,
    };
    let took = took.map(|millis| format!(" after {}", spoken_duration(std::time::Duration::from_millis(millis))));
    let took = took.unwrap_or_default();
    Some(match stage.status() {
        Status::NotStarted => return None,
        Status::Running if stage.waits_for_judgement() => "waits for a manual judgement".to_owned(),
        Status::Running => "running".to_owned(),
        Status::Held => "held back".to_owned(),
        Status::Succeeded => format!("succeeded{took}"),
        Status::FailedContinue => format!("failed{took}, and the pipeline goes on"),
        Status::Failed => format!("failed{took}"),
        Status::Stopped => format!("failed{took}, and its branch ends"),
        Status::Cancelled => format!("cancelled{took}"),
        Status::Skipped => "skipped".to_owned(),
        Status::Unknown => one_line(stage.status.as_deref().filter(|status| !status.is_empty())?),
    })
}

/// Returns the last lines of a text of at most `bytes` bytes.
pub(crate) fn last_lines(lines: &[String], bytes: usize) -> String {
    let text = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let start = text.len().saturating_sub(bytes);
    if start == 0 {
        return text;
    }
    // A line that begins before the part is left out.
    let from = text.ceil_char_boundary(start - 1);
    text[from..].split_once('\n').map_or(String::new(), |(_, rest)| rest.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn execution(status: &str, stages: &str) -> Execution {
        serde_json::from_str(&format!(r#"{{"id":"01J","status":"{status}","stages":[{stages}]}}"#)).unwrap()
    }

    #[test]
    fn each_change_is_told_once() {
        let mut told = Told::default();
        let first = execution(
            "RUNNING",
            r#"{"id":"a","name":"Bake","status":"RUNNING","startTime":0},{"id":"b","name":"Deploy"}"#,
        );
        assert_eq!(told.lines(&first), ["Bake: running"]);
        assert_eq!(told.lines(&first), [""; 0]);
        let second = execution(
            "RUNNING",
            r#"{"id":"a","name":"Bake","status":"SUCCEEDED","startTime":0,"endTime":63000,
                "context":{"buildInfo":{"url":"https://ci.example.org/job/bake/7/"}}},
               {"id":"b","name":"Deploy","status":"RUNNING","startTime":64000}"#,
        );
        let lines = ["Bake: https://ci.example.org/job/bake/7/", "Bake: succeeded after 1 min 3 s", "Deploy: running"];
        assert_eq!(told.lines(&second), lines);
        let third = execution(
            "TERMINAL",
            r#"{"id":"a","name":"Bake","status":"SUCCEEDED","startTime":0,"endTime":63000},
               {"id":"b","name":"Deploy","status":"TERMINAL","startTime":64000,"endTime":65000,
                "context":{"exception":{"details":{"errors":["no\ncapacity"]}}}}"#,
        );
        assert_eq!(told.lines(&third), ["Deploy: failed after 1 s: no capacity"]);
    }

    #[test]
    fn a_pause_is_told() {
        let mut told = Told::default();
        assert_eq!(told.lines(&execution("PAUSED", "")), ["the execution was paused in Spinnaker"]);
        assert_eq!(told.lines(&execution("RUNNING", "")), ["the execution goes on in Spinnaker"]);
    }

    #[test]
    fn only_whole_lines_are_returned() {
        let lines = ["one".to_owned(), "zwölf".to_owned(), "three".to_owned()];
        assert_eq!(last_lines(&lines, 100), "one\nzwölf\nthree\n");
        assert_eq!(last_lines(&lines, 13), "zwölf\nthree\n");
        for bytes in 6..13 {
            assert_eq!(last_lines(&lines, bytes), "three\n", "{bytes}");
        }
        assert_eq!(last_lines(&lines, 5), "");
        assert_eq!(last_lines(&lines, 0), "");
    }
}
