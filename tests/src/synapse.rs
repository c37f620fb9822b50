//! A real homeserver for the live tests: Synapse on a free port, with its own folder.
//!
//! Invariant: Synapse never outlives the test process, even after SIGKILL: a keeper process kills it when a pipe
//! closes.
//! Not here: the installation (`cargo xtask test`) and the client ([`crate::matrix_user`]).

use std::{
    fs,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// The server name: the part after the colon of every id.
pub const SERVER: &str = "wardroom.test";

/// Timeout for a start, long enough for a busy machine.
const START: Duration = Duration::from_secs(120);

/// The rate limits of a homeserver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limits {
    /// Limits so high that no test reaches them.
    None,
    /// Synapse's default limits for messages: ten at once, then one per five seconds.
    Default,
}

/// A running or stopped homeserver.
#[derive(Debug)]
pub struct Synapse {
    folder: TempDir,
    port: u16,
    child: Option<Child>,
}

static SHARED: OnceCell<Synapse> = OnceCell::const_new();

impl Synapse {
    /// Returns the homeserver that all tests of the process share. It has no rate limits and is never stopped.
    ///
    /// # Errors
    /// The errors of [`Synapse::start`].
    pub async fn shared() -> Result<&'static Self> {
        SHARED.get_or_try_init(|| Self::start(Limits::None)).await
    }

    /// Starts a new homeserver without users or rooms.
    ///
    /// # Errors
    /// Synapse is not installed, or does not start. The error contains its log.
    pub async fn start(limits: Limits) -> Result<Self> {
        Self::configured(limits, "").await
    }

    async fn configured(limits: Limits, lines: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        // The port is free now. If another process takes it before Synapse, Synapse's log has the error.
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let configuration = configuration(&folder, port, limits) + lines;
        fs::write(folder.path().join("homeserver.yaml"), configuration)?;
        fs::write(
            folder.path().join("log.yaml"),
            LOGGING.replace("FILE", &folder.path().join("synapse.log").display().to_string()),
        )?;
        let mut synapse = Self { folder, port, child: None };
        synapse.resume().await?;
        Ok(synapse)
    }

    /// Starts a new homeserver without rate limits, with additional lines in its configuration.
    ///
    /// # Errors
    /// The errors of [`Synapse::start`].
    pub async fn with(lines: &str) -> Result<Self> {
        Self::configured(Limits::None, lines).await
    }

    /// Returns the base URL for clients.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Returns the port on which Synapse listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops the homeserver. Its data stays.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Close the pipe, for which the keeper waits.
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }

    /// Starts the stopped homeserver on the same port, and waits until it answers.
    ///
    /// # Errors
    /// The errors of [`Synapse::start`].
    pub async fn resume(&mut self) -> Result<()> {
        let python = python()?;
        // Start the keeper. Its input closes when this process exits or is killed, and it then kills the homeserver.
        let child = Command::new("sh")
            .args(["-c", "\"$@\" & pid=$!; cat; kill -9 $pid; wait", "sh"])
            .arg(&python)
            .args(["-m", "synapse.app.homeserver", "--config-path"])
            .arg(self.folder.path().join("homeserver.yaml"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(fs::File::create(self.folder.path().join("stderr.log"))?)
            .spawn()
            .with_context(|| format!("cannot start {}", python.display()))?;
        self.child = Some(child);
        let begun = Instant::now();
        let http = reqwest::Client::new();
        let versions = format!("{}/_matrix/client/versions", self.url());
        while begun.elapsed() < START {
            if http.get(&versions).send().await.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let log = |name: &str| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        bail!("Synapse does not answer after {START:?}:\n{}\n{}", log("stderr.log"), log("synapse.log"))
    }
}

impl Drop for Synapse {
    fn drop(&mut self) {
        self.stop();
    }
}

fn python() -> Result<PathBuf> {
    let venv = match (std::env::var_os("WARDROOM_SYNAPSE_VENV"), std::env::var_os("HOME")) {
        (Some(venv), _) => PathBuf::from(venv),
        (None, Some(home)) => PathBuf::from(home).join(".cache/wardroom/synapse"),
        (None, None) => bail!("neither WARDROOM_SYNAPSE_VENV nor HOME is set"),
    };
    let python = venv.join("bin/python");
    if !python.exists() {
        bail!("Synapse is not installed in {}; hint: `cargo xtask test` installs it", venv.display());
    }
    Ok(python)
}

fn configuration(folder: &TempDir, port: u16, limits: Limits) -> String {
    let path = folder.path().display();
    let free = "per_second: 10000, burst_count: 10000";
    let message = match limits {
        Limits::None => free,
        Limits::Default => "per_second: 0.2, burst_count: 10",
    };
    // A fixed signing key is enough, because the server has no federation.
    format!(
        "server_name: {SERVER}
listeners:
  - {{ port: {port}, bind_addresses: ['127.0.0.1'], type: http, resources: [{{ names: [client, media] }}] }}
database: {{ name: sqlite3, args: {{ database: '{path}/homeserver.db' }} }}
log_config: '{path}/log.yaml'
pid_file: '{path}/homeserver.pid'
media_store_path: '{path}/media'
signing_key: 'ed25519 a_test AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8'
macaroon_secret_key: test
form_secret: test
trusted_key_servers: []
federation_domain_whitelist: []
report_stats: false
bcrypt_rounds: 4
presence: {{ enabled: false }}
enable_registration: true
enable_registration_without_verification: true
rc_message: {{ {message} }}
rc_registration: {{ {free} }}
rc_joins: {{ local: {{ {free} }}, remote: {{ {free} }} }}
rc_joins_per_room: {{ {free} }}
rc_invites: {{ per_room: {{ {free} }}, per_user: {{ {free} }}, per_issuer: {{ {free} }} }}
rc_login: {{ address: {{ {free} }}, account: {{ {free} }}, failed_attempts: {{ {free} }} }}
rc_room_creation: {{ {free} }}
"
    )
}

const LOGGING: &str = "version: 1
formatters: { line: { format: '%(asctime)s %(levelname)s %(name)s %(message)s' } }
handlers: { file: { class: logging.FileHandler, formatter: line, filename: 'FILE' } }
root: { level: WARNING, handlers: [file] }
disable_existing_loggers: false
";
