//! Accepts webhook deliveries. Each delivery starts at most one command.
//!
//! Not here: the authentication and the rate limits of senders, which the HTTP listener (`host/http`) checks first.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{announce::TriggeredCommand, serve::Engine};
use crate::{
    store::{StoreError, TriggerSource},
    trigger::{Hook, HookRejection},
};

/// The result of an accepted delivery. Returned by [`Engine::deliver`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivered {
    /// The hook's command is stored and will run.
    Accepted,
    /// A delivery with the same idempotency key was accepted before. Nothing was done.
    Duplicate,
    /// The body does not match the hook's `when`; the text is the reason. Nothing was done.
    Ignored(String),
}

/// The error of a rejected delivery. Returned by [`Engine::deliver`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// The body of the delivery is invalid. A retry with the same body fails too.
    #[error("{0}")]
    Invalid(String),
    /// The room or the store is unavailable. The sender should retry.
    #[error("{0}")]
    Unavailable(String),
}

impl Engine {
    /// Finds a hook by its name. Hooks of bots that do not run in this process are not found.
    pub fn hook(&self, name: &str) -> Option<&Hook> {
        self.host.triggers.hooks.iter().find(|hook| hook.name == name)
    }

    /// Returns the hooks whose bots run in this process.
    pub fn hooks(&self) -> &[Hook] {
        &self.host.triggers.hooks
    }

    /// Accepts a delivery to a hook. The hook's command is stored in the inbox before this function returns. `delivery`
    /// is the idempotency key of the delivery, and `body` is the JSON body. A hook accepts each key only once, even if
    /// the hook's room changes.
    ///
    /// # Errors
    /// [`DeliveryError`]; nothing was stored.
    pub async fn deliver(&self, hook: &Hook, delivery: &str, body: &Value) -> Result<Delivered, DeliveryError> {
        let values = match hook.values(body) {
            Ok(values) => values,
            Err(HookRejection::NotMatched(why)) => return Ok(Delivered::Ignored(why)),
            Err(HookRejection::Invalid(why)) => return Err(DeliveryError::Invalid(why)),
        };
        let host = &self.host;
        let trigger_room = host.trigger_room(hook.bot.as_deref(), &hook.room).await;
        let trigger_room = trigger_room.ok_or_else(|| {
            DeliveryError::Unavailable(format!("the room of the hook `{}` cannot be reached; retry later", hook.name))
        })?;
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
            Ok(true) => Ok(Delivered::Accepted),
            Ok(false) => Ok(Delivered::Duplicate),
            Err(StoreError::Unavailable(_) | StoreError::Failed(_)) => Err(DeliveryError::Unavailable(
                "the delivery was not stored, because the database is unavailable; retry later".to_owned(),
            )),
        }
    }
}
