//! Tests of the wrapper around a backend: no text of a backend gets through with a secret or a terminal sequence.

use super::*;
use crate::{
    adapter::StageState,
    base::{Secret, remember_secret},
    model::Outcome,
};

const SECRET: &str = "secret-of-the-wrapped-backend";

/// A backend whose every text contains a secret and a terminal sequence.
struct Leaky;

fn leak() -> String {
    format!("a \x1b[1m{SECRET}\x1b[0m b secret-\x1b[31mof\x1b[0m-the-wrapped-backend c")
}

fn end() -> RunEnd {
    let at = Timestamp::UNIX_EPOCH;
    let details = BTreeMap::from([("note".to_owned(), leak())]);
    RunEnd { outcome: Outcome::Failed, message: leak(), started: at, ended: at, details }
}

#[async_trait]
impl Pipelines for Leaky {
    async fn start(&self, _: &RunKey, _: &str, _: &BTreeMap<String, String>) -> Result<Option<String>, PipelineError> {
        Ok(Some(format!("https://ci.example.org/?token={SECRET}")))
    }

    async fn state(&self, _: &RunKey, pipeline: &str) -> Result<RunState, PipelineError> {
        match pipeline {
            "ended" => Ok(RunState::Ended(end())),
            "unknowable" => Ok(RunState::Unknowable(leak())),
            _ => Err(PipelineError::Refused { message: leak() }),
        }
    }

    async fn ended(
        &self,
        _: &RunKey,
        _: &str,
        event: &mut (dyn for<'event> FnMut(RunEvent<'event>) + Send),
    ) -> Result<RunEnd, PipelineError> {
        event(RunEvent::Line(&leak()));
        let stage = Stage { name: leak(), state: StageState::Running };
        let gate = Gate { id: "1".to_owned(), message: leak(), choices: vec![leak()] };
        event(RunEvent::Progress(&RunProgress { stages: vec![stage], gates: vec![gate] }));
        Ok(end())
    }

    async fn output(&self, _: &RunKey, _: &str, bytes: usize) -> Result<String, PipelineError> {
        let all = format!("{}\n 10 %\r100 %\n{SECRET}\nend", "x\n".repeat(50));
        Ok(all[all.len().saturating_sub(bytes)..].to_owned())
    }

    async fn cancel(&self, _: &RunKey, _: &str) -> Result<(), PipelineError> {
        Err(PipelineError::Unavailable { message: leak() })
    }
}

#[tokio::test]
async fn no_text_of_a_backend_contains_a_secret_or_a_sequence() {
    remember_secret("the test", &Secret::new(SECRET));
    let backend = ObservedBackend::new("ci".to_owned(), Arc::new(Leaky));
    let key = RunKey::parse("a-1").expect("a key");
    let safe = "a [redacted] b [redacted] c";

    let link = backend.start(&key, "ended", &BTreeMap::new()).await.expect("started");
    assert_eq!(link.as_deref(), Some("https://ci.example.org/?token=[redacted]"));
    let Ok(RunState::Ended(end)) = backend.state(&key, "ended").await else { panic!("not ended") };
    assert_eq!((end.message.as_str(), end.details["note"].as_str()), (safe, safe));
    assert_eq!(backend.state(&key, "unknowable").await.expect("a state"), RunState::Unknowable(safe.to_owned()));
    assert_eq!(backend.state(&key, "refused").await.expect_err("refused").to_string(), safe);
    assert_eq!(backend.cancel(&key, "x").await.expect_err("unavailable").to_string(), safe);
    assert_eq!(backend.health().unavailable.expect("an outage").1, safe);
    let mut lines = Vec::new();
    let mut note = |event: RunEvent<'_>| match event {
        RunEvent::Line(line) => lines.push(line.to_owned()),
        RunEvent::Progress(RunProgress { stages, gates }) => {
            lines.extend([stages[0].name.clone(), gates[0].message.clone(), gates[0].choices[0].clone()]);
        }
    };
    let end = backend.ended(&key, "x", &mut note).await.expect("ended");
    assert_eq!((end.message.as_str(), lines), (safe, vec![safe.to_owned(); 4]));
}

#[tokio::test]
async fn a_cut_output_does_not_begin_within_a_secret() {
    remember_secret("the test", &Secret::new(SECRET));
    let backend = ObservedBackend::new("ci".to_owned(), Arc::new(Leaky));
    let key = RunKey::parse("a-1").expect("a key");
    for bytes in 0..60 {
        let tail = backend.output(&key, "x", bytes).await.expect("the output");
        let whole = "x\n\n100 %\n[redacted]\nend";
        assert!(tail.len() <= bytes && (whole.ends_with(&tail) || tail.ends_with(whole)), "{bytes}: {tail:?}");
    }
}
