//! Tests of the repository's sample pipeline, with the configuration in the repository's `plugins.toml` and a copy of
//! the sample's folder.

use std::{fs, path::Path, process::Command, sync::Arc};

use wardroom::{adapter::Pipelines, model::Outcome};

use crate::harness::{TestHost, run};

fn sample(host: &TestHost) -> Arc<dyn Pipelines> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../sample");
    let target = host.path("sample");
    fs::create_dir(&target).unwrap();
    for name in ["deploy.sh", "versions"] {
        assert!(Command::new("cp").arg("-R").arg(source.join(name)).arg(&target).status().unwrap().success());
    }
    host.read("run = ['./sample/deploy.sh', 'cms', 'staging', '{version}']", &["version"]).unwrap()
}

#[tokio::test]
async fn the_sample_deploys_and_rolls_back() {
    let host = TestHost::new();
    let pipelines = sample(&host);
    let site = host.path("sample/site/staging");
    for (at, version) in ["1.0.1", "1.0.2", "1.0.1", "1.0.0"].into_iter().enumerate() {
        let (end, lines) = run(&pipelines, &format!("a-{at}"), &[("version", version)]).await;
        assert_eq!((end.outcome, end.details["step"].as_str()), (Outcome::Succeeded, "verify"), "{lines:?}");
        let took = end.ended.duration_since(end.started).as_millis();
        assert!((1000..60_000).contains(&took), "{took} ms");
        assert_eq!(fs::read_link(site.join("current")).unwrap(), Path::new("releases").join(version));
        let page = fs::read_to_string(site.join("current/index.html")).unwrap();
        assert!(page.contains(&format!("This is version {version}.")));
    }
    // No temporary files are left.
    let mut names: Vec<_> =
        fs::read_dir(site.join("releases")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["1.0.0", "1.0.1", "1.0.2"]);
    assert_eq!(fs::read_dir(&site).unwrap().count(), 2);
}

#[tokio::test]
async fn the_sample_rejects_an_unknown_version() {
    let host = TestHost::new();
    let pipelines = sample(&host);
    let (end, lines) = run(&pipelines, "a-1", &[("version", "1.0.3")]).await;
    assert_eq!((end.outcome, end.message.as_str()), (Outcome::Failed, "in step check (exit code 3)"));
    assert_eq!(lines.last().unwrap(), "deploy.sh: cms has no version 1.0.3; there is: 1.0.0 1.0.1 1.0.2");
    for version in ["..", "../versions/1.0.0", "", "1.0.0 1.0.1", "1.0.0;id"] {
        let (end, _) = run(&pipelines, &format!("b-{}", version.len()), &[("version", version)]).await;
        assert_eq!(end.message, "exit code 2", "{version}");
    }
    assert!(!host.path("sample/site").exists());
}
