//! What other machines announce: a delivery becomes a command, once.
//!
//! Not here: who may deliver, and how often; the listener checks that before it asks.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{announce::TriggeredCommand, serve::Engine};
use crate::{
    store::{StoreError, TriggerSource},
    trigger::{Hook, HookRejection},
};

/// What becomes of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivered {
    /// Its command is on disk, and is handled.
    Taken,
    /// It was delivered before.
    Again,
    /// It is none that the hook is for; why.
    Left(String),
}

/// Why a delivery is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undelivered {
    /// What it says is wrong: the same again would be too.
    #[error("{0}")]
    Wrong(String),
    /// Not now: the same may be delivered again.
    #[error("{0}")]
    Later(String),
}

impl Engine {
    /// A hook by its name, of those whose identity runs here.
    pub fn hook(&self, name: &str) -> Option<&Hook> {
        self.host.triggers.hooks.iter().find(|hook| hook.name == name)
    }

    /// The hooks whose identity runs here.
    pub fn hooks(&self) -> &[Hook] {
        &self.host.triggers.hooks
    }

    /// Takes what was delivered to a hook. `delivery` names it: the same name is taken once, whatever the
    /// hook's room is by then.
    /// When this gives [`Delivered::Taken`] the command is on disk.
    ///
    /// # Errors
    /// [`Undelivered`]; nothing was taken.
    pub async fn deliver(&self, hook: &Hook, delivery: &str, body: &Value) -> Result<Delivered, Undelivered> {
        let values = match hook.values(body) {
            Ok(values) => values,
            Err(HookRejection::NotMatched(why)) => return Ok(Delivered::Left(why)),
            Err(HookRejection::Invalid(why)) => return Err(Undelivered::Wrong(why)),
        };
        let host = &self.host;
        let venue = host.venue(hook.bot.as_deref(), &hook.room).await;
        let venue =
            venue.ok_or_else(|| Undelivered::Later("the room of this hook cannot be reached now".to_owned()))?;
        let name = hex::encode(Sha256::digest(delivery.as_bytes()));
        let cue = TriggeredCommand {
            event: format!("hook/{}/{}", hook.name, &name[..32]),
            deduplication_key: Some(format!("hook/{}/{name}", hook.name)),
            machine: hook.machine.clone(),
            started: TriggerSource { by: format!("hook {}", hook.name), words: hook.command.filled(&values) },
            at: host.context.clock.now(),
            note: None,
        };
        match host.cue(&venue, cue, Vec::new()).await {
            Ok(true) => Ok(Delivered::Taken),
            Ok(false) => Ok(Delivered::Again),
            Err(StoreError::Unavailable(_) | StoreError::Failed(_)) => {
                Err(Undelivered::Later("the database is unavailable; retry later".to_owned()))
            }
        }
    }
}
