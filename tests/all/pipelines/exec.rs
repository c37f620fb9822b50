//! Local commands: each run is a script that waits for a file with its exit code.

use std::fs;

use anyhow::Result;

use super::System;
use crate::test_host::TestHost;

const SCRIPT: &str = "#!/bin/sh
echo \"$1\" >>started
run=$(wc -l <started)
trap 'touch stopped-$run; exit 143' TERM
while ! [ -e end-$run ]; do sleep 0.05; done
exit \"$(cat end-$run)\"
";

pub(crate) struct Exec;

impl System for Exec {
    async fn start() -> Result<Self> {
        Ok(Self)
    }

    fn configure(&self, test_host: &TestHost) -> Result<String> {
        test_host.script("run.sh", SCRIPT)?;
        let pipeline = |environment: &str| {
            format!(
                "\n[app.cms.deploy.{environment}]\nrun = [\"./run.sh\", \"{{version}}\"]\nparameters = {{ version = \
                 '[0-9.]+' }}\n"
            )
        };
        let rollback = "\n[app.cms.rollback.staging]\nrun = [\"./run.sh\", \"back-to-{version}\"]\nparameters = { version = \
                        '[0-9.]+' }\n";
        Ok(format!("{}{}{rollback}", pipeline("staging"), pipeline("production")))
    }

    fn started(&self, test_host: &TestHost) -> Vec<String> {
        let started = fs::read_to_string(test_host.path("started")).unwrap_or_default();
        started.lines().map(str::to_owned).collect()
    }

    fn end(&self, test_host: &TestHost, run: usize, succeeds: bool) -> Result<()> {
        let part = test_host.path("end.new");
        fs::write(&part, if succeeds { "0" } else { "3" })?;
        Ok(fs::rename(part, test_host.path(format!("end-{}", run + 1)))?)
    }

    fn is_stopped(&self, test_host: &TestHost, run: usize) -> bool {
        test_host.path(format!("stopped-{}", run + 1)).exists()
    }

    fn lose_answer(&self) -> bool {
        // The answer comes over a pipe of the host itself.
        false
    }

    fn hold_answer(&self) -> bool {
        false
    }

    fn end_at_once(&self) {
        // The stories of local commands end each run by themselves.
    }
}
