//! The place where a secret store puts the current value of one secret, and where a reference to the secret reads it.
//!
//! Invariant: a value is redacted in all text that leaves the host before a reader can get it, and its earlier values stay
//! redacted.
//! Not here: the secret stores ([`Secrets`](crate::adapter::Secrets)) and the references (`secret.rs`).

use std::{fmt, sync::Arc};

use tokio::sync::watch;

use super::{Secret, redact};

/// The current value of a secret that a secret store fetches ahead. Clones share the value. A new slot has no value.
///
/// ```
/// use wardroom::{base::SecretSlot, prelude::Secret};
///
/// let slot = SecretSlot::new("the API token");
/// assert_eq!(slot.get().unwrap_err(), "the value is not fetched yet");
/// slot.set(Secret::new("hunter2"));
/// assert_eq!(slot.get().unwrap().expose(), "hunter2");
/// ```
#[derive(Clone)]
pub struct SecretSlot {
    name: Arc<str>,
    value: Arc<watch::Sender<Result<Secret, String>>>,
}

impl SecretSlot {
    /// Creates a slot without a value. `name` is the name of the secret in a warning if the secret is too short to be
    /// redacted.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        let (value, _) = watch::channel(Err("the value is not fetched yet".to_owned()));
        Self { name: name.into(), value: Arc::new(value) }
    }

    /// Replaces the value. From then on the host also redacts the new value.
    pub fn set(&self, value: Secret) {
        redact::remember(&self.name, &Secret::new(value.expose().trim()));
        let _ = self.value.send_replace(Ok(value));
    }

    /// Removes the value. `reason` is the reason as one line for people, without a secret in it.
    pub fn clear(&self, reason: impl Into<String>) {
        let _ = self.value.send_replace(Err(reason.into()));
    }

    /// Returns the current value, without waiting.
    ///
    /// # Errors
    /// The slot has no value. The error is the reason.
    pub fn get(&self) -> Result<Secret, String> {
        self.value.borrow().clone()
    }

    /// Returns whether the slot has a value.
    pub fn has_value(&self) -> bool {
        self.value.borrow().is_ok()
    }

    /// Waits until the slot has a value.
    pub async fn until_set(&self) {
        // The sender lives as long as the slot, so that the wait ends only with a value.
        let _ = self.value.subscribe().wait_for(Result::is_ok).await;
    }
}

impl PartialEq for SecretSlot {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.value, &other.value)
    }
}

impl Eq for SecretSlot {}

impl fmt::Debug for SecretSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretSlot({})", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::redactor;

    #[tokio::test]
    async fn every_value_is_redacted_also_after_it_was_replaced() {
        let slot = SecretSlot::new("slot");
        let waiting = tokio::spawn({
            let slot = slot.clone();
            async move { slot.until_set().await }
        });
        slot.clear("the server is sealed");
        assert_eq!(slot.get().unwrap_err(), "the server is sealed");
        slot.set(Secret::new("first-value-9137\n"));
        waiting.await.unwrap();
        slot.set(Secret::new("second-value-9137"));
        slot.clear("the lease has ended");
        assert!(!slot.has_value());
        assert_eq!(redactor().redact("first-value-9137 second-value-9137"), "[redacted] [redacted]");
        assert_eq!(format!("{slot:?}"), "SecretSlot(slot)");
    }
}
