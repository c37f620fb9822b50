//! A real homeserver for the live tests: Synapse on a free port of this machine, with a folder of its own.
//!
//! Invariant: no Synapse outlives the test process, not even one that was killed: it is held by a pipe.
//! Not here: installing it (`cargo xtask test` does) and talking to it ([`crate::matrix_user`]).

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

/// The name of the homeserver, which is the second half of every id.
pub const SERVER: &str = "wardroom.test";

/// How long a start may take on a busy machine.
const START: Duration = Duration::from_secs(120);

/// How strictly it limits rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limits {
    /// So that they are never met.
    None,
    /// As Synapse has them for messages where nobody changed anything: ten at once, then one in five seconds.
    Default,
}

/// A homeserver.
#[derive(Debug)]
pub struct Synapse {
    folder: TempDir,
    port: u16,
    child: Option<Child>,
}

static SHARED: OnceCell<Synapse> = OnceCell::const_new();

impl Synapse {
    /// The homeserver that all tests of this process share, which has no limits and is never stopped by them.
    ///
    /// # Errors
    /// As [`Synapse::start`].
    pub async fn shared() -> Result<&'static Self> {
        SHARED.get_or_try_init(|| Self::start(Limits::None)).await
    }

    /// A new homeserver without users or rooms.
    ///
    /// # Errors
    /// It is not installed, or does not come up; its log is part of the error then.
    pub async fn start(limits: Limits) -> Result<Self> {
        Self::configured(limits, "").await
    }

    async fn configured(limits: Limits, lines: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        // Free now; in the unlikely case that it is not a moment later, Synapse says so in its log.
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

    /// A new homeserver without limits, with these lines in its configuration, too.
    ///
    /// # Errors
    /// As [`Synapse::start`].
    pub async fn with(lines: &str) -> Result<Self> {
        Self::configured(Limits::None, lines).await
    }

    /// Where clients find it.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops it. Everything it knows stays.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // The pipe's end is what its keeper waits for.
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }

    /// Starts it again on the same port, and waits until it answers.
    ///
    /// # Errors
    /// As [`Synapse::start`].
    pub async fn resume(&mut self) -> Result<()> {
        let python = python()?;
        // The keeper: when this process is gone, however it went, its input ends, and with it the homeserver.
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
        bail!("there is no Synapse in {}; hint: `cargo xtask test` installs it", venv.display());
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
    // The signing key is for this test server alone, which talks to no other.
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
