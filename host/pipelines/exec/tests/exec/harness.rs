//! A test host that has the pipeline `cms/staging` and a temporary folder.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use wardroom::{
    adapter::{PipelineError, Pipelines, PipelinesFactory, RunEnd, RunEvent},
    base::Table,
    model::RunKey,
};
use wardroom_exec::ExecFactory;

pub(crate) const PIPELINE: &str = "cms/staging";

pub(crate) struct TestHost {
    pub(crate) folder: tempfile::TempDir,
}

impl TestHost {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn runs(&self) -> PathBuf {
        self.path("runs")
    }

    /// Waits until a pipeline run has written a line to the file `name` in the host's folder, and returns the content
    /// of the file.
    pub(crate) fn wait_for_file(&self, name: &str) -> String {
        eventually(|| fs::read_to_string(self.path(name)).ok().filter(|text| text.ends_with('\n'))).trim().to_owned()
    }

    /// Reads the configuration table of a pipeline, with the given keys and parameter names. Returns the pipelines, or
    /// the configuration problems.
    pub(crate) fn read(&self, keys: &str, parameters: &[&str]) -> Result<Arc<dyn Pipelines>, Vec<String>> {
        self.read_with(keys, parameters, vec![program("supervisor").display().to_string()])
    }

    pub(crate) fn read_with(
        &self,
        keys: &str,
        parameters: &[&str],
        supervisor: Vec<String>,
    ) -> Result<Arc<dyn Pipelines>, Vec<String>> {
        let factory = ExecFactory::new(self.runs(), supervisor);
        let (mut table, problems) = Table::parse("app.cms.deploy.staging", keys, factory.keys(), self.folder.path());
        let mut system = factory.system(None).unwrap();
        let parameters: Vec<String> = parameters.iter().map(|name| (*name).to_owned()).collect();
        system.pipeline(PIPELINE, None, &parameters, &mut table);
        table.finish();
        let found: Vec<String> = problems.sorted().iter().map(ToString::to_string).collect();
        if found.is_empty() { Ok(system.build()) } else { Err(found) }
    }

    /// Returns pipelines with one pipeline that runs a shell script. `keys` are further keys of its configuration
    /// table.
    pub(crate) fn script(&self, script: &str, keys: &str) -> Arc<dyn Pipelines> {
        // A second host must not truncate the file while a shell reads it.
        if fs::read_to_string(self.path("script")).ok().as_deref() != Some(script) {
            fs::write(self.path("script"), script).unwrap();
        }
        let run = format!("run = ['sh', {:?}]\n{keys}", self.path("script"));
        self.read(&run, &[]).unwrap_or_else(|problems| panic!("{problems:#?}"))
    }
}

/// Returns the path of an example program of this crate. `cargo test` builds the example programs.
pub(crate) fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().unwrap().with_file_name("examples").join(name);
    assert!(path.is_file(), "{} is not built: run `cargo build -p wardroom-exec --examples`", path.display());
    path
}

pub(crate) fn key(name: &str) -> RunKey {
    RunKey::parse(name).unwrap()
}

pub(crate) fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Starts a pipeline run with the key `name` and waits until the run ends. Returns the run's result and its lines of
/// output.
pub(crate) async fn run(
    pipelines: &Arc<dyn Pipelines>,
    name: &str,
    parameters: &[(&str, &str)],
) -> (RunEnd, Vec<String>) {
    pipelines.start(&key(name), PIPELINE, &values(parameters)).await.unwrap();
    wait(pipelines, name).await
}

pub(crate) async fn wait(pipelines: &Arc<dyn Pipelines>, name: &str) -> (RunEnd, Vec<String>) {
    let mut lines = Vec::new();
    let key = key(name);
    let mut event = |event: RunEvent<'_>| {
        if let RunEvent::Line(line) = event {
            lines.push(line.to_owned());
        }
    };
    let ended = pipelines.ended(&key, PIPELINE, &mut event);
    let end = tokio::time::timeout(Duration::from_secs(60), ended).await.expect("the run does not end").unwrap();
    (end, lines)
}

pub(crate) fn refusal<T: std::fmt::Debug>(answer: Result<T, PipelineError>) -> String {
    match answer {
        Err(PipelineError::Refused { message }) => message,
        other => panic!("not refused: {other:?}"),
    }
}

/// Calls `poll` until it returns a value. Panics after 20 seconds without a value.
pub(crate) fn eventually<T>(mut poll: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = poll() {
            return value;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "timed out");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Returns true if a process exists and is not a zombie.
pub(crate) fn is_alive(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(')').unwrap().1.trim_start().starts_with('Z'))
}
