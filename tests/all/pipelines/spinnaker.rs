//! Spinnaker: each run is an execution of a pipeline on a fake Gate.

use anyhow::{Context as _, Result};
use serde_json::json;
use wardroom_fake_gate::Server;

use super::{System, tables};
use crate::test_host::TestHost;

const TOKEN: &str = "token-11f2a9c4";
const APPLICATION: &str = "web";

pub(crate) struct Spinnaker {
    server: Server,
}

impl Spinnaker {
    fn execution(&self, run: usize) -> Result<String> {
        self.server.executions().get(run).cloned().context("the execution exists")
    }
}

impl System for Spinnaker {
    async fn start() -> Result<Self> {
        let server = Server::start_at("/gate").await?;
        server.token(TOKEN);
        for name in ["staging", "production", "rollback"] {
            server.pipeline(APPLICATION, name);
            server.parameter(APPLICATION, name, "TAG", json!({ "required": true }));
            server.stage(APPLICATION, name, "Deploy", json!({ "type": "deploy" }));
        }
        Ok(Self { server })
    }

    fn configure(&self, test_host: &TestHost) -> Result<String> {
        test_host.write("token", TOKEN)?;
        let system = format!(
            "\n[pipelines.ci]\nkind = \"spinnaker\"\nurl = \"{}\"\ntoken = {{ file = \"token\" }}\n",
            self.server.url()
        );
        Ok([system, tables("ci:web/")].concat())
    }

    fn started(&self, _: &TestHost) -> Vec<String> {
        let ids = self.server.executions();
        let tag = |id: &String| {
            let execution = self.server.execution(id);
            execution["trigger"]["parameters"]["TAG"].as_str().unwrap_or_default().to_owned()
        };
        ids.iter().map(tag).collect()
    }

    fn end(&self, _: &TestHost, run: usize, succeeds: bool) -> Result<()> {
        self.server.set_status(&self.execution(run)?, if succeeds { "SUCCEEDED" } else { "TERMINAL" });
        Ok(())
    }

    fn is_stopped(&self, _: &TestHost, run: usize) -> bool {
        self.execution(run).is_ok_and(|id| !self.server.cancellations(&id).is_empty())
    }

    fn lose_answer(&self) -> bool {
        self.server.faults(|faults| faults.lost_answers = 1);
        true
    }

    fn hold_answer(&self) -> bool {
        self.server.faults(|faults| faults.silent_answers = 1);
        true
    }

    fn end_at_once(&self) {
        ["staging", "production"].iter().for_each(|name| self.server.ends_with(APPLICATION, name, "SUCCEEDED"));
    }
}
