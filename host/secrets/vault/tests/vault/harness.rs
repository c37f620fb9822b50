//! The servers of a configuration, with short delays: what a host makes of the tables `[vault.NAME]`.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinHandle;
use wardroom::{
    CancellationToken,
    adapter::{LinkState, SecretStoreHealth, Secrets, SecretsFactory},
    base::{SecretSlot, Table, TableKeys},
};
use wardroom_vault::{Timing, VaultFactory};

use wardroom_openbao::Bao;

/// Timeout of each wait. It is much longer than a wait, because the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

static NO_KEYS: TableKeys = TableKeys { path: "", about: "The top level of the tests.", keys: &[] };

/// The tables of a test.
pub(crate) struct Vault {
    pub(crate) secrets: Arc<dyn Secrets>,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

pub(crate) fn factory() -> VaultFactory {
    VaultFactory::default().timing(timing())
}

/// The short delays of the tests.
pub(crate) fn timing() -> Timing {
    let mut timing = Timing::default();
    timing.server_retry = (Duration::from_millis(50), Duration::from_millis(200));
    // Longer than a test, so that only another secret leads to another login.
    timing.login_retry = (PATIENCE * 2, PATIENCE * 2);
    timing.login_poll = Duration::from_millis(50);
    timing.secret_retry = (Duration::from_millis(50), Duration::from_millis(200));
    timing.min_renewal = Duration::from_millis(200);
    timing
}

impl Vault {
    /// Reads the tables. Panics if they have problems.
    pub(crate) fn read(text: &str) -> Self {
        Self::read_with(factory(), text)
    }

    /// Does the same with other delays.
    pub(crate) fn read_with(factory: VaultFactory, text: &str) -> Self {
        let (mut table, problems) = Table::parse("", text, &NO_KEYS, Path::new("/"));
        table.add_keys(factory.keys());
        let secrets = factory.read(&mut table);
        table.finish();
        assert_eq!(problems.sorted(), []);
        Self { secrets, stop: CancellationToken::new(), task: None }
    }

    /// Reads the table `[vault.prod]` of a server with a login and more keys.
    pub(crate) fn of(bao: &Bao, keys: &str) -> Self {
        let ca = if bao.url().starts_with("https") { format!("ca = '{}'\n", bao.ca()) } else { String::new() };
        Self::read(&format!("[vault.prod]\nurl = '{}'\nrefresh = '1s'\n{ca}{keys}", bao.url()))
    }

    /// Returns the slot of a reference to the server `prod`.
    pub(crate) fn slot(&self, reference: &str) -> SecretSlot {
        self.secrets.refer(&format!("prod:{reference}")).unwrap().slot
    }

    /// Starts the tasks. Waits until each secret was tried once.
    pub(crate) async fn serve(&mut self) {
        let (secrets, stop) = (self.secrets.clone(), self.stop.clone());
        self.task = Some(tokio::spawn(async move { secrets.serve(stop).await }));
        self.secrets.until_tried().await;
    }

    /// Stops the tasks. Waits until they have logged out.
    pub(crate) async fn stop(&mut self) {
        self.stop.cancel();
        self.task.take().unwrap().await.unwrap();
    }

    pub(crate) fn health(&self) -> SecretStoreHealth {
        self.secrets.health().into_iter().next().unwrap()
    }

    /// Waits until the server is down for a reason that contains `words`.
    pub(crate) async fn until_down(&self, words: &str) {
        eventually(&format!("down: {words}"), || match self.health().link {
            LinkState::Down { reason, .. } if reason.contains(words) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    }

    pub(crate) async fn until_up(&self) {
        eventually("up", || if self.health().link.is_up() { Ok(()) } else { Err(format!("{:?}", self.health())) })
            .await;
    }
}

/// Returns the value of a slot, or the reason why it has none.
pub(crate) fn value(slot: &SecretSlot) -> String {
    match slot.get() {
        Ok(secret) => secret.expose().to_owned(),
        Err(why) => format!("none: {why}"),
    }
}

/// Waits until a slot has a value that `is_it` accepts. Returns the value.
pub(crate) async fn until(slot: &SecretSlot, is_it: impl Fn(&str) -> bool) -> String {
    eventually("the value", || Some(value(slot)).filter(|value| is_it(value)).ok_or_else(|| value(slot))).await
}

/// Waits until a condition holds. Panics with the last error of the condition.
pub(crate) async fn eventually<T>(what: &str, mut condition: impl FnMut() -> Result<T, String>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        match condition() {
            Ok(value) => return value,
            Err(last) if Instant::now() > until => panic!("timed out waiting for {what}: {last}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Writes a file and returns its path.
pub(crate) fn file(folder: &Path, name: &str, content: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path.display().to_string()
}
