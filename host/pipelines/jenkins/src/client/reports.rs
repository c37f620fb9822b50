//! The list of all jobs, and the test report of a build.
//!
//! Sources: `hudson/model/AbstractItem.java` (`fullName`), the plugin JUnit's `TestResult.java` and `CaseResult.java`.

use serde::Deserialize;
use wardroom::adapter::TestReport;
use wardroom_remote::RemoteError;

use super::{Call, Client};
use crate::job_path::JobPath;

/// How deep the folders are listed.
const DEPTH: usize = 6;

#[derive(Debug, Default, Deserialize)]
struct Folder {
    #[serde(default)]
    jobs: Vec<Option<Item>>,
}

#[derive(Debug, Default, Deserialize)]
struct Item {
    #[serde(default, rename = "fullName")]
    name: Option<String>,
    /// `None` for a job.
    #[serde(default)]
    jobs: Option<Vec<Option<Item>>>,
}

#[derive(Debug, Default, Deserialize)]
struct Report {
    #[serde(default, rename = "passCount")]
    passed: u32,
    #[serde(default, rename = "failCount")]
    failed: u32,
    #[serde(default, rename = "skipCount")]
    skipped: u32,
    #[serde(default)]
    suites: Vec<Suite>,
}

#[derive(Debug, Default, Deserialize)]
struct Suite {
    #[serde(default)]
    cases: Vec<Case>,
}

#[derive(Debug, Default, Deserialize)]
struct Case {
    #[serde(default, rename = "className")]
    class: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    status: Option<String>,
}

impl Client {
    /// Returns the full names of the jobs that contain `filter`, at most `most`.
    pub(crate) async fn list(&self, filter: &str, most: usize) -> Result<Vec<String>, RemoteError> {
        let mut tree = "jobs[fullName]".to_owned();
        for _ in 1..DEPTH {
            tree = format!("jobs[fullName,{tree}]");
        }
        let root: Folder = self.get(Call::read(["api", "json"], "list of jobs").tree(&tree)).await?;
        let mut names = Vec::new();
        let filter = filter.to_lowercase();
        collect(root.jobs, &filter, &mut names);
        names.sort();
        names.truncate(most);
        Ok(names)
    }

    /// Returns the test results of a build.
    pub(crate) async fn tests(&self, job: &JobPath, number: u64) -> Result<TestReport, RemoteError> {
        let text = number.to_string();
        let segments = job.segments().chain([&*text, "testReport", "api", "json"]);
        let call = Call::read(segments, format!("test report of build #{number} of the job `{job}`"));
        let tree = "passCount,failCount,skipCount,suites[cases[className,name,status]]";
        let report: Report = match self.get(call.tree(tree)).await {
            Err(error) if error.is_missing() => {
                return Err(RemoteError::rejected(format!("build #{number} of the job `{job}` has no test report")));
            }
            report => report?,
        };
        let is_failed = |case: &Case| matches!(case.status.as_deref(), Some("FAILED" | "REGRESSION"));
        let failed = report.suites.into_iter().flat_map(|suite| suite.cases).filter(is_failed);
        let names = failed.map(|case| match case.class {
            Some(class) => format!("{class}.{}", case.name.unwrap_or_default()),
            None => case.name.unwrap_or_default(),
        });
        Ok(TestReport { passed: report.passed, failed: report.failed, skipped: report.skipped, names: names.collect() })
    }
}

/// Collects the jobs in folders.
fn collect(items: Vec<Option<Item>>, filter: &str, names: &mut Vec<String>) {
    for item in items.into_iter().flatten() {
        match item.jobs {
            Some(jobs) => collect(jobs, filter, names),
            None => names.extend(item.name.filter(|name| name.to_lowercase().contains(filter))),
        }
    }
}
