//! Embeds the engine in a program with its own host calls: the WIT package `acme:tickets`.
//!
//! Build the guests with `cargo xtask guests`, then run `cargo run -p wardroom --example capability`.

mod tickets;

use std::{io::Write as _, path::Path, sync::Arc};

use wardroom::prelude::*;

const CONFIG: &str = r#"
[people]
admins = ["dave"]

[bot.marvin.memory]

[environment.staging]
[app.cms.deploy.staging]
memory = true

[plugin.tickets]
module = "guests/tickets.wasm"
allow  = [
  { call = "tickets.find" },
  { call = "tickets.close", environment = ["staging"], ticket = ["OPS-*"] },
]
"#;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let tracker = tickets::Tracker::default();
    tracker.open("OPS-17", "Disk full on cms");
    let chat = MemoryChat::new(ChatFeatures::PLAIN);
    let pipelines = MemoryPipelines::new(None);
    let builder = Engine::builder().chat(chat.clone()).pipelines(pipelines).capability(tracker);
    let config = builder.read_text(CONFIG, &Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))?;
    let engine = Arc::new(builder.build(config, Arc::new(MemoryStore::new())).await?);
    anyhow::ensure!(engine.not_loaded().is_empty(), "{:?}", engine.not_loaded());
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (engine, stop) = (engine.clone(), stop.clone());
        async move { engine.run(stop).await }
    });
    if let Some(inbox) = engine.inbox("marvin", MemoryChat::NETWORK) {
        for (event, text) in [("1", "!tickets Disk"), ("2", "!close-ticket cms staging OPS-17 fixed in 1.0.2")] {
            let message = Incoming::new(event, Person::named_by_id("dave"), text, Timestamp::now());
            inbox.receive("ops", vec![message], None).await?;
            inbox.until_idle().await;
        }
    }
    stop.cancel();
    running.await??;
    writeln!(std::io::stdout(), "{}", chat.words().join("\n"))?;
    Ok(())
}
