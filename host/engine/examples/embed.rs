//! Embeds the engine in a program with its own chat network: a pager that reads lines and prints answers.
//!
//! Run it with `cargo run -p wardroom --example embed`, and type `!deploy cms staging 1.0.2`.

use std::{io::Write as _, path::Path, sync::Arc};

use tokio::io::{AsyncBufReadExt as _, BufReader};
use wardroom::{
    CancellationToken, Timestamp,
    adapter::{Body, Chat, Inbox, Incoming, MemoryPipelines, Outgoing, SendError},
    engine::Engine,
    model::{Outcome, Person},
    store::MemoryStore,
};

struct Pager;

#[async_trait::async_trait]
impl Chat for Pager {
    fn network(&self) -> &'static str {
        "pager"
    }

    async fn serve(&self, inbox: Arc<dyn Inbox>, _stop: CancellationToken) -> anyhow::Result<()> {
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        let mut event = 0;
        while let Some(text) = lines.next_line().await? {
            event += 1;
            let (event, at) = (event.to_string(), Timestamp::now());
            let sender = Person::named_by_id("dave");
            let message = Incoming::new(event, sender, text, at);
            inbox.receive("desk", vec![message], None).await?;
            inbox.until_idle().await;
        }
        Ok(())
    }

    async fn send(&self, message: &Outgoing) -> Result<String, SendError> {
        if let Body::Say { text, .. } = &message.body {
            let printed = writeln!(std::io::stdout(), "*beep* {}", text.plain());
            printed.map_err(|error| SendError::Never { reason: error.to_string() })?;
        }
        Ok(message.key.clone())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let pipelines = MemoryPipelines::new(Some(Outcome::Succeeded));
    let builder = Engine::builder().chat(Arc::new(Pager)).pipelines(pipelines);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/embed.toml");
    let config = builder.read(&file)?;
    let engine = builder.build(config, Arc::new(MemoryStore::default())).await?;
    Ok(engine.run(CancellationToken::new()).await?)
}
