//! The trusted master keys of people. For a person in `identities` this is the configured key; for any other person it
//! is the first key that the bot received (trust on first use).
//!
//! Invariant: a person's trusted master key never changes without an operator. The homeserver lists a person's devices,
//! so it could add a device of its own and sign it with a forged master key. After a person's master key has changed,
//! the person can therefore start no action until an operator adds the new key to `identities`.
//! Not here: the decision about a device that its owner has not signed (`sender_trust`).

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use futures_util::StreamExt as _;
use matrix_sdk::{
    Client,
    deserialized_responses::{AlgorithmInfo, EncryptionInfo},
    ruma::{OwnedUserId, UserId},
};
use parking_lot::Mutex;

use crate::{Config, folder};

/// The text that a sender receives if the sender's master key has changed.
const CHANGED: &str = "Your encryption keys have changed since your earlier messages. If you reset them, ask an operator to add your new master key to `identities` in the configuration.";
/// The text that a sender receives if the sender's devices or master key cannot be determined.
pub(crate) const UNDETERMINED: &str = "Your encryption keys cannot be checked now. Send the message again in a moment.";
/// The text that a sender receives if the sender's keys have not signed the sending device.
const NOT_SIGNED: &str = "The message was sent from a device that is not signed with your encryption keys. Send the message again from a verified device.";

/// The trusted master keys of people, as unpadded base64.
#[derive(Debug)]
pub(crate) struct TrustStore {
    bot: String,
    file: PathBuf,
    /// The keys in the table `identities`.
    configured: BTreeMap<OwnedUserId, String>,
    /// Whether the file with the trusted keys could not be read. In this case the first key that arrives for a person
    /// is not trusted, because the file may hold an earlier key of the person.
    is_unreadable: bool,
    state: Mutex<TrustState>,
}

#[derive(Debug, Default)]
struct TrustState {
    /// The content of the file with the trusted keys: the first key that arrived for each person, or the key that was
    /// configured later.
    keys: BTreeMap<OwnedUserId, String>,
    /// The last changed key of each person that was logged.
    reported: BTreeMap<OwnedUserId, String>,
}

/// The result of the comparison of a person's present master key with the trusted one.
#[derive(Debug, PartialEq, Eq)]
enum KeyMatch {
    Trusted,
    /// No key of the person was stored, or a configured key replaces the stored one. The key is trusted from now on.
    FirstSeen,
    Changed,
    /// The trusted key is unknown, because the file cannot be read.
    Undetermined,
}

impl TrustStore {
    /// Loads the keys from an account's folder.
    pub(crate) fn load(config: &Config) -> Self {
        let file = config.folder.join("identities.json");
        let (keys, is_unreadable) = match folder::read_json(&file) {
            Ok(keys) => (keys.unwrap_or_default(), false),
            Err(error) => {
                tracing::error!(path = %file.display(), %error, "cannot read the trusted master keys; in encrypted rooms only people in [bot.{}.matrix.identities] can run actions; hint: restore the file, or remove it to trust every person's current key, and restart the host", config.bot);
                (BTreeMap::new(), true)
            }
        };
        let state = Mutex::new(TrustState { keys, ..TrustState::default() });
        Self { bot: config.bot.clone(), file, configured: config.identities.clone(), is_unreadable, state }
    }

    /// Returns the reason why a signed device is not trusted, as a text for its owner; `None` if the device is trusted.
    /// If the bot has no key of the owner yet, stores the owner's key as trusted. Checks the device's signature again,
    /// because the signature may belong to an earlier master key.
    pub(crate) async fn distrust_reason(&self, client: &Client, info: &EncryptionInfo) -> Option<String> {
        let user = &info.sender;
        let Some(key) = master_key(client, user).await else { return Some(UNDETERMINED.to_owned()) };
        let reason = match self.compare(user, &key) {
            KeyMatch::Trusted => None,
            KeyMatch::Undetermined => Some(UNDETERMINED),
            KeyMatch::FirstSeen => match self.save() {
                Ok(()) => None,
                // Without the file, any key would be the first one after a restart.
                Err(error) => {
                    self.state.lock().keys.remove(user);
                    tracing::error!(path = %self.file.display(), %user, %error, "cannot store a person's master key; the host refuses the person's actions; hint: free disk space or repair the folder's permissions");
                    Some(UNDETERMINED)
                }
            },
            KeyMatch::Changed => {
                self.report_change(user, &key);
                Some(CHANGED)
            }
        };
        if let Some(reason) = reason {
            return Some(reason.to_owned());
        }
        if !is_signed(client, info).await {
            return Some(NOT_SIGNED.to_owned());
        }
        // A sync may have replaced the master key while the signature was checked.
        (master_key(client, user).await.as_ref() != Some(&key)).then(|| UNDETERMINED.to_owned())
    }

    /// Compares the master keys that the homeserver publishes with the trusted ones, also those of people who send no
    /// messages. Runs until the future is dropped.
    pub(crate) async fn watch_published(self: Arc<Self>, client: Client) {
        let Ok(updates) = client.encryption().user_identities_stream().await else { return };
        let mut updates = std::pin::pin!(updates);
        while let Some(update) = updates.next().await {
            for (user, identity) in update.new.into_iter().chain(update.changed) {
                if let Some(key) = identity.master_key().get_first_key() {
                    self.check_published(&user, &key.to_base64());
                }
            }
        }
    }

    /// If the homeserver published a master key of a person that differs from the trusted one, logs it and returns
    /// `true`. Returns `false` if the bot has no key of the person.
    fn check_published(&self, user: &UserId, key: &str) -> bool {
        let differs = {
            let state = self.state.lock();
            self.configured.get(user).or_else(|| state.keys.get(user)).is_some_and(|trusted| trusted != key)
        };
        if differs {
            self.report_change(user, key);
        }
        differs
    }

    fn report_change(&self, user: &UserId, key: &str) {
        let before = self.state.lock().reported.insert(user.to_owned(), key.to_owned());
        if before.as_deref() != Some(key) {
            let bot = &self.bot;
            tracing::warn!(
                %user, key,
                "a person's master key changed; the person's actions are refused, but devices that the new key signed can read the bot's new messages; hint: ask the person outside of Matrix whether they reset their keys; if so, add \"{user}\" = \"{key}\" to [bot.{bot}.matrix.identities] and restart the host; if not, remove {user} from the rooms of the bot"
            );
        }
    }

    /// Compares a person's key with the trusted one. If there is no trusted key of the person yet, records this key as
    /// trusted, in memory only.
    fn compare(&self, user: &UserId, key: &str) -> KeyMatch {
        let mut state = self.state.lock();
        let stored = state.keys.get(user);
        match (self.configured.get(user), stored) {
            (Some(configured), _) if configured != key => KeyMatch::Changed,
            (Some(_), _) if self.is_unreadable => KeyMatch::Trusted,
            (None, _) if self.is_unreadable => KeyMatch::Undetermined,
            (None, Some(stored)) if stored != key => KeyMatch::Changed,
            (_, Some(stored)) if stored == key => KeyMatch::Trusted,
            _ => {
                state.keys.insert(user.to_owned(), key.to_owned());
                KeyMatch::FirstSeen
            }
        }
    }

    fn save(&self) -> std::io::Result<()> {
        folder::write_json(&self.file, &self.state.lock().keys)
    }
}

/// Returns a person's present master key, as the SDK has stored it.
async fn master_key(client: &Client, user: &UserId) -> Option<String> {
    let identity = client.encryption().get_user_identity(user).await.ok().flatten()?;
    Some(identity.master_key().get_first_key()?.to_base64())
}

/// Returns whether the device that encrypted an event is signed by its owner's current keys.
async fn is_signed(client: &Client, info: &EncryptionInfo) -> bool {
    let AlgorithmInfo::MegolmV1AesSha2 { curve25519_key, .. } = &info.algorithm_info else { return false };
    let Some(id) = &info.sender_device else { return false };
    let Ok(Some(device)) = client.encryption().get_device(&info.sender, id).await else { return false };
    let is_same_device = device.curve25519_key().is_some_and(|key| key.to_base64() == *curve25519_key);
    is_same_device && !device.is_deleted() && device.is_cross_signed_by_owner()
}

#[cfg(test)]
mod tests {
    use matrix_sdk::ruma::user_id;
    use tempfile::TempDir;

    use super::*;

    fn load(folder: &TempDir, configured: Option<&str>) -> TrustStore {
        let file = folder.path().join("identities.json");
        let keys = folder::read_json(&file).expect("readable").unwrap_or_default();
        let configured = configured.map(|key| (user_id!("@bob:x").to_owned(), key.to_owned()));
        let state = Mutex::new(TrustState { keys, ..TrustState::default() });
        let configured = configured.into_iter().collect();
        TrustStore { bot: "marvin".into(), file, configured, is_unreadable: false, state }
    }

    #[test]
    fn the_first_key_is_trusted_until_the_configuration_names_another() {
        let folder = TempDir::new().expect("a folder");
        let bob = user_id!("@bob:x");
        let first = load(&folder, None);
        assert_eq!((first.compare(bob, "one"), first.compare(bob, "one")), (KeyMatch::FirstSeen, KeyMatch::Trusted));
        first.save().expect("saved");
        let restarted = load(&folder, None);
        assert_eq!(
            (restarted.compare(bob, "two"), restarted.compare(bob, "one")),
            (KeyMatch::Changed, KeyMatch::Trusted)
        );
        let named = load(&folder, Some("two"));
        assert_eq!((named.compare(bob, "one"), named.compare(bob, "two")), (KeyMatch::Changed, KeyMatch::FirstSeen));
        named.save().expect("saved");
        let later = load(&folder, None);
        assert_eq!((later.compare(bob, "one"), later.compare(bob, "two")), (KeyMatch::Changed, KeyMatch::Trusted));
    }

    #[test]
    fn a_published_key_is_compared_but_not_trusted() {
        let folder = TempDir::new().expect("a folder");
        let bob = user_id!("@bob:x");
        let store = load(&folder, None);
        assert!(!store.check_published(bob, "one"), "no trusted key");
        assert_eq!(store.compare(bob, "two"), KeyMatch::FirstSeen, "the published key was not stored");
        assert!(!store.check_published(bob, "two"));
        assert!(store.check_published(bob, "one"));
        assert!(load(&folder, Some("two")).check_published(bob, "one"), "a configured key");
    }

    #[test]
    fn a_configured_key_excludes_every_other_first_key() {
        let folder = TempDir::new().expect("a folder");
        let bob = user_id!("@bob:x");
        let store = load(&folder, Some("two"));
        assert_eq!((store.compare(bob, "one"), store.compare(bob, "two")), (KeyMatch::Changed, KeyMatch::FirstSeen));
    }

    #[test]
    fn an_unreadable_file_leaves_only_configured_keys_trusted() {
        let folder = TempDir::new().expect("a folder");
        let (bob, eve) = (user_id!("@bob:x"), user_id!("@eve:x"));
        let store = TrustStore { is_unreadable: true, ..load(&folder, Some("two")) };
        assert_eq!((store.compare(bob, "two"), store.compare(bob, "one")), (KeyMatch::Trusted, KeyMatch::Changed));
        assert_eq!(store.compare(eve, "any"), KeyMatch::Undetermined);
        assert!(store.state.lock().keys.is_empty(), "nothing is stored that would replace the file");
    }
}
