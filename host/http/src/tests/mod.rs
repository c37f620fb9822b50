//! Tests of the HTTP listener over real sockets, with an engine whose chat network and store are in memory.
//!
//! Not here: tests of the whole host (`tests/all/http.rs`).

mod auth;
mod health;
mod limits;
mod senders;

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use wardroom::{
    CancellationToken, Timestamp,
    adapter::Inbox,
    adapter::{Chat, ChatFeatures, Incoming, Link, MemoryChat, Outgoing, SendError, SendPermissions},
    engine::Engine,
    model::Person,
    store::MemoryStore,
};

use crate::{Listener, Metrics, metrics::recorder};

/// An in-memory chat network. A test can set its connection to failed.
pub(super) struct TestChat {
    pub(super) memory: Arc<MemoryChat>,
    pub(super) link: Link,
    /// If true, the room `ops` has the new id `new-ops`.
    pub(super) moved: AtomicBool,
}

#[async_trait]
impl Chat for TestChat {
    fn network(&self) -> &'static str {
        MemoryChat::NETWORK
    }

    fn link(&self) -> Option<&Link> {
        Some(&self.link)
    }

    fn send_permissions(&self) -> Option<&SendPermissions> {
        self.memory.send_permissions()
    }

    fn rooms(&self) -> Vec<String> {
        vec!["ops".to_owned()]
    }

    async fn serve(&self, inbox: Arc<dyn Inbox>, stop: CancellationToken) -> anyhow::Result<()> {
        self.memory.serve(inbox, stop).await
    }

    async fn send(&self, message: &Outgoing) -> Result<String, SendError> {
        self.memory.send(message).await
    }

    async fn room(&self, name: &str) -> Result<Option<String>, SendError> {
        let id = if self.moved.load(Ordering::SeqCst) { "new-ops" } else { "ops" };
        Ok((name == "ops").then(|| id.to_owned()))
    }
}

/// A running HTTP listener with its engine.
pub(super) struct TestServer {
    pub(super) address: SocketAddr,
    pub(super) engine: Arc<Engine>,
    pub(super) store: Arc<MemoryStore>,
    pub(super) chat: Arc<TestChat>,
    pub(super) folder: TempDir,
    pub(super) stop: CancellationToken,
    pub(super) tasks: Vec<JoinHandle<()>>,
}

/// Timeout for one response. It is long, because a test can send many requests at once on a slow computer.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The secret of every hook.
pub(super) const SECRET: &str = "correct horse battery";

const CONFIG: &str = r#"
[bot.marvin.memory]
[machine.ci]
ids = ["ci-bot"]
[http]
listen = "127.0.0.1:0"
"#;

/// Returns the configuration table `[[hook]]` of a hook. `how` contains the keys for its authentication.
pub(super) fn hook(name: &str, how: &str) -> String {
    format!(
        "[[hook]]\nname = \"{name}\"\ncommand = \"help {{topic}}\"\nas = \"ci\"\nroom = \"ops\"\n\
         capture = {{ topic = \"/topic\" }}\nmax_per_minute = 100000\n{how}\n"
    )
}

pub(super) const TOKEN: &str = "token = { file = \"secret\" }";
pub(super) const HUB: &str = "secret = { file = \"secret\" }\nsign = \"hub\"";

/// Returns the valid header `X-Hub-Signature-256` of a body.
pub(super) fn hub_signature(body: &str) -> String {
    format!("sha256={}", hex::encode(auth::signature(&[body])))
}

impl TestServer {
    /// Starts a listener with the hook tables `hooks`. The listener returns the metrics of `metrics`; if it is `None`,
    /// of a new recorder.
    pub(super) async fn new(hooks: &[String], metrics: Option<Metrics>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plugins.toml");
        std::fs::write(folder.path().join("secret"), format!("{SECRET}\n")).unwrap();
        std::fs::write(&file, format!("{CONFIG}{}", hooks.concat())).unwrap();
        let chat = Arc::new(TestChat {
            memory: MemoryChat::new(ChatFeatures::PLAIN),
            link: Link::default(),
            moved: AtomicBool::new(false),
        });
        let builder = Engine::builder().chat(chat.clone());
        let config = builder.read(&file).unwrap();
        let http = config.http().cloned().unwrap();
        let store = Arc::new(MemoryStore::new());
        let engine = Arc::new(builder.build(config, store.clone()).await.unwrap());
        let listener = Listener::bind(&http).await.unwrap();
        let address = listener.0.local_addr().unwrap();
        let metrics = metrics.unwrap_or_else(|| Metrics::of(&recorder().unwrap()));
        let open = listener.open(engine.clone(), metrics).unwrap();
        let stop = CancellationToken::new();
        let served = tokio::spawn({
            let (engine, stop) = (engine.clone(), stop.clone());
            async move { engine.run(stop).await.unwrap() }
        });
        let listening = tokio::spawn(open.serve(stop.clone()));
        Self { address, engine, store, chat, folder, stop, tasks: vec![served, listening] }
    }

    pub(super) fn secret(&self) -> PathBuf {
        self.folder.path().join("secret")
    }

    /// Sends a delivery to a hook and returns the response.
    pub(super) async fn deliver(&self, hook: &str, headers: &[(&str, &str)], body: &str) -> HttpResponse {
        self.request("POST", &format!("/hooks/{hook}"), headers, body).await
    }

    /// Sends a delivery with the hook's token and the delivery id `id`, and returns the response.
    pub(super) async fn deliver_with_token(&self, hook: &str, id: &str, body: &str) -> HttpResponse {
        let bearer = format!("Bearer {SECRET}");
        self.deliver(hook, &[("authorization", &bearer), ("idempotency-key", id)], body).await
    }

    pub(super) async fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> HttpResponse {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: wardroom\r\nconnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        self.raw(&format!("{head}content-length: {}\r\n\r\n{body}", body.len())).await
    }

    /// Sends `bytes` over a new connection, and reads the response until the server closes the connection.
    pub(super) async fn raw(&self, bytes: &str) -> HttpResponse {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // The server may reject a request and close the connection while this side still writes.
        let _ = stream.write_all(bytes.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(TIMEOUT, stream.read_to_end(&mut answer)).await.unwrap();
        HttpResponse::of(&String::from_utf8(answer).unwrap())
    }

    /// Sends a chat message to the room `ops` as a person.
    pub(super) async fn say(&self, event: &str, text: &str) {
        let sender = Person { id: "@zaphod:example.org".to_owned(), name: "zaphod".to_owned() };
        let mut message = Incoming::new(event, sender, text, Timestamp::now());
        message.direct = true;
        let inbox = self.engine.inbox("marvin", MemoryChat::NETWORK).unwrap();
        inbox.receive("ops", vec![message], None).await.unwrap();
    }

    /// Waits until all chat messages are handled. Returns the messages that the bot has sent.
    pub(super) async fn until_idle(&self) -> Vec<String> {
        self.engine.inbox("marvin", MemoryChat::NETWORK).unwrap().until_idle().await;
        self.chat.memory.words()
    }

    /// Returns the number of handled commands that contain `text`.
    pub(super) fn handled(&self, text: &str) -> usize {
        self.store.all_lines().iter().filter(|line| line.command.contains(text)).count()
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct HttpResponse {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl HttpResponse {
    fn of(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Self { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }
}

#[tokio::test]
async fn an_address_in_use_is_reported_with_its_line() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plugins.toml");
    let listen = taken.local_addr().unwrap();
    std::fs::write(&file, format!("[bot.marvin.memory]\n[http]\nlisten = \"{listen}\"\n")).unwrap();
    let chat = MemoryChat::new(ChatFeatures::PLAIN);
    let builder = Engine::builder().chat(chat);
    let config = builder.read(&file).unwrap();
    let error = Listener::bind(config.http().unwrap()).await.err().map(|error| format!("{error:#}")).unwrap();
    assert!(error.contains(&format!("cannot listen at {listen} ([http] in ")), "{error}");
    assert!(error.contains("plugins.toml line 2): "), "{error}");
}
