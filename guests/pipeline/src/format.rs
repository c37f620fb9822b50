//! The texts of the plugin.
//!
//! Invariant: the functions are pure.

use wardroom_guest::pipelines::{Description, Ready, RunInfo, TestReport};
use wardroom_guest::{Failure, Reply, command_line, duration, elapsed, moment};

/// Returns a pipeline with its parameters and runs.
pub(crate) fn description(pipeline: &str, described: &Description) -> String {
    let mut lines = Vec::new();
    if described.parameters.is_empty() {
        lines.push(format!("{pipeline} takes no parameters."));
    } else {
        lines.push(format!("{pipeline} takes:"));
    }
    for parameter in &described.parameters {
        let mut line = format!("  {}", parameter.name);
        if parameter.required {
            line.push_str(" (required)");
        }
        if let Some(default) = parameter.default.as_ref().filter(|default| !default.is_empty()) {
            line.push_str(&format!(", default {default}"));
        }
        if !parameter.choices.is_empty() {
            line.push_str(&format!(", one of {}", parameter.choices.join(", ")));
        }
        if !parameter.description.is_empty() {
            line.push_str(&format!(": {}", parameter.description));
        }
        lines.push(line);
    }
    if described.runs.is_empty() {
        lines.push("It has no runs.".to_owned());
    } else {
        lines.push("Newest runs:".to_owned());
        lines.extend(described.runs.iter().map(|run| format!("  {}", line(run))));
    }
    lines.join("\n")
}

/// Returns a run with its stages, and the command that answers it.
pub(crate) fn status(pipeline: &str, run: &RunInfo) -> String {
    let mut lines = vec![format!("{pipeline}: run {}", line(run))];
    let last = run.stages.len();
    let stages = (1..).zip(&run.stages);
    lines.extend(stages.map(|(number, stage)| format!("  {number}/{last} {}: {}", stage.name, stage.state)));
    for gate in &run.gates {
        let mut question = format!("It waits for an answer to \"{}\"", gate.message);
        if !gate.choices.is_empty() {
            question.push_str(&format!(" ({})", gate.choices.join(", ")));
        }
        let answer = command_line(&["pipeline", "answer", pipeline, &run.id, "proceed"]);
        lines.push(format!("{question}: {answer}"));
    }
    lines.join("\n")
}

/// Returns a run as one line.
fn line(run: &RunInfo) -> String {
    let mut line = format!("{} {}", run.id, run.state);
    match (run.started, run.ended) {
        (Some(started), Some(ended)) => {
            line.push_str(&format!(" after {}, started {}", elapsed(started, ended), moment(started)));
        }
        (Some(started), None) => line.push_str(&format!(" since {}", moment(started))),
        (None, _) => {}
    }
    if !run.message.is_empty() {
        line.push_str(&format!(": {}", run.message));
    }
    if let Some(url) = &run.url {
        line.push_str(&format!(" {url}"));
    }
    line
}

/// Returns the closing line of a run.
///
/// # Errors
/// `failed` if the run did not succeed.
pub(crate) fn ended(pipeline: &str, ready: &Ready) -> Result<Reply, Failure> {
    let took = duration(ready.ended.unix_ms.saturating_sub(ready.started.unix_ms));
    let detail = |name: &str| ready.details.iter().find(|entry| entry.name == name).map(|entry| entry.value.as_str());
    let note = detail("note").map(|note| format!(" {note}")).unwrap_or_default();
    if ready.outcome == "succeeded" {
        let text = format!("{pipeline} succeeded in {took}.{note}");
        return Ok(if note.is_empty() { Reply::new(text) } else { Reply::with_warnings(text) });
    }
    let why = if ready.message.is_empty() { String::new() } else { format!(": {}", ready.message) };
    Err(Failure::new(&ready.outcome, format!("{pipeline} {} after {took}{why}.{note}", word(&ready.outcome))))
}

fn word(outcome: &str) -> &str {
    match outcome {
        "cancelled" => "was cancelled",
        "unknown" => "ended with an unknown result",
        other => other,
    }
}

/// Returns the results of the tests of a run.
pub(crate) fn tests(report: &TestReport) -> String {
    let mut lines =
        vec![format!("{} tests passed, {} failed, {} were left out.", report.passed, report.failed, report.skipped)];
    lines.extend(report.names.iter().map(|name| format!("  {name}")));
    lines.join("\n")
}

#[cfg(test)]
pub(crate) mod tests_of_runs {
    use wardroom_guest::pipelines::{Gate, Parameter, Stage};
    use wardroom_guest::{Entry, Instant};

    use super::*;

    pub(crate) fn run(state: &str) -> RunInfo {
        RunInfo {
            id: "17".to_owned(),
            state: state.to_owned(),
            message: String::new(),
            started: Some(Instant { unix_ms: 0 }),
            ended: None,
            url: Some("https://ci.example.org/17/".to_owned()),
            stages: Vec::new(),
            gates: Vec::new(),
        }
    }

    #[test]
    fn a_pipeline_shows_what_it_takes_and_its_runs() {
        let parameter = |name: &str| Parameter {
            name: name.to_owned(),
            description: String::new(),
            required: false,
            default: None,
            choices: Vec::new(),
        };
        let tag = Parameter { required: true, description: "the version".to_owned(), ..parameter("TAG") };
        let size = Parameter {
            default: Some("s".to_owned()),
            choices: vec!["s".to_owned(), "l".to_owned()],
            ..parameter("SIZE")
        };
        let ended = RunInfo {
            ended: Some(Instant { unix_ms: 61_000 }),
            message: "build #17 failed".to_owned(),
            url: None,
            ..run("failed")
        };
        let text = description("ci:web", &Description { parameters: vec![tag, size], runs: vec![ended] });
        assert_eq!(
            text,
            "ci:web takes:\n  TAG (required): the version\n  SIZE, default s, one of s, l\nNewest runs:\n  \
             17 failed after 1 min 1 s, started 1970-01-01 00:00 UTC: build #17 failed"
        );
        let nothing = description("ci:web", &Description { parameters: Vec::new(), runs: Vec::new() });
        assert_eq!(nothing, "ci:web takes no parameters.\nIt has no runs.");
    }

    #[test]
    fn a_run_shows_its_stages_and_how_to_answer_it() {
        let mut run = run("running");
        run.stages = vec![Stage { name: "Deploy".to_owned(), state: "paused".to_owned() }];
        run.gates = vec![Gate { id: "g".to_owned(), message: "Go on?".to_owned(), choices: vec!["all".to_owned()] }];
        assert_eq!(
            status("ci:web", &run),
            "ci:web: run 17 running since 1970-01-01 00:00 UTC https://ci.example.org/17/\n  1/1 Deploy: paused\n\
             It waits for an answer to \"Go on?\" (all): \u{f8ff}pipeline answer ci:web 17 proceed"
        );
    }

    #[test]
    fn the_closing_line_has_the_reason() {
        let ready = |outcome: &str, message: &str, note: Option<&str>| Ready {
            kind: "run".to_owned(),
            id: "a-1".to_owned(),
            outcome: outcome.to_owned(),
            message: message.to_owned(),
            started: Instant { unix_ms: 0 },
            ended: Instant { unix_ms: 2_000 },
            details: note.map(|note| Entry { name: "note".to_owned(), value: note.to_owned() }).into_iter().collect(),
        };
        assert_eq!(ended("ci:web", &ready("succeeded", "", None)).unwrap().text, "ci:web succeeded in 2 s.");
        let unstable = ended("ci:web", &ready("succeeded", "", Some("It is unstable."))).unwrap();
        assert!(unstable.warnings && unstable.text.ends_with("It is unstable."));
        let failed = ended("ci:web", &ready("failed", "in stage Test", None)).unwrap_err();
        assert_eq!(
            (failed.code.as_str(), failed.message.as_str()),
            ("failed", "ci:web failed after 2 s: in stage Test.")
        );
        let cancelled = ended("ci:web", &ready("cancelled", "", None)).unwrap_err();
        assert_eq!(cancelled.message, "ci:web was cancelled after 2 s.");
    }
}
