//! By which keys people are known: the master key that the configuration names, or the first one that was seen.
//!
//! Architecture Invariant: who says which device is whose can name one of their own, unless the key that signs a person's
//! devices stays the same. One that changes is nobody's until an operator writes it down.
//! Not here: whether a device is signed by that key (`sealed`).

use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use matrix_sdk::{
    Client,
    ruma::{OwnedUserId, UserId},
};

use crate::{Config, folder};

/// What somebody is told whose key is another one.
const CHANGED: &str = "Your encryption keys are not those by which I know you. If you have reset them, ask an operator to accept the new ones.";
/// What somebody is told who has none.
const NONE: &str = "It cannot be told now which keys are yours. Say it again in a moment.";

/// The master keys of people, as unpadded base64.
#[derive(Debug)]
pub(crate) struct Known {
    bot: String,
    file: PathBuf,
    /// What the configuration says.
    accepted: BTreeMap<OwnedUserId, String>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// The first ones, or those that the configuration said later.
    keys: BTreeMap<OwnedUserId, String>,
    /// The others of which the log was told.
    told: HashSet<(OwnedUserId, String)>,
}

/// What a key is to us.
#[derive(Debug, PartialEq, Eq)]
enum Judged {
    Theirs,
    /// Kept from now on.
    New,
    Changed,
}

impl Known {
    /// Takes up what is on disk. One that cannot be read is as none.
    pub(crate) fn load(config: &Config) -> Self {
        let file = config.folder.join("identities.json");
        let keys = folder::read_json(&file).unwrap_or_else(|error| {
            tracing::warn!(file = %file.display(), "cannot read by which keys people are known; those that come now are taken for theirs: {error}");
            None
        });
        let seen = Mutex::new(Seen { keys: keys.unwrap_or_default(), told: HashSet::new() });
        Self { bot: config.bot.clone(), file, accepted: config.identities.clone(), seen }
    }

    /// Why somebody's devices are not believed, though a master key of theirs signed them.
    pub(crate) async fn doubt(&self, client: &Client, user: &UserId) -> Option<String> {
        let identity = client.encryption().get_user_identity(user).await.ok().flatten();
        let key = identity.and_then(|identity| identity.master_key().get_first_key());
        let Some(key) = key.map(|key| key.to_base64()) else { return Some(NONE.to_owned()) };
        match self.judge(user, &key) {
            Judged::Theirs => None,
            Judged::New => match self.save() {
                Ok(()) => None,
                // Otherwise the next start would take any key for theirs.
                Err(error) => {
                    self.seen().keys.remove(user);
                    tracing::error!(file = %self.file.display(), %user, "cannot keep by which key somebody is known: {error}");
                    Some(NONE.to_owned())
                }
            },
            Judged::Changed => {
                if self.seen().told.insert((user.to_owned(), key.clone())) {
                    let bot = &self.bot;
                    tracing::warn!(
                        %user, key,
                        "somebody's master key is another one, and their commands that act are refused; hint: ask them on another way whether they reset their keys, and write identities = {{ \"{user}\" = \"{key}\" }} in [bot.{bot}.matrix]"
                    );
                }
                Some(CHANGED.to_owned())
            }
        }
    }

    fn judge(&self, user: &UserId, key: &str) -> Judged {
        let mut seen = self.seen();
        let before = seen.keys.get(user);
        match (self.accepted.get(user), before) {
            (Some(accepted), _) if accepted != key => Judged::Changed,
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

#[cfg(test)]
mod tests {
    use matrix_sdk::ruma::user_id;
    use tempfile::TempDir;

    use super::*;

    fn known(folder: &TempDir, accepted: Option<&str>) -> Known {
        let file = folder.path().join("identities.json");
        let keys = folder::read_json(&file).expect("readable").unwrap_or_default();
        let accepted = accepted.map(|key| (user_id!("@bob:x").to_owned(), key.to_owned()));
        let seen = Mutex::new(Seen { keys, told: HashSet::new() });
        Known { bot: "marvin".into(), file, accepted: accepted.into_iter().collect(), seen }
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
}
