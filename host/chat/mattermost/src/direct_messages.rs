//! The policy for direct messages: the key `direct`, and a cache of the members of configured channels.
//!
//! Invariant: with `direct = "members"`, direct messages are accepted from admins and from current members of a
//! configured channel. The cached result of a lookup expires after a short time. If a lookup fails, the message waits
//! until a retry succeeds.
//! Not here: the channels that are served (`joined_channels`), and the reading of a channel (`sync`).

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use wardroom::base::{Table, Text};
use wardroom_account::RoomMembership;

use crate::{
    client::{ApiClient, Channel},
    error::MattermostError,
};

/// Time after which a person is looked up again if the last lookup found them in a configured channel.
const MEMBER_TTL: Duration = Duration::from_secs(60);
/// Time after which a person is looked up again if the last lookup found them in no configured channel. While the bot
/// is connected, the server also reports when a person joins a channel.
const NON_MEMBER_TTL: Duration = Duration::from_secs(30);
/// Maximum number of people in the cache. A full cache is cleared.
const MAX_CACHED: usize = 20_000;

/// The people whose direct messages are handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DirectMessagePolicy {
    /// Admins, and members of a channel that `rooms` lists.
    Members,
    /// Everybody with an account on the server.
    Everybody,
    Nobody,
}

impl DirectMessagePolicy {
    /// Reads the key `direct`. Adds a configuration problem to the table for an unknown value.
    pub(crate) fn read(table: &mut Table) -> Self {
        match table.choice("direct").map(|choice| choice.value) {
            Some("everybody") => Self::Everybody,
            Some("nobody") => Self::Nobody,
            _ => Self::Members,
        }
    }

    /// Returns the idempotency key and the text of the bot's reply to a person whose direct messages are not handled.
    /// The outbox sends a reply with the same key only once per channel.
    pub(crate) fn refusal(self) -> (&'static str, Text) {
        match self {
            Self::Nobody => {
                ("direct/nobody", Text::lines("I do not answer direct messages. Write to me in one of my channels."))
            }
            Self::Members | Self::Everybody => (
                "direct/members",
                Text::lines(
                    "I answer direct messages only from members of my channels. Join one of my channels and write to me again.",
                ),
            ),
        }
    }

    /// Returns a description of the policy for the output of `wardroom check --connect`.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Members => {
                "direct messages are handled if their author is an admin or in a channel that `rooms` lists"
            }
            Self::Everybody => "the bot handles direct messages from everybody with an account on the server",
            Self::Nobody => "direct messages are not handled",
        }
    }
}

/// A cache that stores whether the senders of direct messages are members of a configured channel, and a record of the
/// refusals that were sent.
#[derive(Debug)]
pub(crate) struct DirectSenders {
    /// The id of the bot's account.
    me: String,
    /// By person: whether they are a member of a configured channel, and the time of the lookup.
    memberships: HashMap<String, (bool, Instant)>,
    /// The direct channels in which a refusal was sent.
    pub(crate) refused: HashSet<String>,
}

impl DirectSenders {
    /// Creates an empty cache. `me` is the id of the bot's account.
    pub(crate) fn new(me: &str) -> Self {
        Self { me: me.to_owned(), memberships: HashMap::new(), refused: HashSet::new() }
    }

    /// Returns the other person in a direct channel, from the channel's name `ID__ID`; `None` if the name has another
    /// form or does not contain the bot's id.
    pub(crate) fn other_person<'c>(&self, channel: &'c Channel) -> Option<&'c str> {
        let (one, other) = channel.name.split_once("__")?;
        let person = if one == self.me { other } else { one };
        let is_own = one == self.me || other == self.me;
        (is_own && person != self.me && !person.is_empty()).then_some(person)
    }

    /// Returns whether the bot handles the messages of a direct channel at the time `now`. The result is `Undecided` if
    /// the other person's membership must be looked up.
    pub(crate) fn membership(
        &self,
        policy: DirectMessagePolicy,
        channel: &Channel,
        is_admin: impl Fn(&str) -> bool,
        now: Instant,
    ) -> RoomMembership {
        match policy {
            DirectMessagePolicy::Everybody => return RoomMembership::Served,
            DirectMessagePolicy::Nobody => return RoomMembership::Ignored,
            DirectMessagePolicy::Members => {}
        }
        let Some(person) = self.other_person(channel) else { return RoomMembership::Ignored };
        if is_admin(person) {
            return RoomMembership::Served;
        }
        match self.memberships.get(person) {
            Some((true, at)) if now.duration_since(*at) < MEMBER_TTL => RoomMembership::Served,
            Some((false, at)) if now.duration_since(*at) < NON_MEMBER_TTL => RoomMembership::Ignored,
            _ => RoomMembership::Undecided,
        }
    }

    /// Caches whether a person is a member of a configured channel.
    pub(crate) fn record_lookup(&mut self, person: &str, is_member: bool, now: Instant) {
        if self.memberships.len() >= MAX_CACHED {
            self.memberships.clear();
        }
        self.memberships.insert(person.to_owned(), (is_member, now));
    }

    /// Removes a person from the cache, because they joined or left a channel.
    pub(crate) fn invalidate(&mut self, person: &str) {
        self.memberships.remove(person);
    }

    pub(crate) fn invalidate_all(&mut self) {
        self.memberships.clear();
    }
}

/// Looks up whether a person is a member of one of these channels.
///
/// # Errors
/// Fails if the server is unavailable; the remaining channels are not looked up. Also fails if the server rejects the
/// lookup in one of the channels and the person is in none of the other channels.
pub(crate) async fn is_member_of_any(
    client: &ApiClient,
    channels: &[String],
    person: &str,
) -> Result<bool, MattermostError> {
    let mut rejected = None;
    for channel in channels {
        match client.is_member(channel, person).await {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            // The bot may have left this channel. Continue with the others.
            Err(error @ MattermostError::Rejected { .. }) => rejected = Some(error),
            Err(error) => {
                return Err(error.context(
                    "cannot look up whether the sender of a direct message is in a channel that `rooms` lists",
                ));
            }
        }
    }
    match rejected {
        Some(error) => Err(error.context(
            "the server refuses to report whether the sender of a direct message is in a channel that `rooms` lists",
        )),
        None => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::ChannelKind;

    fn channel(name: &str) -> Channel {
        Channel {
            id: "dm".into(),
            kind: ChannelKind::Direct,
            team: String::new(),
            name: name.into(),
            create_at: 0,
            last_post_at: 0,
            is_archived: false,
            may_post: true,
        }
    }

    #[test]
    fn the_other_person_is_read_from_the_channels_name() {
        let senders = DirectSenders::new("me");
        assert_eq!(senders.other_person(&channel("me__bob")), Some("bob"));
        assert_eq!(senders.other_person(&channel("bob__me")), Some("bob"));
        for name in ["me__me", "alice__bob", "me__", "me", ""] {
            assert_eq!(senders.other_person(&channel(name)), None, "{name}");
        }
    }

    #[test]
    fn a_member_is_cached_for_a_minute_and_a_non_member_for_less() {
        let mut senders = DirectSenders::new("me");
        let (bob, now) = (channel("bob__me"), Instant::now());
        let after = |senders: &DirectSenders, seconds| {
            senders.membership(DirectMessagePolicy::Members, &bob, |_| false, now + Duration::from_secs(seconds))
        };
        assert_eq!(after(&senders, 0), RoomMembership::Undecided);
        senders.record_lookup("bob", true, now);
        assert_eq!([after(&senders, 0), after(&senders, 59)], [RoomMembership::Served; 2]);
        assert_eq!(after(&senders, 60), RoomMembership::Undecided, "a person who left is looked up again");
        senders.record_lookup("bob", false, now);
        assert_eq!(after(&senders, 29), RoomMembership::Ignored);
        assert_eq!(after(&senders, 30), RoomMembership::Undecided);
        senders.record_lookup("bob", true, now);
        senders.invalidate("bob");
        assert_eq!(after(&senders, 0), RoomMembership::Undecided, "a person who joins or leaves is looked up again");
    }

    #[test]
    fn the_policy_allows_members_and_admins_or_everybody_or_nobody() {
        let senders = DirectSenders::new("me");
        let look = |policy, name| senders.membership(policy, &channel(name), |who| who == "alice", Instant::now());
        assert_eq!(look(DirectMessagePolicy::Members, "alice__me"), RoomMembership::Served);
        assert_eq!(look(DirectMessagePolicy::Members, "eve__me"), RoomMembership::Undecided);
        assert_eq!(look(DirectMessagePolicy::Members, "alice__eve"), RoomMembership::Ignored, "a channel of others");
        assert_eq!(look(DirectMessagePolicy::Everybody, "eve__me"), RoomMembership::Served);
        assert_eq!(look(DirectMessagePolicy::Nobody, "alice__me"), RoomMembership::Ignored);
    }
}
