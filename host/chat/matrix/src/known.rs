//! By which keys people are known: the master key that the configuration names, or the first one that was seen.
//!
//! Architecture Invariant: who says which device is whose can name one of their own, unless the key that signs a person's
//! devices stays the same. One that changes is nobody's until an operator writes it down.
//! Not here: whether a device is signed by that key (`sealed`).

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use matrix_sdk::{
    Client,
    deserialized_responses::{AlgorithmInfo, EncryptionInfo},
    ruma::{OwnedUserId, UserId},
};

use crate::{Config, folder};

/// What somebody is told whose key is another one.
const CHANGED: &str = "Your encryption keys are not those by which I know you. If you have reset them, ask an operator to accept the new ones.";
/// What somebody is told of whom it cannot be told.
const UNKNOWN: &str = "It cannot be told now which keys are yours. Say it again in a moment.";
/// What is said of a device that the key does not sign.
const NOT_SIGNED: &str =
    "It came from a device that your keys do not sign, or no longer. Say it again from one that they do.";

/// So long the homeserver is not asked again about the same device.
const AGAIN: Duration = Duration::from_secs(10);

/// The master keys of people, as unpadded base64.
#[derive(Debug)]
pub(crate) struct Known {
    bot: String,
    file: PathBuf,
    /// What the configuration says.
    accepted: BTreeMap<OwnedUserId, String>,
    /// Whether what was seen before could not be read: then nobody's key is the first.
    unreadable: bool,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// The first ones, or those that the configuration said later.
    keys: BTreeMap<OwnedUserId, String>,
    /// The others of which the log was told.
    told: HashSet<(OwnedUserId, String)>,
    /// When the homeserver was asked about whose device of a session.
    asked: HashMap<(OwnedUserId, String), Instant>,
}

/// What a key is to us.
#[derive(Debug, PartialEq, Eq)]
enum Judged {
    Theirs,
    /// Kept from now on.
    New,
    Changed,
    Unknown,
}

impl Known {
    /// Takes up what is on disk.
    pub(crate) fn load(config: &Config) -> Self {
        let file = config.folder.join("identities.json");
        let (keys, unreadable) = match folder::read_json(&file) {
            Ok(keys) => (keys.unwrap_or_default(), false),
            Err(error) => {
                tracing::error!(file = %file.display(), "cannot read by which keys people are known; in encrypted rooms commands that act are taken from those alone whom `identities` names, until the file is put right or taken away: {error}");
                (BTreeMap::new(), true)
            }
        };
        let seen = Mutex::new(Seen { keys, ..Seen::default() });
        Self { bot: config.bot.clone(), file, accepted: config.identities.clone(), unreadable, seen }
    }

    /// Why the device that encrypted something is not believed to be its sender's, though somebody signed it as theirs. The
    /// key that signed it when it was met may be another one than theirs is now, so all of it is looked at again.
    pub(crate) async fn doubt(&self, client: &Client, info: &EncryptionInfo) -> Option<String> {
        let user = &info.sender;
        let Some(key) = master_key(client, user).await else { return Some(UNKNOWN.to_owned()) };
        let doubt = match self.judge(user, &key) {
            Judged::Theirs => None,
            Judged::Unknown => Some(UNKNOWN),
            Judged::New => match self.save() {
                Ok(()) => None,
                // Otherwise the next start would take any key for theirs.
                Err(error) => {
                    self.seen().keys.remove(user);
                    tracing::error!(file = %self.file.display(), %user, "cannot keep by which key somebody is known: {error}");
                    Some(UNKNOWN)
                }
            },
            Judged::Changed => {
                if self.seen().told.insert((user.clone(), key.clone())) {
                    let bot = &self.bot;
                    tracing::warn!(
                        %user, key,
                        "somebody's master key is another one, and their commands that act are refused; hint: ask them on another way whether they reset their keys, and write identities = {{ \"{user}\" = \"{key}\" }} in [bot.{bot}.matrix]"
                    );
                }
                Some(CHANGED)
            }
        };
        if let Some(doubt) = doubt {
            return Some(doubt.to_owned());
        }
        if !is_signed(client, info).await {
            return Some(NOT_SIGNED.to_owned());
        }
        // A sync that runs meanwhile may have changed whose signature was looked at.
        (master_key(client, user).await.as_ref() != Some(&key)).then(|| UNKNOWN.to_owned())
    }

    /// Whether the homeserver is to be asked about the device of a session: not with every word of the same one.
    pub(crate) fn may_ask(&self, user: &UserId, session: &str) -> bool {
        let now = Instant::now();
        let mut seen = self.seen();
        seen.asked.retain(|_, at| now.saturating_duration_since(*at) < AGAIN);
        let key = (user.to_owned(), session.to_owned());
        if seen.asked.contains_key(&key) {
            return false;
        }
        seen.asked.insert(key, now);
        true
    }

    fn judge(&self, user: &UserId, key: &str) -> Judged {
        let mut seen = self.seen();
        let before = seen.keys.get(user);
        match (self.accepted.get(user), before) {
            (Some(accepted), _) if accepted != key => Judged::Changed,
            (Some(_), _) if self.unreadable => Judged::Theirs,
            (None, _) if self.unreadable => Judged::Unknown,
            (None, Some(before)) if before != key => Judged::Changed,
            (_, Some(before)) if before == key => Judged::Theirs,
            _ => {
                seen.keys.insert(user.to_owned(), key.to_owned());
                Judged::New
            }
        }
    }

    fn save(&self) -> std::io::Result<()> {
        folder::write_json(&self.file, &self.seen().keys)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody's master key, as far as it is known here.
async fn master_key(client: &Client, user: &UserId) -> Option<String> {
    let identity = client.encryption().get_user_identity(user).await.ok().flatten()?;
    Some(identity.master_key().get_first_key()?.to_base64())
}

/// Whether the device that encrypted something is one that its sender's keys sign now.
async fn is_signed(client: &Client, info: &EncryptionInfo) -> bool {
    let AlgorithmInfo::MegolmV1AesSha2 { curve25519_key, .. } = &info.algorithm_info else { return false };
    let Some(id) = &info.sender_device else { return false };
    let Ok(Some(device)) = client.encryption().get_device(&info.sender, id).await else { return false };
    let same = device.curve25519_key().is_some_and(|key| key.to_base64() == *curve25519_key);
    same && !device.is_deleted() && device.is_cross_signed_by_owner()
}

#[cfg(test)]
mod tests {
    use matrix_sdk::ruma::user_id;
    use tempfile::TempDir;

    use super::*;

    fn known(folder: &TempDir, accepted: Option<&str>) -> Known {
        let file = folder.path().join("identities.json");
        let keys = folder::read_json(&file).expect("readable").unwrap_or_default();
        let accepted = accepted.map(|key| (user_id!("@bob:x").to_owned(), key.to_owned()));
        let seen = Mutex::new(Seen { keys, ..Seen::default() });
        Known { bot: "marvin".into(), file, accepted: accepted.into_iter().collect(), unreadable: false, seen }
    }

    #[test]
    fn the_first_key_counts_until_the_configuration_names_another() {
        let folder = TempDir::new().expect("a folder");
        let bob = user_id!("@bob:x");
        let first = known(&folder, None);
        assert_eq!((first.judge(bob, "one"), first.judge(bob, "one")), (Judged::New, Judged::Theirs));
        first.save().expect("saved");
        let again = known(&folder, None);
        assert_eq!((again.judge(bob, "two"), again.judge(bob, "one")), (Judged::Changed, Judged::Theirs));
        let accepts = known(&folder, Some("two"));
        assert_eq!((accepts.judge(bob, "one"), accepts.judge(bob, "two")), (Judged::Changed, Judged::New));
        accepts.save().expect("saved");
        let later = known(&folder, None);
        assert_eq!((later.judge(bob, "one"), later.judge(bob, "two")), (Judged::Changed, Judged::Theirs));
    }

    #[test]
    fn who_is_named_before_they_are_met_has_that_key_alone() {
        let folder = TempDir::new().expect("a folder");
        let bob = user_id!("@bob:x");
        let known = known(&folder, Some("two"));
        assert_eq!((known.judge(bob, "one"), known.judge(bob, "two")), (Judged::Changed, Judged::New));
    }

    #[test]
    fn where_it_cannot_be_read_whom_is_known_nobody_new_is() {
        let folder = TempDir::new().expect("a folder");
        let (bob, eve) = (user_id!("@bob:x"), user_id!("@eve:x"));
        let known = Known { unreadable: true, ..known(&folder, Some("two")) };
        assert_eq!((known.judge(bob, "two"), known.judge(bob, "one")), (Judged::Theirs, Judged::Changed));
        assert_eq!(known.judge(eve, "any"), Judged::Unknown);
        assert!(known.seen().keys.is_empty(), "nothing is kept that would replace the file");
    }
}
