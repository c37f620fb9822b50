//! A minimal host: starts one run and waits for its end. The tests kill it while it waits.
//!
//! Usage: `start CONFIG RUNS SUPERVISOR KEY`, where CONFIG is a file with the keys of one `[app.A.deploy.E]`.

use std::{collections::BTreeMap, io::Write, path::Path, sync::Arc};

use wardroom::{
    adapter::PipelinesFactory,
    base::{Problems, Table, parse},
    model::RunKey,
};
use wardroom_exec::ExecFactory;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [config, runs, supervisor, key] = arguments.as_slice() else { return Err("four arguments are needed".into()) };
    let config = Path::new(config);
    let problems = Problems::default();
    let tree = parse(config, &std::fs::read_to_string(config)?, &problems);
    let folder = config.parent().ok_or("the file is in no folder")?.to_owned();
    let factory = ExecFactory::new(runs.into(), vec![supervisor.clone()]);
    let mut table = Table::new("app.cms.deploy.staging", tree, factory.keys(), &problems, Arc::new(folder));
    let mut system = factory.system(None).ok_or("there is no system")?;
    system.pipeline("cms/staging", None, &[], &mut table);
    table.finish();
    if let Some(problem) = problems.sorted().first() {
        return Err(problem.to_string().into());
    }
    let pipelines = system.build();
    let key = RunKey::parse(key).ok_or("that is no key")?;
    pipelines.start(&key, "cms/staging", &BTreeMap::new()).await?;
    let mut output = std::io::stdout();
    writeln!(output, "started")?;
    let end = pipelines.ended(&key, "cms/staging", &mut |line| drop(writeln!(std::io::stdout(), "{line}"))).await?;
    writeln!(output, "{} {}", end.outcome.as_str(), end.message)?;
    Ok(())
}
