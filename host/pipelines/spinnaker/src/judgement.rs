//! Answers a manual judgement, and checks that Spinnaker has accepted the answer.
//!
//! Orca looks at the answer within 15 seconds. If the account has none of the roles that the stage requires, it removes
//! the answer without an error. Source: Orca's `ManualJudgmentStage.groovy`.

use std::time::Instant;

use serde_json::json;
use wardroom::adapter::GateAnswer;
use wardroom_remote::{Open, RemoteError};

use crate::{
    client::{Context, StageInfo},
    stages::{choices, one_line},
    system::Spinnaker,
};

impl Spinnaker {
    pub(crate) async fn judge(&self, open: &Open<Self>, gate: &str, answer: &GateAnswer) -> Result<(), RemoteError> {
        let (application, id) = (&open.request.path.application, &open.run.id);
        // 1. Check that the judgement is open, because Orca accepts a change of any stage.
        let Some(stage) = self.judgement(open, gate).await? else {
            return Err(RemoteError::rejected(format!(
                "the execution `{id}` no longer waits for this judgement; it was answered or has ended"
            )));
        };
        let name = one_line(stage.title());
        let choices = stage.context.as_ref().map(choices).unwrap_or_default();
        let input = if answer.proceeds { chosen(&name, &choices, answer.choice.as_deref())? } else { None };
        // 2. Send the answer.
        let status = if answer.proceeds { "continue" } else { "stop" };
        let mut context = json!({ "judgmentStatus": status });
        if let Some(input) = input {
            context["judgmentInput"] = input.into();
        }
        self.client.update_stage(application, id, gate, context).await?;
        // 3. Wait until Orca has used or removed it.
        let deadline = Instant::now() + self.timing.answer;
        loop {
            match self.judgement(open, gate).await {
                Ok(None) => return Ok(()),
                Ok(Some(stage)) if is_removed(stage.context.as_ref()) => {
                    return Err(RemoteError::Forbidden {
                        reason: format!(
                            "Spinnaker did not accept the answer to `{name}`: the host's account has none of the roles \
                             that the stage requires, or it has started the pipeline and may not approve it itself; give \
                             it a role of the stage, or answer in Spinnaker"
                        ),
                    });
                }
                Ok(Some(_)) => {}
                Err(error) => tracing::debug!(run = %open.key, %error, "cannot check that a judgement was accepted"),
            }
            if Instant::now() >= deadline {
                // The answer is stored, and the stages of the run show whether Orca uses it.
                return Ok(());
            }
            tokio::time::sleep(self.timing.poll).await;
        }
    }

    /// Returns the stage of a judgement; `None` if the execution does not wait for it.
    async fn judgement(&self, open: &Open<Self>, gate: &str) -> Result<Option<StageInfo>, RemoteError> {
        let execution = self.client.execution(&open.request.path.application, &open.run.id).await?;
        if execution.status().is_complete() {
            return Ok(None);
        }
        let stages = execution.stages.unwrap_or_default();
        Ok(stages.into_iter().find(|stage| stage.id == gate && stage.waits_for_judgement()))
    }
}

/// Returns the input of an answer that lets the execution go on.
fn chosen(name: &str, choices: &[String], choice: Option<&str>) -> Result<Option<String>, RemoteError> {
    let listed = || choices.iter().map(|choice| format!("`{}`", one_line(choice))).collect::<Vec<_>>().join(", ");
    match choice {
        Some(choice) if choices.iter().any(|known| known == choice) => Ok(Some(choice.to_owned())),
        None if choices.is_empty() => Ok(None),
        Some(choice) if choices.is_empty() => {
            Err(RemoteError::rejected(format!("the judgement `{name}` has no choices, but `{choice}` was given")))
        }
        _ => Err(RemoteError::rejected(format!("the answer to `{name}` must be one of {}", listed()))),
    }
}

/// Returns whether Orca has removed the answer.
fn is_removed(context: Option<&Context>) -> bool {
    context.is_some_and(|context| context.judgment_status.as_str().is_none_or(str::is_empty))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};
    use wardroom::{Timestamp, base::Table, model::RunKey};
    use wardroom_fake_gate::Server;
    use wardroom_remote::{System as _, Timing};

    use super::*;
    use crate::{
        config::{GateSettings, SYSTEM_KEYS},
        definition::Trigger,
        pipeline_path::PipelinePath,
        system::ExecutionId,
    };

    struct Judged {
        server: Server,
        spinnaker: Spinnaker,
        open: Open<Spinnaker>,
        gate: String,
        _folder: tempfile::TempDir,
    }

    /// Starts a server with an execution that waits for a judgement.
    async fn waiting(context: Value) -> Judged {
        let (server, folder) = (Server::start_at("").await.unwrap(), tempfile::tempdir().unwrap());
        server.token("token-1");
        std::fs::write(folder.path().join("token"), "token-1").unwrap();
        server.pipeline("cms", "Deploy");
        let stage = json!({ "type": "manualJudgment", "status": "RUNNING", "context": context });
        server.stage("cms", "Deploy", "Go live?", stage);
        let text = format!("url = '{}'\ntoken = {{ file = 'token' }}\ntimeout = '2s'", server.url());
        let settings = {
            let (mut table, problems) = Table::parse("pipelines.cd", &text, &SYSTEM_KEYS, folder.path());
            let settings = GateSettings::read(&mut table);
            assert_eq!(problems.count(), 0);
            settings.unwrap()
        };
        let mut timing = Timing::default();
        (timing.poll, timing.answer) = (Duration::from_millis(10), Duration::from_millis(300));
        let spinnaker = Spinnaker::new(&settings, timing, Default::default());
        let (key, path) = (RunKey::parse("a-1").unwrap(), PipelinePath::parse("cms/Deploy").unwrap());
        let request = Trigger { path, id: None, values: Default::default() };
        let run = spinnaker.trigger(&key, &request).await.unwrap();
        let gate = format!("{}-0", run.id);
        let open = Open { key, request, run: ExecutionId { id: run.id }, requested: Timestamp::now() };
        Judged { server, spinnaker, open, gate, _folder: folder }
    }

    impl Judged {
        async fn answer(&self, proceeds: bool, choice: Option<&str>) -> Result<(), RemoteError> {
            let choice = choice.map(str::to_owned);
            let answer = GateAnswer { proceeds, choice, person: "@alice:example.org".to_owned() };
            self.spinnaker.answer(&self.open, &self.gate, &answer).await
        }

        fn stage(&self) -> Value {
            self.server.execution(&self.open.run.id)["stages"][0].clone()
        }
    }

    #[tokio::test]
    async fn an_answer_lets_the_execution_go_on_or_stops_it() {
        let judged = waiting(json!({ "judgmentInputs": [{ "value": "blue" }, { "value": "green" }] })).await;
        judged.answer(true, Some("green")).await.unwrap();
        let context = json!({ "judgmentStatus": "continue", "judgmentInput": "green" });
        let stage = judged.stage();
        assert_eq!(stage["status"], "SUCCEEDED");
        assert_eq!(
            (&stage["context"]["judgmentStatus"], &stage["context"]["judgmentInput"]),
            (&context["judgmentStatus"], &context["judgmentInput"])
        );
        let judged = waiting(json!({})).await;
        judged.answer(false, None).await.unwrap();
        assert_eq!(
            (judged.stage()["status"].as_str(), judged.stage()["context"]["judgmentStatus"].as_str()),
            (Some("TERMINAL"), Some("stop"))
        );
    }

    #[tokio::test]
    async fn an_answer_that_orca_removes_without_an_error_is_refused() {
        let judged = waiting(json!({ "selectedStageRoles": ["release"] })).await;
        assert_eq!(
            judged.answer(true, None).await,
            Err(RemoteError::Forbidden {
                reason: "Spinnaker did not accept the answer to `Go live?`: the host's account has none of the roles that \
                         the stage requires, or it has started the pipeline and may not approve it itself; give it a role \
                         of the stage, or answer in Spinnaker"
                    .to_owned()
            })
        );
        judged.server.role("release");
        judged.answer(true, None).await.unwrap();
        assert_eq!(judged.stage()["status"], "SUCCEEDED");
    }

    #[tokio::test]
    async fn an_answer_that_orca_has_not_used_yet_is_stored() {
        let judged = waiting(json!({})).await;
        judged.server.faults(|faults| faults.judgement_delay = Duration::from_secs(60));
        judged.answer(true, None).await.unwrap();
        assert_eq!(
            (&judged.stage()["status"], &judged.stage()["context"]["judgmentStatus"]),
            (&json!("RUNNING"), &json!("continue"))
        );
    }

    #[tokio::test]
    async fn only_an_open_judgement_is_answered_with_one_of_its_choices() {
        let judged = waiting(json!({ "judgmentInputs": [{ "value": "blue" }, { "value": "green" }] })).await;
        for choice in [None, Some("red")] {
            assert_eq!(
                judged.answer(true, choice).await,
                Err(RemoteError::rejected("the answer to `Go live?` must be one of `blue`, `green`"))
            );
        }
        judged.answer(true, Some("blue")).await.unwrap();
        let message = format!(
            "the execution `{}` no longer waits for this judgement; it was answered or has ended",
            judged.open.run.id
        );
        assert_eq!(judged.answer(true, Some("blue")).await, Err(RemoteError::rejected(message)));
        assert_eq!(judged.server.count("PATCH", "/stages/"), 1);
        let bare = waiting(json!({})).await;
        assert_eq!(
            bare.answer(true, Some("blue")).await,
            Err(RemoteError::rejected("the judgement `Go live?` has no choices, but `blue` was given"))
        );
    }

    #[tokio::test]
    async fn a_missing_permission_to_answer_is_named() {
        let judged = waiting(json!({})).await;
        judged.server.deny("cms", "EXECUTE");
        let error = judged.answer(true, None).await.unwrap_err();
        assert!(error.reason().ends_with("the permission EXECUTE on the application `cms`"), "{error}");
    }
}
