//! Jenkins: each run is a build of a pipeline on a fake server.

use anyhow::Result;
use wardroom_fake_jenkins::Server;

use super::{System, tables};
use crate::test_host::TestHost;

const TOKEN: &str = "token-11f2a9c4";
const JOBS: [&str; 3] = ["web/cms staging", "web/cms production", "web/cms rollback"];

pub(crate) struct Jenkins {
    pub(crate) server: Server,
}

impl Jenkins {
    /// Returns the jobs and numbers of all builds in the order of their starts.
    fn builds(&self) -> Vec<(&'static str, wardroom_fake_jenkins::SeenBuild)> {
        let mut builds: Vec<_> =
            JOBS.iter().flat_map(|job| self.server.builds(job).into_iter().map(move |build| (*job, build))).collect();
        builds.sort_by_key(|(_, build)| build.item);
        builds
    }
}

impl System for Jenkins {
    async fn start() -> Result<Self> {
        let server = Server::start_at("/jenkins").await?;
        server.token("bot", TOKEN);
        for job in JOBS.into_iter().chain(["tools/clean up"]) {
            server.pipeline(job);
            server.parameter(job, "TAG");
            server.parameter(job, "WARDROOM_RUN");
        }
        Ok(Self { server })
    }

    fn configure(&self, test_host: &TestHost) -> Result<String> {
        test_host.write("token", TOKEN)?;
        let open =
            "[[pipelines.ci.open]]\npaths = [\"web/*\", \"tools/*\"]\napp = \"cms\"\nenvironment = \"staging\"\n";
        let system = format!(
            "\n[pipelines.ci]\nkind = \"jenkins\"\nurl = \"{}\"\nuser = \"bot\"\ntoken = {{ file = \"token\" }}\n{open}",
            self.server.url()
        );
        Ok([system, tables("ci:web/cms ")].concat())
    }

    fn started(&self, _: &TestHost) -> Vec<String> {
        let tag = |build: wardroom_fake_jenkins::SeenBuild| {
            let tag = build.parameters.into_iter().find(|(name, _)| name == "TAG");
            tag.map(|(_, value)| value).unwrap_or_default()
        };
        self.builds().into_iter().map(|(_, build)| tag(build)).collect()
    }

    fn end(&self, _: &TestHost, run: usize, succeeds: bool) -> Result<()> {
        let (job, build) = &self.builds()[run];
        self.server.end(job, build.number, if succeeds { "SUCCESS" } else { "FAILURE" });
        Ok(())
    }

    fn is_stopped(&self, _: &TestHost, run: usize) -> bool {
        self.builds()[run].1.signals.contains(&"stop".to_owned())
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
        JOBS.iter().for_each(|job| self.server.ends_with(job, "SUCCESS"));
    }
}
