//! What an account keeps in a file of its own: the channels that it was in, who brought it there and since when it is
//! there, and the reactions that it brought to the inbox.
//!
//! Architecture Invariant: a reaction is on disk before the inbox has it, so that one that is taken away while nobody
//! looks is missed at the next look. The server does not say when it was given once it is gone.
//! Not here: whether whoever brought us is an admin; that is asked each time.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use wardroom_account::folder;

use crate::api::Reaction;

/// So many messages' reactions are kept, the newest.
const MOST_REACTED: usize = 2000;

/// A channel that we are in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Stay {
    /// Who added us, where the server said so.
    pub(crate) by: Option<String>,
    /// Whether that was looked up.
    pub(crate) looked: bool,
    /// Nothing of this millisecond of the server's clock or before is ever handled.
    pub(crate) since: i64,
    /// Whether it was not ours when we looked last: what stands there by the time that it becomes ours is not handled.
    pub(crate) foreign: bool,
}

/// A reaction, below its message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Given {
    user: String,
    emoji: String,
    at: i64,
}

/// The reactions on one message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Reacted {
    channel: String,
    given: Vec<Given>,
}

/// What stands in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct File {
    /// The account that this is about, by its id.
    user: String,
    channels: BTreeMap<String, Stay>,
    reactions: BTreeMap<String, Reacted>,
}

/// The file.
#[derive(Debug)]
pub(crate) struct Kept {
    path: PathBuf,
    file: File,
    /// Whether nothing was kept before: what stands in the channels now is from before our time.
    fresh: bool,
    unsaved: bool,
    told_unsaved: bool,
}

impl Kept {
    /// Takes up what is on disk about an account.
    pub(crate) fn load(folder: &Path, user: &str) -> Self {
        let path = folder.join("kept.json");
        let read = folder::read_json::<File>(&path);
        let found = read.unwrap_or_else(|error| {
            tracing::warn!(file = %path.display(), "cannot read who brought the bot where; it is looked up anew: {error}");
            None
        });
        let found = found.filter(|file| file.user == user);
        let fresh = found.is_none();
        let file = found.unwrap_or_else(|| File { user: user.to_owned(), ..File::default() });
        Self { path, file, fresh, unsaved: fresh, told_unsaved: false }
    }

    /// Whether this account was never here before.
    pub(crate) fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// All channels were met; whatever comes from here on is new.
    pub(crate) fn met_all(&mut self) {
        self.fresh = false;
    }

    /// What is known of our stay in a channel.
    pub(crate) fn stay(&self, channel: &str) -> Option<&Stay> {
        self.file.channels.get(channel)
    }

    /// We are in a channel.
    pub(crate) fn set_stay(&mut self, channel: &str, stay: Stay) {
        self.unsaved |= self.file.channels.insert(channel.to_owned(), stay.clone()).as_ref() != Some(&stay);
    }

    /// We are out of a channel: what brought us there counts no more.
    pub(crate) fn left(&mut self, channel: &str) {
        self.unsaved |= self.file.channels.remove(channel).is_some();
        let before = self.file.reactions.len();
        self.file.reactions.retain(|_, reacted| reacted.channel != channel);
        self.unsaved |= self.file.reactions.len() != before;
    }

    /// Forgets the channels that are not among these.
    pub(crate) fn prune(&mut self, is_in: impl Fn(&str) -> bool) {
        let gone: Vec<String> = self.file.channels.keys().filter(|channel| !is_in(channel)).cloned().collect();
        for channel in gone {
            self.left(&channel);
        }
    }

    /// The reactions on a message that were brought to the inbox.
    pub(crate) fn reactions(&self, post: &str) -> Vec<Reaction> {
        let reaction = |given: &Given| Reaction {
            user: given.user.clone(),
            post: post.to_owned(),
            emoji: given.emoji.clone(),
            create_at: given.at,
        };
        self.file.reactions.get(post).into_iter().flat_map(|reacted| reacted.given.iter().map(reaction)).collect()
    }

    /// The messages of a channel with such reactions.
    pub(crate) fn reacted(&self, channel: &str) -> Vec<String> {
        let here = self.file.reactions.iter().filter(|(_, reacted)| reacted.channel == channel);
        here.map(|(post, _)| post.clone()).collect()
    }

    /// A reaction is about to be brought to the inbox.
    pub(crate) fn give(&mut self, channel: &str, reaction: &Reaction) {
        let given = Given { user: reaction.user.clone(), emoji: reaction.emoji.clone(), at: reaction.create_at };
        let reacted = self.file.reactions.entry(reaction.post.clone()).or_default();
        reacted.channel = channel.to_owned();
        if !reacted.given.contains(&given) {
            reacted.given.retain(|known| known.user != given.user || known.emoji != given.emoji);
            reacted.given.push(given);
            self.unsaved = true;
        }
        let newest = |reacted: &Reacted| reacted.given.iter().map(|given| given.at).max().unwrap_or_default();
        while self.file.reactions.len() > MOST_REACTED {
            let oldest = self.file.reactions.iter().min_by_key(|(_, reacted)| newest(reacted));
            let Some(oldest) = oldest.map(|(post, _)| post.clone()) else { break };
            self.file.reactions.remove(&oldest);
        }
    }

    /// A reaction is gone, or said nothing to us.
    pub(crate) fn take(&mut self, reaction: &Reaction) {
        let Some(reacted) = self.file.reactions.get_mut(&reaction.post) else { return };
        let before = reacted.given.len();
        reacted.given.retain(|given| given.user != reaction.user || given.emoji != reaction.emoji);
        self.unsaved |= reacted.given.len() != before;
        if reacted.given.is_empty() {
            self.file.reactions.remove(&reaction.post);
        }
    }

    /// Writes down what changed. What cannot be written is tried again with the next call.
    pub(crate) fn save(&mut self) {
        if !self.unsaved {
            return;
        }
        let made = self.path.parent().map_or(Ok(()), folder::make);
        match made.and_then(|()| folder::write_json(&self.path, &self.file)) {
            Ok(()) => (self.unsaved, self.told_unsaved) = (false, false),
            Err(error) => {
                if !std::mem::replace(&mut self.told_unsaved, true) {
                    tracing::error!(file = %self.path.display(), "cannot write down who brought the bot where, trying again: {error}");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reaction(user: &str, at: i64) -> Reaction {
        Reaction { user: user.into(), post: "p".into(), emoji: "+1".into(), create_at: at }
    }

    #[test]
    fn what_was_kept_is_there_after_a_restart_and_is_another_accounts_no_business() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().join("mattermost").join("marvin");
        let mut kept = Kept::load(&folder, "me");
        assert!(kept.is_fresh());
        kept.set_stay("c", Stay { by: Some("alice".into()), since: 7, ..Stay::default() });
        kept.give("c", &reaction("bob", 5));
        kept.save();
        let kept = Kept::load(&folder, "me");
        assert!(!kept.is_fresh());
        assert_eq!(kept.stay("c"), Some(&Stay { by: Some("alice".into()), since: 7, ..Stay::default() }));
        assert_eq!((kept.reactions("p"), kept.reacted("c")), (vec![reaction("bob", 5)], vec!["p".to_owned()]));
        assert!(Kept::load(&folder, "somebody else").is_fresh());
    }

    #[test]
    fn out_of_a_channel_nothing_of_it_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut kept = Kept::load(folder.path(), "me");
        kept.set_stay("c", Stay::default());
        kept.give("c", &reaction("bob", 5));
        kept.prune(|channel| channel == "d");
        assert!(kept.stay("c").is_none() && kept.reactions("p").is_empty());
    }

    #[test]
    fn a_reaction_given_again_replaces_the_one_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut kept = Kept::load(folder.path(), "me");
        kept.give("c", &reaction("bob", 5));
        kept.give("c", &reaction("bob", 9));
        assert_eq!(kept.reactions("p"), [reaction("bob", 9)]);
        kept.take(&reaction("bob", 0));
        assert!(kept.reacted("c").is_empty());
    }
}
