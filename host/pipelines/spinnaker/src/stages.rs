//! Reads the stages of an execution: how far each is, why it failed, and the question of a manual judgement.
//!
//! Sources: Orca's `DefaultExceptionHandler.java` and `RetrofitExceptionHandler.java` (`context.exception.details`),
//! `MonitorKatoTask.java` (`kato.tasks`), `ManualJudgmentStage.groovy`; Deck's `manualJudgmentApproval` (`instructions`,
//! `judgmentInputs`).

use serde_json::Value;
use wardroom::{
    adapter::{Gate, Stage, StageState},
    base::clean,
};

use crate::client::{Context, Execution, StageInfo, Status};

/// The maximum length of the reason of a failure and of a question, in characters.
const MAX_TEXT: usize = 600;
/// The maximum number of failed stages that the reason of an execution names.
const MAX_FAILED: usize = 3;

/// Returns the stages of the pipeline itself.
pub(crate) fn stages(execution: &Execution) -> Vec<Stage> {
    let top = execution.top_stages().into_iter();
    top.map(|stage| Stage { name: one_line(stage.title()), state: state(stage) }).collect()
}

fn state(stage: &StageInfo) -> StageState {
    match stage.status() {
        Status::NotStarted => StageState::Pending,
        Status::Running if stage.waits_for_judgement() => StageState::Paused,
        Status::Running | Status::Unknown => StageState::Running,
        Status::Held => StageState::Paused,
        Status::Succeeded => StageState::Succeeded,
        Status::FailedContinue | Status::Failed | Status::Stopped => StageState::Failed,
        Status::Cancelled => StageState::Cancelled,
        Status::Skipped => StageState::Skipped,
    }
}

/// Returns the gate of a manual judgement.
pub(crate) fn gate(stage: &StageInfo) -> Gate {
    let context = stage.context.as_ref();
    let text = context.and_then(|context| context.instructions.as_str()).map(without_tags).unwrap_or_default();
    let name = one_line(stage.title());
    let message = if text.is_empty() { name } else { format!("{name}: {text}") };
    Gate { id: stage.id.clone(), message, choices: context.map(choices).unwrap_or_default() }
}

/// Returns the answers between which a judgement offers a choice.
pub(crate) fn choices(context: &Context) -> Vec<String> {
    let inputs = context.judgment_inputs.as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |input: &Value| input.get("value").unwrap_or(input).as_str().map(str::to_owned);
    inputs.iter().filter_map(text).filter(|input| !input.is_empty()).collect()
}

/// Returns why an execution failed: its failed stages, each with its reason. Empty if no stage failed.
pub(crate) fn failures(execution: &Execution, is_failure: impl Fn(Status) -> bool) -> String {
    let top = execution.top_stages();
    let failed: Vec<&&StageInfo> = top.iter().filter(|stage| is_failure(stage.status())).collect();
    let mut parts: Vec<String> = failed
        .iter()
        .take(MAX_FAILED)
        .map(|stage| {
            let status = stage.status.as_deref().unwrap_or_default();
            let reason = reason(execution, stage).unwrap_or_else(|| format!("the stage ended with {status}"));
            format!("in stage {}: {reason}", one_line(stage.title()))
        })
        .collect();
    if failed.len() > MAX_FAILED {
        parts.push(format!("{} more stages failed", failed.len() - MAX_FAILED));
    }
    parts.join("; ")
}

/// Returns why a stage failed. The reason can be in a stage that it has added.
pub(crate) fn reason(execution: &Execution, stage: &StageInfo) -> Option<String> {
    let stages = execution.with_added(stage);
    let text = stages.iter().filter_map(|stage| stage.context.as_ref()).find_map(reason_in)?;
    Some(one_line(&text))
}

fn reason_in(context: &Context) -> Option<String> {
    let details = context.exception.get("details");
    let errors = details.and_then(|details| details.get("errors")).and_then(Value::as_array);
    let errors: Vec<&str> = errors.into_iter().flatten().filter_map(Value::as_str).collect();
    let error = details.and_then(|details| details.get("error")).and_then(Value::as_str).unwrap_or_default();
    if !errors.is_empty() {
        return Some(errors.join("; "));
    }
    let tasks = context.kato_tasks.as_array().map(Vec::as_slice).unwrap_or_default();
    let of_task = |task: &Value| {
        let exception = task.get("exception")?;
        let text = exception.get("message").or_else(|| exception.get("cause"))?.as_str()?;
        Some(text.to_owned())
    };
    // The last task is the one that failed.
    let of_tasks = tasks.iter().rev().find_map(of_task).filter(|text| !text.is_empty());
    let message = context.failure_message.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    of_tasks.or(message).or_else(|| Some(error.to_owned()).filter(|error| !error.is_empty()))
}

/// Returns the page of the build that a stage has started in another system.
pub(crate) fn build_url(stage: &StageInfo) -> Option<String> {
    let url = stage.context.as_ref()?.build_info.get("url")?.as_str()?;
    let is_web = url.starts_with("http://") || url.starts_with("https://");
    is_web.then(|| one_line(url))
}

/// Returns a text of Spinnaker as one line for a message.
pub(crate) fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = clean(&words.join(" "));
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Returns the text of instructions, which can contain HTML.
fn without_tags(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(begin) = rest.find('<') {
        let (before, tag) = rest.split_at(begin);
        text.push_str(before);
        let is_tag = tag[1..].starts_with(|next: char| next.is_ascii_alphabetic() || next == '/' || next == '!');
        match tag.find('>').filter(|_| is_tag) {
            Some(end) => {
                text.push(' ');
                rest = &tag[end + 1..];
            }
            None => {
                text.push('<');
                rest = &tag[1..];
            }
        }
    }
    text.push_str(rest);
    let plain = text.replace("&nbsp;", " ").replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    one_line(&plain.replace("&amp;", "&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn execution(stages: &str) -> Execution {
        serde_json::from_str(&format!(r#"{{"id":"01J","status":"TERMINAL","stages":[{stages}]}}"#)).unwrap()
    }

    #[test]
    fn the_reason_of_a_failure_is_found_where_spinnaker_writes_it() {
        for (context, expected) in [
            (
                r#"{"exception":{"details":{"error":"Unexpected Task Failure","errors":["no image","x\ny"]}}}"#,
                "no image; x y",
            ),
            (r#"{"exception":{"details":{"error":"Unexpected Task Failure","errors":[]}}}"#, "Unexpected Task Failure"),
            (
                r#"{"kato.tasks":[{"exception":{"message":"old"}},{"exception":{"message":"quota exceeded"}}],
                    "exception":{"details":{"error":"Monitor failed"}}}"#,
                "quota exceeded",
            ),
            (r#"{"failureMessage":"Check failed"}"#, "Check failed"),
            (r#"{"exception":"text","kato.tasks":{},"failureMessage":7}"#, "the stage ended with TERMINAL"),
        ] {
            let stage = format!(r#"{{"id":"a","name":"Deploy","status":"TERMINAL","context":{context}}}"#);
            let found = failures(&execution(&stage), Status::is_failure);
            assert_eq!(found, format!("in stage Deploy: {expected}"));
        }
    }

    #[test]
    fn the_reason_can_be_in_a_stage_that_was_added() {
        let stages = r#"{"id":"a","name":"Deploy","status":"TERMINAL"},
            {"id":"b","name":"createServerGroup","status":"TERMINAL","parentStageId":"a",
             "context":{"exception":{"details":{"errors":["no capacity"]}}}},
            {"id":"c","name":"Clean up","status":"CANCELED"}"#;
        assert_eq!(failures(&execution(stages), Status::is_failure), "in stage Deploy: no capacity");
    }

    #[test]
    fn many_failed_stages_are_counted() {
        let stage = |at: usize| format!(r#"{{"id":"{at}","name":"S{at}","status":"TERMINAL","startTime":{at}}}"#);
        let stages: Vec<String> = (1..=5).map(stage).collect();
        let text = failures(&execution(&stages.join(",")), Status::is_failure);
        assert!(text.starts_with("in stage S1: ") && text.ends_with("; 2 more stages failed"), "{text}");
    }

    #[test]
    fn a_judgement_has_a_question_and_choices() {
        let stage = |context: &str| -> StageInfo {
            let text = format!(
                r#"{{"id":"j","name":"Go live?","status":"RUNNING","type":"manualJudgment","context":{context}}}"#
            );
            serde_json::from_str(&text).unwrap()
        };
        let asked = gate(&stage(
            r#"{"instructions":"<p>Look at <b>the dashboard</b> &amp; the logs, errors < 1&nbsp;%</p>",
                "judgmentInputs":[{"value":"blue"},{"value":""},"green",{"other":1}]}"#,
        ));
        assert_eq!(asked.message, "Go live?: Look at the dashboard & the logs, errors < 1 %");
        assert_eq!((&*asked.id, asked.choices), ("j", vec!["blue".to_owned(), "green".to_owned()]));
        let bare = gate(&stage("{}"));
        assert_eq!((&*bare.message, bare.choices.len()), ("Go live?", 0));
    }

    #[test]
    fn each_status_of_a_stage_has_a_state() {
        for (status, state) in [
            ("NOT_STARTED", StageState::Pending),
            ("RUNNING", StageState::Running),
            ("REDIRECT", StageState::Running),
            ("PAUSED", StageState::Paused),
            ("SUSPENDED", StageState::Paused),
            ("SUCCEEDED", StageState::Succeeded),
            ("FAILED_CONTINUE", StageState::Failed),
            ("TERMINAL", StageState::Failed),
            ("STOPPED", StageState::Failed),
            ("CANCELED", StageState::Cancelled),
            ("SKIPPED", StageState::Skipped),
            ("BEING_THOUGHT_ABOUT", StageState::Running),
        ] {
            let execution = execution(&format!(r#"{{"id":"a","name":"A","status":"{status}"}}"#));
            assert_eq!(stages(&execution), [Stage { name: "A".to_owned(), state }]);
        }
    }
}
