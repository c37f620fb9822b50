//! A minimal host: starts one pipeline run and waits for its end. The tests kill this host while it waits.
//!
//! Usage: `start CONFIG RUNS SUPERVISOR KEY`. CONFIG is a file with the keys of one `[app.A.deploy.E]` table. RUNS is
//! the folder of all pipeline runs. SUPERVISOR is the supervisor program. KEY is the key of the new pipeline run.

use std::{collections::BTreeMap, io::Write, path::Path};

use wardroom::{
    adapter::{PipelinesFactory, RunEvent},
    base::Table,
    model::RunKey,
};
use wardroom_exec::ExecFactory;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [config, runs, supervisor, key] = arguments.as_slice() else {
        return Err("usage: start CONFIG RUNS SUPERVISOR KEY".into());
    };
    let config = Path::new(config);
    let folder = config.parent().ok_or("CONFIG has no parent folder")?.to_owned();
    let factory = ExecFactory::new(runs.into(), vec![supervisor.clone()]);
    let text = std::fs::read_to_string(config)?;
    let (mut table, problems) = Table::parse("app.cms.deploy.staging", &text, factory.keys(), folder);
    let mut system = factory.system(None).ok_or("the factory has no builder")?;
    system.pipeline("cms/staging", None, &[], &mut table);
    table.finish();
    if let Some(problem) = problems.sorted().first() {
        return Err(problem.to_string().into());
    }
    let pipelines = system.build();
    let key = RunKey::parse(key).ok_or("KEY is not a valid run key")?;
    pipelines.start(&key, "cms/staging", &BTreeMap::new()).await?;
    let mut output = std::io::stdout();
    writeln!(output, "started")?;
    let mut show = |event: RunEvent<'_>| {
        if let RunEvent::Line(line) = event {
            drop(writeln!(std::io::stdout(), "{line}"));
        }
    };
    let end = pipelines.ended(&key, "cms/staging", &mut show).await?;
    writeln!(output, "{} {}", end.outcome.as_str(), end.message)?;
    Ok(())
}
