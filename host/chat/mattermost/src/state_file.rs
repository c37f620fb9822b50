//! The stored state of an account: its channels, each with the person who added the bot, and the reactions that are in
//! the inbox.
//!
//! Invariant: a reaction is on disk before it is in the inbox. A reaction that is removed while the bot
//! does not run or is not in the channel is detected by comparison with the stored reactions, because the server does
//! not report the removal. The reactions of a channel are therefore stored also after the bot left it: an approval that
//! the engine counts can be open until the bot returns.
//! Not here: the check whether the person who added the bot is an admin. The result is not stored: `joined_channels`
//! repeats the check each time.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};
use wardroom_account::StateFile;

use crate::client::Reaction;

/// Maximum number of messages with stored reactions. If there are more, the stored reactions of one message are
/// removed: the message that has gone longest without a new reaction.
const MAX_MESSAGES: usize = 2000;

/// The state of a channel that the bot is in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ChannelState {
    /// The id of the person who added the bot; `None` if the bot joined by itself or the person is unknown.
    #[serde(rename = "by")]
    pub(crate) added_by: Option<String>,
    /// Whether `added_by` was looked up.
    #[serde(rename = "looked")]
    pub(crate) is_looked_up: bool,
    /// Posts up to this time, in milliseconds since the Unix epoch (server clock), are never handled, for example
    /// because they were written before the bot joined the channel.
    pub(crate) since: i64,
    /// Whether the channel was ignored at the last check. If the bot handles the channel later, the bot skips the posts
    /// that are in the channel at that time.
    #[serde(rename = "foreign")]
    pub(crate) was_ignored: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct StoredReaction {
    user: String,
    emoji: String,
    at: i64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct MessageReactions {
    channel: String,
    given: Vec<StoredReaction>,
}

/// The content of the account's state file, `kept.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Content {
    /// The id of the account that the file belongs to.
    user: String,
    channels: BTreeMap<String, ChannelState>,
    reactions: BTreeMap<String, MessageReactions>,
}

#[derive(Debug)]
pub(crate) struct AccountState {
    content: StateFile<Content>,
    /// Whether the account has no stored state yet. In this case the posts that are already in the channels are not
    /// handled.
    is_new: bool,
}

impl AccountState {
    /// Loads the state of the account with the id `user` from `kept.json`. The file of another account is ignored.
    pub(crate) fn load(folder: &Path, user: &str) -> Self {
        let path = folder.join("kept.json");
        let consequence = "messages from the downtime are not handled, and the people who added the bot to its channels are looked up again";
        let stored = StateFile::read(&path, consequence).filter(|content: &Content| content.user == user);
        let is_new = stored.is_none();
        let content = stored.unwrap_or_else(|| Content { user: user.to_owned(), ..Content::default() });
        Self { content: StateFile::new(path, content, is_new), is_new }
    }

    /// Returns whether the account's channels have no stored state yet.
    pub(crate) fn is_new(&self) -> bool {
        self.is_new
    }

    /// Makes `is_new` return `false`. Called after a state was stored for each channel that the bot is in.
    pub(crate) fn finish_initialization(&mut self) {
        self.is_new = false;
    }

    pub(crate) fn channel(&self, channel: &str) -> Option<&ChannelState> {
        self.content.channels.get(channel)
    }

    pub(crate) fn set_channel(&mut self, channel: &str, state: ChannelState) {
        let before = self.content.channels.insert(channel.to_owned(), state.clone());
        self.content.mark_changed(before.as_ref() != Some(&state));
    }

    /// Removes the state of a channel that the bot left, but not its reactions.
    pub(crate) fn remove_channel(&mut self, channel: &str) {
        let changed = self.content.channels.remove(channel).is_some();
        self.content.mark_changed(changed);
    }

    /// Removes the state of the channels that the bot is no longer in: those for which `is_in` returns `false`. Does
    /// not remove their reactions.
    pub(crate) fn prune(&mut self, is_in: impl Fn(&str) -> bool) {
        let before = self.content.channels.len();
        self.content.channels.retain(|channel, _| is_in(channel));
        let changed = self.content.channels.len() != before;
        self.content.mark_changed(changed);
    }

    /// Returns the stored reactions on a message.
    pub(crate) fn reactions(&self, post: &str) -> Vec<Reaction> {
        let reaction = |stored: &StoredReaction| Reaction {
            user: stored.user.clone(),
            post: post.to_owned(),
            emoji: stored.emoji.clone(),
            create_at: stored.at,
        };
        self.content.reactions.get(post).into_iter().flat_map(|message| message.given.iter().map(reaction)).collect()
    }

    /// Returns whether a reaction of this person with this emoji on this message is stored.
    pub(crate) fn has_reaction(&self, reaction: &Reaction) -> bool {
        let is_same = |known: &Reaction| known.user == reaction.user && known.emoji == reaction.emoji;
        self.reactions(&reaction.post).iter().any(is_same)
    }

    /// Returns the stored reactions on a channel's messages.
    pub(crate) fn reactions_in(&self, channel: &str) -> Vec<Reaction> {
        let here = self.content.reactions.iter().filter(|(_, message)| message.channel == channel);
        here.flat_map(|(post, _)| self.reactions(post)).collect()
    }

    /// Stores a reaction. The new reaction replaces an earlier one of the same person with the same emoji.
    pub(crate) fn add_reaction(&mut self, channel: &str, reaction: &Reaction) {
        let stored =
            StoredReaction { user: reaction.user.clone(), emoji: reaction.emoji.clone(), at: reaction.create_at };
        let message = self.content.reactions.entry(reaction.post.clone()).or_default();
        message.channel = channel.to_owned();
        if !message.given.contains(&stored) {
            message.given.retain(|known| known.user != stored.user || known.emoji != stored.emoji);
            message.given.push(stored);
            self.content.mark_changed(true);
        }
        let newest = |message: &MessageReactions| message.given.iter().map(|given| given.at).max().unwrap_or_default();
        while self.content.reactions.len() > MAX_MESSAGES {
            let oldest = self.content.reactions.iter().min_by_key(|(_, message)| newest(message));
            let Some(oldest) = oldest.map(|(post, _)| post.clone()) else { break };
            self.content.reactions.remove(&oldest);
        }
    }

    /// Removes a stored reaction: one that was removed on the server, or that the inbox did not store.
    pub(crate) fn remove_reaction(&mut self, reaction: &Reaction) {
        let Some(message) = self.content.reactions.get_mut(&reaction.post) else { return };
        let before = message.given.len();
        message.given.retain(|given| given.user != reaction.user || given.emoji != reaction.emoji);
        let (changed, is_empty) = (message.given.len() != before, message.given.is_empty());
        if is_empty {
            self.content.reactions.remove(&reaction.post);
        }
        self.content.mark_changed(changed);
    }

    /// Writes the changes to the file.
    pub(crate) fn save(&mut self) {
        self.content.save();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reaction(user: &str, at: i64) -> Reaction {
        Reaction { user: user.into(), post: "p".into(), emoji: "+1".into(), create_at: at }
    }

    #[test]
    fn the_state_survives_a_restart_and_belongs_to_one_account() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().join("mattermost").join("marvin");
        let mut state = AccountState::load(&folder, "me");
        assert!(state.is_new());
        let channel = ChannelState { added_by: Some("alice".into()), since: 7, ..ChannelState::default() };
        state.set_channel("c", channel.clone());
        state.add_reaction("c", &reaction("bob", 5));
        state.save();
        let state = AccountState::load(&folder, "me");
        assert!(!state.is_new());
        assert_eq!(state.channel("c"), Some(&channel));
        let stored = (state.reactions("p"), state.reactions_in("c"));
        assert_eq!(stored, (vec![reaction("bob", 5)], vec![reaction("bob", 5)]));
        assert!(AccountState::load(&folder, "somebody else").is_new());
    }

    #[test]
    fn only_the_reactions_are_kept_of_a_channel_that_the_bot_left() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut state = AccountState::load(folder.path(), "me");
        let leaves: [fn(&mut AccountState); 2] =
            [|state| state.remove_channel("c"), |state| state.prune(|id| id == "d")];
        for leave in leaves {
            state.set_channel("c", ChannelState::default());
            state.set_channel("d", ChannelState::default());
            state.add_reaction("c", &reaction("bob", 5));
            leave(&mut state);
            assert!(state.channel("c").is_none() && state.channel("d").is_some());
            assert!(state.has_reaction(&reaction("bob", 0)) && state.reactions_in("c").len() == 1);
        }
    }

    #[test]
    fn a_repeated_reaction_replaces_the_earlier_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut state = AccountState::load(folder.path(), "me");
        state.add_reaction("c", &reaction("bob", 5));
        state.add_reaction("c", &reaction("bob", 9));
        assert_eq!(state.reactions("p"), [reaction("bob", 9)]);
        state.remove_reaction(&reaction("bob", 0));
        assert!(state.reactions_in("c").is_empty());
    }
}
