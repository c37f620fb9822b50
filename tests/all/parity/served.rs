//! A host that serves a network.
//!
//! Invariant: dropping the value kills the process.

use std::{
    process::{Child, Stdio},
    sync::Mutex,
};

use anyhow::Result;

use super::room::HostChange;
use crate::test_host::{TestHost, binary};

/// The variable with the account's password or token.
pub(super) const SECRET: &str = "MARVIN_SECRET";

pub(super) struct ServedHost {
    test_host: TestHost,
    secret: String,
    child: Mutex<Option<Child>>,
}

impl ServedHost {
    /// Creates a stopped host with this configuration. [`SECRET`] holds the account's secret.
    pub(super) fn new(config: &str, secret: String) -> Result<Self> {
        Ok(Self { test_host: TestHost::new(config)?, secret, child: Mutex::new(None) })
    }

    /// Kills or starts the host.
    pub(super) fn set(&self, running: HostChange) -> Result<()> {
        let mut child = self.child.lock().expect("no holder panics");
        if let Some(mut child) = child.take() {
            child.kill()?;
            child.wait()?;
        }
        if running == HostChange::Start {
            let log = std::fs::OpenOptions::new().create(true).append(true).open(self.test_host.path("log"))?;
            // Use the build with all networks.
            let program = std::env::var_os("WARDROOM_BIN").map_or_else(binary, |path| Ok(path.into()))?;
            let mut command = self.test_host.command(program);
            command.arg("run").env(SECRET, &self.secret).stdin(Stdio::null());
            *child = Some(command.stdout(log.try_clone()?).stderr(log).spawn()?);
        }
        Ok(())
    }

    /// Returns the log of all starts of the host.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.test_host.path("log")).unwrap_or_default()
    }
}

impl Drop for ServedHost {
    fn drop(&mut self) {
        let _ = self.set(HostChange::Kill);
    }
}
