//! Accepts webhook deliveries. Each delivery starts at most one command.
//!
//! Invariant: a delivery with a known idempotency key starts nothing, unless its hook has a window that has passed, or
//! an admin has asked in the room for the redelivery of this key.
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

/// The hooks for which an admin has asked for a redelivery. The requests are in memory only: after a restart, the admin
/// asks again.
#[derive(Default)]
pub(crate) struct Redeliveries(Mutex<HashMap<String, Redelivery>>);

/// A request for one redelivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Redelivery {
    /// The deduplication key of the delivery. A redelivery with another key does not use up the request.
    pub(crate) key: String,
    /// The time until which the redelivery is awaited.
    pub(crate) until: jiff::Timestamp,
}

impl Redeliveries {
    pub(crate) fn expect(&self, hook: &str, redelivery: Redelivery) {
        self.0.lock().insert(hook.to_owned(), redelivery);
    }

    /// Takes the request for a delivery to a hook. Returns `None` if there is no request for this key, or if it has
    /// expired.
    fn take(&self, hook: &str, key: &str, now: jiff::Timestamp) -> Option<Redelivery> {
        let mut requests = self.0.lock();
        let is_asked = requests.get(hook).is_some_and(|redelivery| redelivery.key == key);
        is_asked.then(|| requests.remove(hook)).flatten().filter(|redelivery| now <= redelivery.until)
    }

    /// Restores a request whose delivery did not start the command. A newer request stays.
    fn restore(&self, hook: &str, redelivery: Redelivery) {
        self.0.lock().entry(hook.to_owned()).or_insert(redelivery);
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
        let digest = captured.key.as_deref().map(|key| hex::encode(Sha256::digest(key.as_bytes())));
        let key = digest.as_ref().map(|digest| key_prefix(&hook.name) + digest);
        let command = |window: Option<Duration>| {
            let at = host.context.clock.now();
            TriggeredCommand {
                event: event_id(&hook.name, digest.as_deref(), window, at),
                deduplication: key.clone().map(|key| Deduplication { key, window }),
                machine: hook.machine.clone(),
                started: TriggerSource { by: format!("hook {}", hook.name), words: words.clone() },
                at,
                note: None,
            }
        };
        let started = match host.start_triggered(&trigger_room, command(hook.window), Vec::new()).await {
            // 3. The key is known. Store the command again if an admin has asked for it.
            Ok(false) => {
                let now = host.context.clock.now();
                match key.as_deref().and_then(|key| host.redeliveries.take(&hook.name, key, now)) {
                    None => Ok(false),
                    Some(redelivery) => {
                        let again = command(Some(Duration::ZERO));
                        let started = host.start_triggered(&trigger_room, again, Vec::new()).await;
                        if !matches!(started, Ok(true)) {
                            host.redeliveries.restore(&hook.name, redelivery);
                        }
                        started
                    }
                }
            }
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

/// Returns the text with which the deduplication keys of a hook begin.
pub(crate) fn key_prefix(hook: &str) -> String {
    format!("hook/{hook}/")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_taken_only_by_its_key_and_before_it_expires() {
        let at = |second| jiff::Timestamp::from_second(second).unwrap();
        let requests = Redeliveries::default();
        let redelivery = |key: &str| Redelivery { key: key.to_owned(), until: at(10) };
        requests.expect("build", redelivery("newest"));
        assert_eq!(requests.take("build", "older", at(1)), None);
        assert_eq!(requests.take("other", "newest", at(1)), None);
        assert_eq!(requests.take("build", "newest", at(10)), Some(redelivery("newest")), "it was not used up");
        assert_eq!(requests.take("build", "newest", at(10)), None, "it counts once");
        requests.restore("build", redelivery("newest"));
        assert_eq!(requests.take("build", "newest", at(11)), None, "it has expired");
        requests.expect("build", redelivery("second"));
        requests.restore("build", redelivery("first"));
        assert_eq!(requests.take("build", "second", at(1)), Some(redelivery("second")), "the newer request stays");
    }
}
