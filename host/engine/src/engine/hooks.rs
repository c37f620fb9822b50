//! Webhook deliveries: each one becomes a command, once.
//!
//! Not here: authentication and rate limits of the sender. The HTTP listener checks them before it calls this module.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{announce::TriggeredCommand, serve::Engine};
use crate::{
    store::{StoreError, TriggerSource},
    trigger::{Hook, HookRejection},
};

/// The result of an accepted delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivered {
    /// The command is stored and will be handled.
    Taken,
    /// A duplicate of an earlier delivery. Nothing was done.
    Again,
    /// The body does not match the hook's `when`; the text is the reason. Nothing was done.
    Left(String),
}

/// The reason for a rejected delivery.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undelivered {
    /// The body is invalid. A retry with the same body fails too.
    #[error("{0}")]
    Wrong(String),
    /// The room or the store is unavailable. The sender should retry.
    #[error("{0}")]
    Later(String),
}

impl Engine {
    /// Finds a hook by name among the hooks whose bot runs in this process.
    pub fn hook(&self, name: &str) -> Option<&Hook> {
        self.host.triggers.hooks.iter().find(|hook| hook.name == name)
    }

    /// The hooks whose bot runs in this process.
    pub fn hooks(&self) -> &[Hook] {
        &self.host.triggers.hooks
    }

    /// Accepts a delivery to a hook. `delivery` is the idempotency key: each key is accepted once per hook, even if the
    /// hook's room changes in between. The command is stored when this returns [`Delivered::Taken`].
    ///
    /// # Errors
    /// [`Undelivered`]; nothing was stored.
    pub async fn deliver(&self, hook: &Hook, delivery: &str, body: &Value) -> Result<Delivered, Undelivered> {
        let values = match hook.values(body) {
            Ok(values) => values,
            Err(HookRejection::NotMatched(why)) => return Ok(Delivered::Left(why)),
            Err(HookRejection::Invalid(why)) => return Err(Undelivered::Wrong(why)),
        };
        let host = &self.host;
        let trigger_room = host.trigger_room(hook.bot.as_deref(), &hook.room).await;
        let trigger_room =
            trigger_room.ok_or_else(|| Undelivered::Later("the room of this hook cannot be reached now".to_owned()))?;
        let name = hex::encode(Sha256::digest(delivery.as_bytes()));
        let command = TriggeredCommand {
            event: format!("hook/{}/{}", hook.name, &name[..32]),
            deduplication_key: Some(format!("hook/{}/{name}", hook.name)),
            machine: hook.machine.clone(),
            started: TriggerSource { by: format!("hook {}", hook.name), words: hook.command.fill(&values) },
            at: host.context.clock.now(),
            note: None,
        };
        match host.start_triggered(&trigger_room, command, Vec::new()).await {
            Ok(true) => Ok(Delivered::Taken),
            Ok(false) => Ok(Delivered::Again),
            Err(StoreError::Unavailable(_) | StoreError::Failed(_)) => {
                Err(Undelivered::Later("the database is unavailable; retry later".to_owned()))
            }
        }
    }
}
