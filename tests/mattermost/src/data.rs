//! The data of a server: accounts, channels and posts, and the events of their changes.
//!
//! Invariant: every change emits the same events to the same users as a real server.

mod posts;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

use crate::post::{Post, ServerVersion};
pub(crate) use posts::Known;
use posts::Pending;

/// An event for connected users.
#[derive(Debug)]
pub(crate) struct ServerEvent {
    pub(crate) event: &'static str,
    pub(crate) data: Value,
    pub(crate) broadcast: Value,
    pub(crate) to: BTreeSet<String>,
}

#[derive(Debug)]
struct User {
    name: String,
    nickname: String,
    bot: bool,
    gone: bool,
}

#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) team: String,
    pub(crate) name: String,
    pub(crate) letter: &'static str,
    pub(crate) create_at: i64,
    pub(crate) members: BTreeSet<String>,
    pub(crate) is_archived: bool,
    /// Whether the members of the channel may not post.
    pub(crate) is_moderated: bool,
}

/// The role of the members of a moderated channel. A real server generates its name.
pub(crate) const MODERATED_ROLE: &str = "k7ogpfkbjf8y3moc4fq3dmyxqo";

impl Channel {
    pub(crate) fn member_role(&self) -> &'static str {
        if self.is_moderated { MODERATED_ROLE } else { "channel_user" }
    }
}

#[derive(Debug)]
pub(crate) struct ServerData {
    pub(crate) version: ServerVersion,
    /// Whether a webhook may choose the name of its posts (the server's setting `EnablePostUsernameOverride`).
    pub(crate) allows_username_override: bool,
    users: BTreeMap<String, User>,
    tokens: HashMap<String, String>,
    /// Team ids by name.
    pub(crate) teams: BTreeMap<String, String>,
    pub(crate) channels: BTreeMap<String, Channel>,
    posts: BTreeMap<String, Post>,
    files: HashMap<String, String>,
    pending: HashMap<String, Pending>,
    events: Vec<ServerEvent>,
    last: i64,
}

/// Returns a new id in the format of the server.
pub(crate) fn new_id() -> String {
    const LETTERS: &[u8; 32] = b"ybndrfg8ejkmcpqxot1uwisza345h769";
    let mut bytes = [0_u8; 26];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect()
}

impl ServerData {
    pub(crate) fn new(version: ServerVersion) -> Self {
        Self {
            version,
            allows_username_override: false,
            users: BTreeMap::new(),
            tokens: HashMap::new(),
            teams: BTreeMap::new(),
            channels: BTreeMap::new(),
            posts: BTreeMap::new(),
            files: HashMap::new(),
            pending: HashMap::new(),
            events: Vec::new(),
            last: 0,
        }
    }

    /// Returns the time of a change, in milliseconds. It never decreases, and several changes may have the same time.
    pub(crate) fn now(&mut self) -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        self.last = self.last.max(i64::try_from(now).unwrap_or(i64::MAX));
        self.last
    }

    pub(crate) fn take_events(&mut self) -> Vec<ServerEvent> {
        std::mem::take(&mut self.events)
    }

    pub(crate) fn add_user(&mut self, name: &str, bot: bool) -> String {
        let id = new_id();
        self.users.insert(id.clone(), User { name: name.to_owned(), nickname: String::new(), bot, gone: false });
        id
    }

    pub(crate) fn rename_user(&mut self, id: &str, name: &str) {
        if let Some(user) = self.users.get_mut(id) {
            user.name = name.to_owned();
        }
    }

    pub(crate) fn nickname(&mut self, id: &str, nickname: &str) {
        if let Some(user) = self.users.get_mut(id) {
            user.nickname = nickname.to_owned();
        }
    }

    pub(crate) fn deactivate(&mut self, id: &str) {
        if let Some(user) = self.users.get_mut(id) {
            user.gone = true;
        }
    }

    pub(crate) fn remove_user(&mut self, id: &str) {
        self.users.remove(id);
    }

    pub(crate) fn add_token(&mut self, user: &str) -> String {
        let token = new_id();
        self.tokens.insert(token.clone(), user.to_owned());
        token
    }

    /// Revokes a token. Returns its user.
    pub(crate) fn revoke(&mut self, token: &str) -> Option<String> {
        self.tokens.remove(token)
    }

    pub(crate) fn user_of(&self, token: &str) -> Option<String> {
        self.tokens.get(token).cloned()
    }

    pub(crate) fn has_token(&self, user: &str) -> bool {
        self.tokens.values().any(|known| known == user)
    }

    pub(crate) fn user_json(&self, id: &str) -> Option<Value> {
        let user = self.users.get(id)?;
        let mut json = json!({
            "id": id, "create_at": 1, "update_at": 1, "delete_at": i64::from(user.gone), "username": user.name,
            "email": "", "auth_service": "", "roles": "system_user", "nickname": user.nickname, "first_name": "",
            "last_name": "",
        });
        if user.bot {
            json["is_bot"] = true.into();
        }
        Some(json)
    }

    pub(crate) fn user_named(&self, name: &str) -> Option<Value> {
        let id = self.users.iter().find(|(_, user)| user.name == name)?.0;
        self.user_json(id)
    }

    pub(crate) fn add_channel(&mut self, team: &str, name: &str) -> String {
        self.teams.entry(team.to_owned()).or_insert_with(new_id);
        self.insert_channel(team, name, "O")
    }

    fn insert_channel(&mut self, team: &str, name: &str, letter: &'static str) -> String {
        let (id, create_at) = (new_id(), self.now());
        let (team, name) = (team.to_owned(), name.to_owned());
        self.channels.insert(
            id.clone(),
            Channel {
                team,
                name,
                letter,
                create_at,
                members: BTreeSet::new(),
                is_archived: false,
                is_moderated: false,
            },
        );
        id
    }

    pub(crate) fn direct(&mut self, one: &str, other: &str) -> String {
        let mut both = [one, other];
        both.sort_unstable();
        let name = both.join("__");
        if let Some((id, _)) = self.channels.iter().find(|(_, channel)| channel.name == name) {
            return id.clone();
        }
        let id = self.insert_channel("", &name, "D");
        for user in both {
            self.join(&id, user);
        }
        self.emit("direct_added", json!({ "teammate_id": one }), &id, None);
        id
    }

    pub(crate) fn join(&mut self, channel: &str, user: &str) {
        if let Some(channel) = self.channels.get_mut(channel) {
            channel.members.insert(user.to_owned());
        }
    }

    /// Adds a user to a channel in the name of the user `by`.
    pub(crate) fn add(&mut self, channel: &str, by: &str, user: &str) {
        self.join(channel, user);
        let team = self.channels.get(channel).map(|channel| channel.team.clone()).unwrap_or_default();
        self.emit("user_added", json!({ "user_id": user, "team_id": team }), channel, None);
        let name = |id: &str| self.users.get(id).map(|user| user.name.clone()).unwrap_or_default();
        let mut props = json!({ "addedUsername": name(user), "addedUserId": user, "username": name(by) });
        if self.version == ServerVersion::Current {
            props["userId"] = by.into();
        }
        let message = format!("{} added to the channel by {}.", name(user), name(by));
        self.post_with(channel, by, &json!({ "type": "system_add_to_channel", "props": props, "message": message }));
    }

    pub(crate) fn remove(&mut self, channel: &str, user: &str) {
        let data = json!({ "user_id": user, "remover_id": "" });
        self.emit("user_removed", data, channel, None);
        if let Some(channel) = self.channels.get_mut(channel) {
            channel.members.remove(user);
        }
    }

    pub(crate) fn rename(&mut self, channel: &str, name: &str) {
        if let Some(channel) = self.channels.get_mut(channel) {
            channel.name = name.to_owned();
        }
        self.emit("channel_updated", json!({ "channel": "{}" }), channel, None);
    }

    /// Sets whether the members of a channel may not post.
    pub(crate) fn moderate(&mut self, channel: &str, is_moderated: bool) {
        if let Some(channel) = self.channels.get_mut(channel) {
            channel.is_moderated = is_moderated;
        }
        self.emit("channel_scheme_updated", json!({}), channel, None);
    }

    /// Archives or restores a channel.
    pub(crate) fn archive(&mut self, channel: &str, is_archived: bool) {
        if let Some(channel) = self.channels.get_mut(channel) {
            channel.is_archived = is_archived;
        }
        let event = if is_archived { "channel_deleted" } else { "channel_restored" };
        self.emit(event, json!({ "channel_id": channel }), channel, None);
    }

    pub(crate) fn member_role(&self, channel: &str) -> &'static str {
        self.channels.get(channel).map_or("", Channel::member_role)
    }

    pub(crate) fn may_post(&self, channel: &str) -> bool {
        self.channels.get(channel).is_some_and(|channel| !channel.is_moderated)
    }

    pub(crate) fn is_archived(&self, channel: &str) -> bool {
        self.channels.get(channel).is_some_and(|channel| channel.is_archived)
    }

    pub(crate) fn is_member(&self, channel: &str, user: &str) -> bool {
        self.channels.get(channel).is_some_and(|channel| channel.members.contains(user))
    }

    pub(crate) fn channel_json(&self, id: &str) -> Option<Value> {
        let channel = self.channels.get(id)?;
        let last = self.posts.values().filter(|post| post.channel == id).map(|post| post.create_at).max();
        Some(json!({
            "id": id, "create_at": channel.create_at, "update_at": channel.create_at,
            "delete_at": i64::from(channel.is_archived),
            "team_id": self.teams.get(&channel.team).cloned().unwrap_or_default(), "type": channel.letter,
            "display_name": channel.name, "name": channel.name, "last_post_at": last.unwrap_or(channel.create_at),
            "total_msg_count": 0,
        }))
    }

    /// Emits an event to all members of a channel, or only to `only`.
    fn emit(&mut self, event: &'static str, data: Value, channel: &str, only: Option<&str>) {
        let to = match (only, self.channels.get(channel)) {
            (Some(only), _) => BTreeSet::from([only.to_owned()]),
            (None, Some(channel)) => channel.members.clone(),
            (None, None) => BTreeSet::new(),
        };
        let broadcast = json!({
            "omit_users": null, "user_id": only.unwrap_or_default(), "channel_id": channel, "team_id": "",
        });
        self.events.push(ServerEvent { event, data, broadcast, to });
    }
}
