//! Accepts webhook deliveries. Each delivery starts at most one command.
//!
//! Invariant: a delivery with a known idempotency key starts nothing, unless its hook has a window that has passed, or
//! an admin has asked for the redelivery in the room.
//! Not here: the authentication and the rate limits of senders, which the HTTP listener (`host/http`) checks first.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use super::{announce::TriggeredCommand, host::Host, serve::Engine};
use crate::{
    command::ParameterType,
    messaging::Deduplication,
    store::{GivenArgument, StoreError, TriggerSource},
    trigger::{Delivery, Hook, HookRejection},
};

/// The time for which a requested redelivery is awaited.
pub(crate) const REDELIVERY_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// The result of an accepted delivery. Returned by [`Engine::deliver`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivered {
    /// The hook's command is stored and will run.
    Accepted,
    /// A delivery with the same idempotency key was accepted before. Nothing was done.
    Duplicate,
    /// The delivery does not match the hook's `when` or a pattern of `capture`, or only tests the connection; the text
    /// is the reason. Nothing was done.
    Ignored(String),
}

/// The error of a rejected delivery. Returned by [`Engine::deliver`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// The delivery is invalid. A retry with the same body and headers fails too.
    #[error("{0}")]
    Invalid(String),
    /// The room or the store is unavailable. The sender should retry.
    #[error("{0}")]
    Unavailable(String),
}

/// The hooks for which an admin has asked for a redelivery, each with the time until which it is awaited. The requests
/// are in memory only: after a restart, the admin asks again.
#[derive(Default)]
pub(crate) struct Redeliveries(Mutex<HashMap<String, jiff::Timestamp>>);

impl Redeliveries {
    pub(crate) fn expect(&self, hook: &str, until: jiff::Timestamp) {
        self.0.lock().insert(hook.to_owned(), until);
    }

    /// Takes the request for a hook; returns whether there was one that has not expired.
    fn take(&self, hook: &str, now: jiff::Timestamp) -> Option<jiff::Timestamp> {
        self.0.lock().remove(hook).filter(|until| now <= *until)
    }
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

    /// Accepts an authenticated delivery to a hook. The hook's command is stored in the inbox before this function
    /// returns. A hook accepts each idempotency key only once, even if the hook's room changes.
    ///
    /// # Errors
    /// [`DeliveryError`]; nothing was stored.
    pub async fn deliver(&self, hook: &Hook, delivery: &Delivery<'_>) -> Result<Delivered, DeliveryError> {
        // 1. Read the values of the delivery.
        let captured = match hook.read(delivery) {
            Ok(captured) => captured,
            Err(HookRejection::NotMatched(why)) => return Ok(Delivered::Ignored(why)),
            Err(HookRejection::Invalid(why)) => return Err(DeliveryError::Invalid(why)),
        };
        let host = &self.host;
        let words = hook.command.fill(&captured.values);
        if let Some(why) = host.boolean_for_text(hook, &words, &captured.booleans) {
            return Err(DeliveryError::Invalid(why));
        }
        let trigger_room = host.trigger_room(hook.bot.as_deref(), &hook.room).await;
        let trigger_room = trigger_room.ok_or_else(|| {
            DeliveryError::Unavailable(format!("the room of the hook `{}` cannot be reached; retry later", hook.name))
        })?;
        // 2. Store the command, unless the key is known.
        let command = |window: Option<Duration>| {
            let at = host.context.clock.now();
            let key = captured.key.as_deref().map(|key| hex::encode(Sha256::digest(key.as_bytes())));
            TriggeredCommand {
                event: event_id(&hook.name, key.as_deref(), window, at),
                deduplication: key.map(|key| Deduplication { key: format!("hook/{}/{key}", hook.name), window }),
                machine: hook.machine.clone(),
                started: TriggerSource { by: format!("hook {}", hook.name), words: words.clone() },
                at,
                note: None,
            }
        };
        let started = match host.start_triggered(&trigger_room, command(hook.window), Vec::new()).await {
            // 3. The key is known. Store the command again if an admin has asked for it.
            Ok(false) => match host.redeliveries.take(&hook.name, host.context.clock.now()) {
                None => Ok(false),
                Some(until) => {
                    let again = command(Some(Duration::ZERO));
                    let started = host.start_triggered(&trigger_room, again, Vec::new()).await;
                    if started.is_err() {
                        host.redeliveries.expect(&hook.name, until);
                    }
                    started
                }
            },
            started => started,
        };
        match started {
            Ok(true) => Ok(Delivered::Accepted),
            Ok(false) => Ok(Delivered::Duplicate),
            Err(StoreError::Unavailable(_) | StoreError::Failed(_)) => Err(DeliveryError::Unavailable(
                "the delivery was not stored, because the database is unavailable; retry later".to_owned(),
            )),
        }
    }
}

impl Host {
    /// Returns why a delivery is invalid: `true` or `false` would fill a parameter of another type. As a text, it would
    /// be a version or a name that nobody has written.
    fn boolean_for_text(
        &self,
        hook: &Hook,
        words: &[GivenArgument],
        booleans: &std::collections::BTreeMap<String, String>,
    ) -> Option<String> {
        if booleans.is_empty() {
            return None;
        }
        let types = self.context.plugins.table().types_of_given(words);
        hook.command.placeholders().enumerate().find_map(|(number, name)| {
            let place = booleans.get(name)?;
            let is_boolean = types.get(number) == Some(&Some(ParameterType::Boolean));
            (!is_boolean).then(|| format!("{place} is a boolean; the command needs a string or a number there"))
        })
    }
}

/// Returns the event id of a delivery. A key that can start a command more than once is not enough for an id.
fn event_id(hook: &str, key: Option<&str>, window: Option<Duration>, at: jiff::Timestamp) -> String {
    match (key, window) {
        (Some(key), None) => format!("hook/{hook}/{}", &key[..32]),
        _ => {
            let mut random = [0_u8; 16];
            // Without random bytes, two deliveries of the same nanosecond would be one event.
            let _ = getrandom::fill(&mut random);
            let name = Sha256::digest(format!("{at}/{}/{}", key.unwrap_or_default(), hex::encode(random)));
            format!("hook/{hook}/{}", &hex::encode(name)[..32])
        }
    }
}
