//! The channels whose messages the bot handles: configured channels, channels to which an admin added the bot, and
//! direct messages of the people whom the configuration allows.
//!
//! Invariant: the bot's presence in a channel gives nobody in the channel a permission. The bot ignores a
//! channel that the account is in for another reason: the configuration listed the channel before, somebody who is not
//! an admin added the account, or the channel is a team's default channel.

use std::{
    collections::{HashMap, HashSet},
    time::Instant,
};

use wardroom_account::RoomMembership;

use crate::{
    client::{Channel, ChannelKind},
    config::{Config, RoomName},
    direct_messages::DirectSenders,
    state_file::AccountState,
};

/// The channels that the bot is in, by id.
#[derive(Debug, Default)]
pub(crate) struct JoinedChannels(HashMap<String, Channel>);

impl JoinedChannels {
    pub(crate) fn new(channels: Vec<Channel>) -> Self {
        Self(channels.into_iter().map(|channel| (channel.id.clone(), channel)).collect())
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Channel> {
        self.0.get(id)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Channel> {
        self.0.values()
    }

    pub(crate) fn remove(&mut self, id: &str) {
        self.0.remove(id);
    }

    /// Returns the channel with a name from the configuration; `None` if the bot is not in the channel.
    pub(crate) fn named(&self, name: &RoomName) -> Option<&Channel> {
        match name {
            RoomName::Id(id) => self.get(id),
            RoomName::Path { team, channel } => self
                .all()
                .find(|known| known.kind == ChannelKind::Team && known.team == *team && known.name == *channel),
        }
    }
}

/// Returns whether the bot handles the messages of a channel now. The result is `Undecided` until the required lookup
/// has succeeded: for a direct channel, whether the sender is a member of a configured channel; for any other channel,
/// who added the bot.
pub(crate) fn membership(
    config: &Config,
    channels: &JoinedChannels,
    state: &AccountState,
    senders: &DirectSenders,
    channel: &Channel,
    is_admin: impl Fn(&str) -> bool,
) -> RoomMembership {
    let is_this = |name: &RoomName| channels.named(name).is_some_and(|named| named.id == channel.id);
    if config.rooms.iter().any(is_this) {
        return RoomMembership::Served;
    }
    if channel.kind == ChannelKind::Direct {
        return senders.membership(config.direct, channel, is_admin, Instant::now());
    }
    match state.channel(&channel.id) {
        Some(stored) if stored.is_looked_up => match stored.added_by.as_deref().is_some_and(is_admin) {
            true => RoomMembership::Served,
            false => RoomMembership::Ignored,
        },
        _ => RoomMembership::Undecided,
    }
}

/// The channels that were already logged as ignored, and those that were already logged as missing.
#[derive(Debug, Default)]
pub(crate) struct ReportedChannels {
    ignored: HashSet<String>,
    missing: HashSet<RoomName>,
}

impl ReportedChannels {
    /// Logs that a channel is ignored, once per channel.
    pub(crate) fn report_ignored(&mut self, config: &Config, channel: &Channel) {
        if self.ignored.insert(channel.id.clone()) {
            let (bot, id) = (&config.bot, &channel.id);
            tracing::info!(
                room = id,
                name = channel.name,
                "ignoring a channel that the bot is in, because `rooms` does not list the channel and nobody in `[people] admins` added the bot; hint: add \"{id}\" to `rooms` of [bot.{bot}.mattermost], or have an admin remove the bot and add it again"
            );
        }
    }

    /// Removes the record that a channel was logged. Called after the bot left the channel, so that the channel is
    /// logged again if it is ignored later.
    pub(crate) fn remove(&mut self, channel: &str) {
        self.ignored.remove(channel);
    }

    /// Logs the configured channels that the bot is not in, once per channel. Returns `true` if there is such a
    /// channel, even if it was logged before.
    pub(crate) fn report_missing(&mut self, config: &Config, channels: &JoinedChannels, user_name: &str) -> bool {
        let mut any = false;
        for room in &config.rooms {
            if channels.named(room).is_some() {
                self.missing.remove(room);
                continue;
            }
            any = true;
            if self.missing.insert(room.clone()) {
                tracing::warn!(%room, "the bot is not in a configured channel, or the channel does not exist; checking again every few minutes; hint: add the bot to the team, and type `/invite @{user_name}` in the channel");
            }
        }
        any
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use wardroom::base::SecretRef;

    use super::*;
    use crate::{direct_messages::DirectMessagePolicy, state_file::ChannelState};

    fn channel(id: &str, team: &str, name: &str, kind: ChannelKind) -> Channel {
        Channel {
            id: id.into(),
            kind,
            team: team.into(),
            name: name.into(),
            create_at: 0,
            last_post_at: 0,
            is_archived: false,
            may_post: true,
        }
    }

    #[test]
    fn only_configured_channels_those_of_an_admin_and_an_admins_direct_messages_are_served() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = Config {
            bot: "marvin".into(),
            url: "https://x".parse().expect("a URL"),
            token: SecretRef::Env("T".into()),
            rooms: vec![RoomName::parse("eng/ops").expect("a name")],
            direct: DirectMessagePolicy::Members,
            ca: None,
            folder: folder.path().to_owned(),
            heartbeat_interval: Duration::from_secs(30),
        };
        let all = [
            channel("ops", "eng", "ops", ChannelKind::Team),
            channel("other", "sales", "ops", ChannelKind::Team),
            channel("dm", "", "alice__me", ChannelKind::Direct),
            channel("dm-eve", "", "eve__me", ChannelKind::Direct),
            channel("by-alice", "eng", "x", ChannelKind::Team),
            channel("by-eve", "eng", "y", ChannelKind::Team),
            channel("new", "eng", "z", ChannelKind::Team),
            channel("not-looked-up", "eng", "w", ChannelKind::Team),
        ];
        let channels = JoinedChannels::new(all.to_vec());
        let mut state = AccountState::load(folder.path(), "me");
        for (id, by) in [("other", None), ("by-alice", Some("alice")), ("by-eve", Some("eve"))] {
            let added_by = by.map(str::to_owned);
            state.set_channel(id, ChannelState { added_by, is_looked_up: true, ..ChannelState::default() });
        }
        state.set_channel("not-looked-up", ChannelState::default());
        let senders = DirectSenders::new("me");
        let look = |one| membership(&config, &channels, &state, &senders, one, |person| person == "alice");
        let memberships: Vec<RoomMembership> = all.iter().map(look).collect();
        use RoomMembership::{Ignored, Served, Undecided};
        assert_eq!(memberships, [Served, Ignored, Served, Undecided, Served, Ignored, Undecided, Undecided]);
        let without_admin = membership(&config, &channels, &state, &senders, &all[4], |_| false);
        assert_eq!(without_admin, Ignored, "the person who added the bot is no longer an admin");
    }
}
