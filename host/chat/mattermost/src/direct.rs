//! Who may write to the bot alone: the key `direct`, who is known to be in our rooms, and what is said to whom we do not hear.
//!
//! Architecture Invariant: a door opens for an admin, or for who is in a room of the configuration now. What was looked up is
//! believed for a short time; what cannot be looked up is neither yes nor no.
//! Not here: what becomes of a channel by that (`places`), and the reading of one (`rooms`).

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use wardroom::{config::Table, reply::Text};

use crate::{
    api::{Api, Channel},
    places::Standing,
    trouble::Trouble,
};

/// How long somebody who was in a room of ours is believed to be there still.
const BELIEVED: Duration = Duration::from_secs(60);
/// How long somebody who was in none is believed to be in none. Who comes in is told of, where the connection holds.
const DOUBTED: Duration = Duration::from_secs(30);
/// So many people are remembered; beyond that they are looked up anew.
const MOST: usize = 20_000;

/// Whose direct messages are handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Direct {
    /// Those of admins, and of who is in a channel that `rooms` names.
    #[default]
    Members,
    /// Those of everybody who has an account at the server.
    Everybody,
    /// None.
    Nobody,
}

impl Direct {
    /// Reads the key; another word is a problem.
    pub(crate) fn read(table: &mut Table) -> Self {
        let Some(word) = table.string("direct") else { return Self::default() };
        match word.value.as_str() {
            "members" => Self::Members,
            "everybody" => Self::Everybody,
            "nobody" => Self::Nobody,
            other => {
                let message = format!(
                    "`{}.direct` is `{other}`, and must be `members`, `everybody` or `nobody`: whose direct messages are handled",
                    table.path()
                );
                table.problem(&word.at, message, "direct = \"members\"".to_owned());
                Self::default()
            }
        }
    }

    /// What is said once to somebody whose direct messages are not handled: a key, and the words.
    pub(crate) fn refusal(self) -> (&'static str, Text) {
        match self {
            Self::Nobody => {
                ("direct/nobody", Text::lines("I do not answer direct messages. Ask me in one of my rooms."))
            }
            Self::Members | Self::Everybody => (
                "direct/members",
                Text::lines(
                    "I answer direct messages of members of my rooms only. Once you are in one of them, write to me again.",
                ),
            ),
        }
    }

    /// For `check --connect`.
    pub(crate) fn described(self) -> &'static str {
        match self {
            Self::Members => "direct messages are handled where their author is an admin or in a channel of `rooms`",
            Self::Everybody => "direct messages are handled of everybody who has an account there",
            Self::Nobody => "no direct messages are handled",
        }
    }
}

/// Who was found to be in our rooms, and who not.
#[derive(Debug)]
pub(crate) struct Doors {
    /// Our own id.
    me: String,
    /// By a person's id: whether they were in one, and when that was looked up.
    looked: HashMap<String, (bool, Instant)>,
    /// The direct channels where it was said that nothing is heard.
    told: HashSet<String>,
}

impl Doors {
    /// Nobody is known.
    pub(crate) fn new(me: &str) -> Self {
        Self { me: me.to_owned(), looked: HashMap::new(), told: HashSet::new() }
    }

    /// Who is on the other side of a direct channel; `None` where nobody else is.
    pub(crate) fn other<'c>(&self, channel: &'c Channel) -> Option<&'c str> {
        let (one, other) = channel.name.split_once("__")?;
        let them = if one == self.me { other } else { one };
        let ours = one == self.me || other == self.me;
        (ours && them != self.me && !them.is_empty()).then_some(them)
    }

    /// What a direct channel is to us at a moment.
    pub(crate) fn standing(
        &self,
        direct: Direct,
        channel: &Channel,
        is_admin: impl Fn(&str) -> bool,
        now: Instant,
    ) -> Standing {
        match direct {
            Direct::Everybody => return Standing::Ours,
            Direct::Nobody => return Standing::Foreign,
            Direct::Members => {}
        }
        let Some(them) = self.other(channel) else { return Standing::Foreign };
        if is_admin(them) {
            return Standing::Ours;
        }
        match self.looked.get(them) {
            Some((true, at)) if now.duration_since(*at) < BELIEVED => Standing::Ours,
            Some((false, at)) if now.duration_since(*at) < DOUBTED => Standing::Foreign,
            _ => Standing::Unknown,
        }
    }

    /// It was looked up whether somebody is in a room of ours.
    pub(crate) fn learn(&mut self, person: &str, is_member: bool, now: Instant) {
        if self.looked.len() >= MOST {
            self.looked.clear();
        }
        self.looked.insert(person.to_owned(), (is_member, now));
    }

    /// Somebody came into a channel or left one: they are looked up anew.
    pub(crate) fn forget(&mut self, person: &str) {
        self.looked.remove(person);
    }

    /// Everybody is looked up anew.
    pub(crate) fn forget_all(&mut self) {
        self.looked.clear();
    }

    /// Whether it was said in a direct channel that nothing is heard there.
    pub(crate) fn has_told(&self, channel: &str) -> bool {
        self.told.contains(channel)
    }

    /// It was said there.
    pub(crate) fn told(&mut self, channel: &str) {
        self.told.insert(channel.to_owned());
    }
}

/// Looks up whether somebody is in one of these channels now.
///
/// # Errors
/// [`Trouble`]: they are in none of those that could be asked, and not all could.
pub(crate) async fn is_in_any(api: &Api, channels: &[String], person: &str) -> Result<bool, Trouble> {
    let mut unasked = None;
    for channel in channels {
        match api.is_member(channel, person).await {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            // Perhaps we are out of that one; another may still know them.
            Err(trouble @ Trouble::Refused { .. }) => unasked = Some(trouble),
            Err(trouble) => return Err(trouble.about("whether somebody is in a room of ours cannot be asked")),
        }
    }
    match unasked {
        Some(trouble) => Err(trouble.about("whether somebody is in a room of ours is not told")),
        None => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Kind;

    fn channel(name: &str) -> Channel {
        Channel {
            id: "dm".into(),
            kind: Kind::Direct,
            team: String::new(),
            name: name.into(),
            create_at: 0,
            last_post_at: 0,
            archived: false,
        }
    }

    #[test]
    fn the_other_side_is_who_we_are_not() {
        let doors = Doors::new("me");
        assert_eq!(doors.other(&channel("me__bob")), Some("bob"));
        assert_eq!(doors.other(&channel("bob__me")), Some("bob"));
        for name in ["me__me", "alice__bob", "me__", "me", ""] {
            assert_eq!(doors.other(&channel(name)), None, "{name}");
        }
    }

    #[test]
    fn who_is_in_a_room_is_believed_for_a_minute_and_who_is_not_for_less() {
        let mut doors = Doors::new("me");
        let (bob, now) = (channel("bob__me"), Instant::now());
        let after = |doors: &Doors, seconds| {
            doors.standing(Direct::Members, &bob, |_| false, now + Duration::from_secs(seconds))
        };
        assert_eq!(after(&doors, 0), Standing::Unknown);
        doors.learn("bob", true, now);
        assert_eq!([after(&doors, 0), after(&doors, 59)], [Standing::Ours; 2]);
        assert_eq!(after(&doors, 60), Standing::Unknown, "who left is not let in for ever");
        doors.learn("bob", false, now);
        assert_eq!(after(&doors, 29), Standing::Foreign);
        assert_eq!(after(&doors, 30), Standing::Unknown);
        doors.learn("bob", true, now);
        doors.forget("bob");
        assert_eq!(after(&doors, 0), Standing::Unknown, "who comes or goes is looked up anew");
    }

    #[test]
    fn the_configuration_lets_in_members_everybody_or_nobody_and_an_admin_is_a_member() {
        let doors = Doors::new("me");
        let look = |direct, name| doors.standing(direct, &channel(name), |who| who == "alice", Instant::now());
        assert_eq!(look(Direct::Members, "alice__me"), Standing::Ours);
        assert_eq!(look(Direct::Members, "eve__me"), Standing::Unknown);
        assert_eq!(look(Direct::Members, "alice__eve"), Standing::Foreign, "none of ours");
        assert_eq!(look(Direct::Everybody, "eve__me"), Standing::Ours);
        assert_eq!(look(Direct::Nobody, "alice__me"), Standing::Foreign);
    }
}
