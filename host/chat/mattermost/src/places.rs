//! Which channels are ours: those of the configuration, those that an admin brought us into, and the direct messages of those
//! whom the configuration lets write to us.
//!
//! Architecture Invariant: being in a channel gives nobody there a right. A channel where the account is for another reason
//! (it was in `rooms` once, somebody who is no admin added it, it is everybody's channel of a team) is not ours.

use std::{
    collections::{HashMap, HashSet},
    time::Instant,
};

use crate::{
    api::{Channel, Kind},
    config::{Config, RoomName},
    direct::Doors,
    kept::Kept,
};

/// What a channel is to us now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Handled.
    Ours,
    /// Not handled.
    Foreign,
    /// It has to be looked up first: who brought us there, or whether who writes to us is in a room of ours.
    Unknown,
}

/// The channels that we are in, by their ids.
#[derive(Debug, Default)]
pub(crate) struct Channels(HashMap<String, Channel>);

impl Channels {
    /// Those that the server lists.
    pub(crate) fn new(channels: Vec<Channel>) -> Self {
        Self(channels.into_iter().map(|channel| (channel.id.clone(), channel)).collect())
    }

    /// A channel that we are in.
    pub(crate) fn get(&self, id: &str) -> Option<&Channel> {
        self.0.get(id)
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Channel> {
        self.0.values()
    }

    /// We are out of it.
    pub(crate) fn remove(&mut self, id: &str) {
        self.0.remove(id);
    }

    /// The one of a name.
    pub(crate) fn named(&self, name: &RoomName) -> Option<&Channel> {
        match name {
            RoomName::Id(id) => self.get(id),
            RoomName::Path { team, channel } => {
                self.all().find(|known| known.kind == Kind::Team && known.team == *team && known.name == *channel)
            }
        }
    }
}

/// What a channel is to us now.
pub(crate) fn standing(
    config: &Config,
    channels: &Channels,
    kept: &Kept,
    doors: &Doors,
    channel: &Channel,
    is_admin: impl Fn(&str) -> bool,
) -> Standing {
    let configured = |name: &RoomName| channels.named(name).is_some_and(|named| named.id == channel.id);
    if config.rooms.iter().any(configured) {
        return Standing::Ours;
    }
    if channel.kind == Kind::Direct {
        return doors.standing(config.direct, channel, is_admin, Instant::now());
    }
    match kept.stay(&channel.id) {
        Some(stay) if stay.looked => match stay.by.as_deref().is_some_and(is_admin) {
            true => Standing::Ours,
            false => Standing::Foreign,
        },
        _ => Standing::Unknown,
    }
}

/// What was said in the log of channels, once each.
#[derive(Debug, Default)]
pub(crate) struct Told {
    foreign: HashSet<String>,
    missing: HashSet<RoomName>,
}

impl Told {
    /// A channel that is not ours was met.
    pub(crate) fn foreign(&mut self, config: &Config, channel: &Channel) {
        if self.foreign.insert(channel.id.clone()) {
            let (bot, id) = (&config.bot, &channel.id);
            tracing::info!(
                channel = id,
                name = channel.name,
                "ignoring a channel that is not in `rooms` and into which no admin brought the bot; hint: add \"{id}\" to `rooms` of [bot.{bot}.mattermost], or let an admin remove the bot there and add it again"
            );
        }
    }

    /// We are out of a channel: the next time is news again.
    pub(crate) fn left(&mut self, channel: &str) {
        self.foreign.remove(channel);
    }

    /// Says which channels of the configuration we are not in; gives whether there are any.
    pub(crate) fn missing(&mut self, config: &Config, channels: &Channels, called: &str) -> bool {
        let mut any = false;
        for room in &config.rooms {
            if channels.named(room).is_some() {
                self.missing.remove(room);
                continue;
            }
            any = true;
            if self.missing.insert(room.clone()) {
                tracing::warn!(%room, "the bot is not in this channel, or there is none of that name, looking again now and then; hint: type `/invite @{called}` there (and add the account to the team first)");
            }
        }
        any
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use wardroom::port::SecretRef;

    use super::*;
    use crate::{direct::Direct, kept::Stay};

    fn channel(id: &str, team: &str, name: &str, kind: Kind) -> Channel {
        Channel {
            id: id.into(),
            kind,
            team: team.into(),
            name: name.into(),
            create_at: 0,
            last_post_at: 0,
            archived: false,
        }
    }

    #[test]
    fn only_configured_channels_an_admins_and_an_admins_direct_messages_are_ours() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = Config {
            bot: "marvin".into(),
            url: "https://x".parse().expect("a URL"),
            token: SecretRef::Env("T".into()),
            rooms: vec![RoomName::parse("eng/ops").expect("a name")],
            direct: Direct::default(),
            ca: None,
            folder: folder.path().to_owned(),
            beat: Duration::from_secs(30),
        };
        let all = [
            channel("ops", "eng", "ops", Kind::Team),
            channel("other", "sales", "ops", Kind::Team),
            channel("dm", "", "alice__me", Kind::Direct),
            channel("dm-eve", "", "eve__me", Kind::Direct),
            channel("by-alice", "eng", "x", Kind::Team),
            channel("by-eve", "eng", "y", Kind::Team),
            channel("new", "eng", "z", Kind::Team),
            channel("not-looked-up", "eng", "w", Kind::Team),
        ];
        let channels = Channels::new(all.to_vec());
        let mut kept = Kept::load(folder.path(), "me");
        for (id, by) in [("other", None), ("by-alice", Some("alice")), ("by-eve", Some("eve"))] {
            kept.set_stay(id, Stay { by: by.map(str::to_owned), looked: true, ..Stay::default() });
        }
        kept.set_stay("not-looked-up", Stay::default());
        let doors = Doors::new("me");
        let look = |one| standing(&config, &channels, &kept, &doors, one, |person| person == "alice");
        let standings: Vec<Standing> = all.iter().map(look).collect();
        use Standing::{Foreign, Ours, Unknown};
        assert_eq!(standings, [Ours, Foreign, Ours, Unknown, Ours, Foreign, Unknown, Unknown]);
        let nobody = standing(&config, &channels, &kept, &doors, &all[4], |_| false);
        assert_eq!(nobody, Foreign, "no admin any more");
    }
}
