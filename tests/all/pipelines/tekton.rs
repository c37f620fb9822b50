//! Tekton: each run is a PipelineRun in a fake cluster.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use wardroom_fake_kubernetes::Server;

use super::{System, tables};
use crate::test_host::TestHost;

const TOKEN: &str = "token-11f2a9c4";

pub(crate) struct Tekton {
    server: Server,
}

impl Tekton {
    /// Returns the PipelineRuns in the order of their creation.
    fn runs(&self) -> Vec<Value> {
        let mut runs = self.server.runs();
        let number = |run: &Value| {
            let uid = run["metadata"]["uid"].as_str().unwrap_or_default();
            uid.trim_start_matches("uid-").parse::<u64>().unwrap_or_default()
        };
        runs.sort_by_key(number);
        runs
    }

    fn name(&self, run: usize) -> Result<String> {
        let runs = self.runs();
        let name = runs.get(run).and_then(|run| run["metadata"]["name"].as_str());
        Ok(name.context("the PipelineRun exists")?.to_owned())
    }
}

impl System for Tekton {
    async fn start() -> Result<Self> {
        let server = Server::start().await?;
        server.token(TOKEN, "system:serviceaccount:ops:wardroom", &["system:authenticated"]);
        for name in ["staging", "production", "rollback"] {
            let spec = json!({ "params": [{ "name": "TAG", "type": "string" }], "tasks": [{ "name": "roll-out" }] });
            server.pipeline("ci", name, spec);
        }
        Ok(Self { server })
    }

    fn configure(&self, test_host: &TestHost) -> Result<String> {
        test_host.write("token", TOKEN)?;
        let kubeconfig = format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- name: c\n  cluster: {{server: '{}'}}\ncontexts:\n- name: dev\n  \
             context: {{cluster: c, user: u}}\ncurrent-context: dev\nusers:\n- name: u\n  user: {{tokenFile: token}}\n",
            self.server.url()
        );
        test_host.write("kube.config", &kubeconfig)?;
        let system = "\n[pipelines.ci]\nkind = \"tekton\"\nkubeconfig = \"kube.config\"\nnamespace = \"ci\"\n";
        Ok([system.to_owned(), tables("ci:")].concat())
    }

    fn started(&self, _: &TestHost) -> Vec<String> {
        let tag = |run: &Value| {
            let parameters = run["spec"]["params"].as_array().cloned().unwrap_or_default();
            let tag = parameters.iter().find(|parameter| parameter["name"] == "TAG");
            tag.and_then(|tag| tag["value"].as_str()).unwrap_or_default().to_owned()
        };
        self.runs().iter().map(tag).collect()
    }

    fn end(&self, _: &TestHost, run: usize, succeeds: bool) -> Result<()> {
        let (status, reason) = if succeeds { ("True", "Succeeded") } else { ("False", "Failed") };
        self.server.end(&self.name(run)?, status, reason, "Tasks Completed");
        Ok(())
    }

    fn is_stopped(&self, _: &TestHost, run: usize) -> bool {
        self.name(run).is_ok_and(|name| self.server.stops().iter().any(|(stopped, _)| *stopped == name))
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
        ["staging", "production"].iter().for_each(|name| self.server.ends_with(name, "True", "Succeeded"));
    }
}
