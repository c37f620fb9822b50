//! Tests of adapters that end, and of accounts whose secret has no value yet.

use async_trait::async_trait;

use super::*;
use crate::{
    adapter::{Chat, ChatFactory, ChatFeatures, Link, MemoryChat, MemorySecrets, Outgoing, SendError},
    base::{Key, Secret, SecretRef, Table, TableKeys},
    model::BotIdentity,
    store::MemoryStore,
};

/// A chat whose adapter connects and then panics.
#[derive(Default)]
struct Panicking(Link);

#[async_trait]
impl Chat for Panicking {
    fn network(&self) -> &'static str {
        "panicking"
    }

    fn link(&self) -> Option<&Link> {
        Some(&self.0)
    }

    async fn serve(&self, _inbox: Arc<dyn Inbox>, _stop: CancellationToken) -> anyhow::Result<()> {
        self.0.up();
        tokio::task::yield_now().await;
        panic!("hunter2")
    }

    async fn send(&self, _message: &Outgoing) -> Result<String, SendError> {
        Ok("sent".to_owned())
    }
}

#[tokio::test]
async fn an_account_whose_adapter_panicked_is_reported_as_down() {
    let folder = tempfile::tempdir().unwrap();
    let builder = Engine::builder().chat(Arc::new(Panicking::default())).chat(MemoryChat::new(ChatFeatures::PLAIN));
    let config = "[bot.hal.panicking]\n[bot.hal.memory]\n";
    let config = builder.read_text(config, folder.path()).unwrap();
    let engine = Arc::new(builder.build(config, Arc::new(MemoryStore::new())).await.unwrap());
    let stop = CancellationToken::new();
    let run = tokio::spawn({
        let (engine, stop) = (engine.clone(), stop.clone());
        async move { engine.run(stop).await }
    });
    let shown = || engine.accounts().into_iter().find(|account| account.network == "panicking")?.link;
    let is_down = || matches!(shown(), Some(LinkState::Down { reason, .. }) if reason.contains("internal error"));
    for _ in 0..500 {
        if is_down() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(is_down() && !format!("{:?}", shown()).contains("hunter2"), "{:?}", shown());
    assert!(engine.accounts().iter().any(|account| account.network == MemoryChat::NETWORK && account.is_up()));
    // The other account continues until the engine is stopped.
    assert!(!run.is_finished());
    stop.cancel();
    let ended = run.await.expect("the engine does not panic");
    assert!(matches!(ended, Err(RunError::Chat { network: "panicking", .. })), "{ended:?}");
}

/// A chat whose account has a secret. It ends for good if the secret cannot be resolved.
struct WithSecret;

static WITH_SECRET: TableKeys = TableKeys {
    path: "bot.NAME.signing",
    about: "An account of the tests.",
    keys: &[Key::secret("token", "The token of the account.")],
};

struct SigningIn {
    token: SecretRef,
    link: Link,
}

impl ChatFactory for WithSecret {
    fn network(&self) -> &'static str {
        "signing"
    }

    fn keys(&self) -> &'static TableKeys {
        &WITH_SECRET
    }

    fn read(&self, _bot: &BotIdentity, table: &mut Table) -> Option<Arc<dyn Chat>> {
        let token = table.secret("token")?.value;
        Some(Arc::new(SigningIn { token, link: Link::default() }))
    }
}

#[async_trait]
impl Chat for SigningIn {
    fn network(&self) -> &'static str {
        "signing"
    }

    fn link(&self) -> Option<&Link> {
        Some(&self.link)
    }

    async fn serve(&self, _inbox: Arc<dyn Inbox>, stop: CancellationToken) -> anyhow::Result<()> {
        let token = self.token.resolve()?;
        assert_eq!(token.expose(), "token-of-the-account");
        self.link.up();
        stop.cancelled().await;
        Ok(())
    }

    async fn send(&self, _message: &Outgoing) -> Result<String, SendError> {
        Ok("sent".to_owned())
    }
}

/// Starts an engine with an account whose secret is in a store.
async fn with_secret(
    secrets: &MemorySecrets,
) -> (Arc<Engine>, CancellationToken, tokio::task::JoinHandle<Result<(), RunError>>) {
    let folder = tempfile::tempdir().unwrap();
    let builder = Engine::builder().chat(WithSecret).secrets(secrets.clone());
    let config = "[bot.hal.signing]\ntoken = { memory = 'account' }";
    let config = builder.read_text(config, folder.path()).unwrap();
    let engine = Arc::new(builder.build(config, Arc::new(MemoryStore::new())).await.unwrap());
    let stop = CancellationToken::new();
    let run = tokio::spawn({
        let (engine, stop) = (engine.clone(), stop.clone());
        async move { engine.run(stop).await }
    });
    (engine, stop, run)
}

#[tokio::test]
async fn an_account_connects_when_its_secret_has_a_value() {
    let secrets = MemorySecrets::default();
    let (engine, stop, run) = with_secret(&secrets).await;
    // The adapter would have ended by now if the engine had started it.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!run.is_finished() && !engine.accounts()[0].is_up());
    assert_eq!(engine.secret_stores()[0].problems.len(), 1);
    secrets.set("account", Secret::new("token-of-the-account"));
    while !engine.accounts()[0].is_up() {
        assert!(!run.is_finished());
        tokio::task::yield_now().await;
    }
    assert!(engine.secret_stores()[0].is_ready());
    stop.cancel();
    run.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_host_whose_secret_never_arrives_stops_when_it_is_told_to() {
    let (engine, stop, run) = with_secret(&MemorySecrets::default()).await;
    stop.cancel();
    run.await.unwrap().unwrap();
    assert!(!engine.accounts()[0].is_up());
}

#[tokio::test]
async fn a_process_for_one_bot_needs_no_secret_of_another_bot() {
    let builder = Engine::builder().chat(WithSecret).secrets(MemorySecrets::default());
    let text = "[bot.hal.signing]\ntoken = { memory = 'own' }\n[bot.zoe.signing]\ntoken = { memory = 'of zoe' }\n\
                [machine.ci]\nids = ['ci']\n[http]\nlisten = '127.0.0.1:0'\n";
    let hook = |bot: &str| {
        format!(
            "[[hook]]\nname = 'of-{bot}'\nbot = '{bot}'\nas = 'ci'\nroom = 'ops'\ncommand = 'help'\ntoken = {{ memory = 'hook of {bot}' }}\n"
        )
    };
    let text = format!("{text}{}{}", hook("hal"), hook("zoe"));
    let mut config = builder.read_text(&text, std::path::Path::new(".")).unwrap();
    config.only("hal").unwrap();
    let engine = builder.build(config, Arc::new(MemoryStore::new())).await.unwrap();
    let stores = engine.secret_stores();
    let names: Vec<&str> = stores[0].problems.iter().map(|problem| problem.reference.as_str()).collect();
    assert_eq!(names, ["hook of hal", "own"]);
}
