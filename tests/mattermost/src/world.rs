//! What a server stores: accounts, channels, posts, reactions, files; and what happens when they change.
//!
//! Invariant: every change makes the events that a real server makes, for those who are told of them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::{Map, Value, json};

use crate::post::{Age, Post, Reaction, reaction_json};

/// Something of which those who are connected are told.
#[derive(Debug)]
pub(crate) struct Happened {
    pub(crate) event: &'static str,
    pub(crate) data: Value,
    pub(crate) broadcast: Value,
    pub(crate) to: BTreeSet<String>,
}

#[derive(Debug)]
struct User {
    name: String,
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
}

/// Posts that are being made or were a moment ago, by the names that clients gave them.
#[derive(Debug)]
enum Pending {
    UnderWay,
    Made(String, Instant),
}

/// For so long a name that a client gave is known.
const PENDING: Duration = Duration::from_secs(30);

/// What came of looking for a name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// New: it is under way from now on.
    New,
    /// Somebody is at it.
    UnderWay,
    /// It is this post.
    Made(String),
}

/// Everything.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) age: Age,
    users: BTreeMap<String, User>,
    tokens: HashMap<String, String>,
    /// The teams' ids by their names.
    pub(crate) teams: BTreeMap<String, String>,
    pub(crate) channels: BTreeMap<String, Channel>,
    posts: BTreeMap<String, Post>,
    files: HashMap<String, String>,
    pending: HashMap<String, Pending>,
    events: Vec<Happened>,
    last: i64,
}

/// An id as the server makes them.
pub(crate) fn new_id() -> String {
    const LETTERS: &[u8; 32] = b"ybndrfg8ejkmcpqxot1uwisza345h769";
    let mut bytes = [0_u8; 26];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect()
}

impl World {
    pub(crate) fn new(age: Age) -> Self {
        Self {
            age,
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

    /// Milliseconds; several things may happen in one, and never backwards.
    pub(crate) fn now(&mut self) -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        self.last = self.last.max(i64::try_from(now).unwrap_or(i64::MAX));
        self.last
    }

    pub(crate) fn take_events(&mut self) -> Vec<Happened> {
        std::mem::take(&mut self.events)
    }

    pub(crate) fn add_user(&mut self, name: &str, bot: bool) -> String {
        let id = new_id();
        self.users.insert(id.clone(), User { name: name.to_owned(), bot, gone: false });
        id
    }

    pub(crate) fn rename_user(&mut self, id: &str, name: &str) {
        if let Some(user) = self.users.get_mut(id) {
            user.name = name.to_owned();
        }
    }

    pub(crate) fn deactivate(&mut self, id: &str) {
        if let Some(user) = self.users.get_mut(id) {
            user.gone = true;
        }
    }

    pub(crate) fn add_token(&mut self, user: &str) -> String {
        let token = new_id();
        self.tokens.insert(token.clone(), user.to_owned());
        token
    }

    /// Gives whose it was.
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
            "email": "", "auth_service": "", "roles": "system_user",
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
        self.channels.insert(id.clone(), Channel { team, name, letter, create_at, members: BTreeSet::new() });
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
        self.happen("direct_added", json!({ "teammate_id": one }), &id, None);
        id
    }

    pub(crate) fn join(&mut self, channel: &str, user: &str) {
        if let Some(channel) = self.channels.get_mut(channel) {
            channel.members.insert(user.to_owned());
        }
    }

    /// Somebody adds somebody to a channel.
    pub(crate) fn add(&mut self, channel: &str, by: &str, user: &str) {
        self.join(channel, user);
        let team = self.channels.get(channel).map(|channel| channel.team.clone()).unwrap_or_default();
        self.happen("user_added", json!({ "user_id": user, "team_id": team }), channel, None);
        let name = |id: &str| self.users.get(id).map(|user| user.name.clone()).unwrap_or_default();
        let mut props = json!({ "addedUsername": name(user), "addedUserId": user, "username": name(by) });
        if self.age == Age::Today {
            props["userId"] = by.into();
        }
        let message = format!("{} added to the channel by {}.", name(user), name(by));
        self.post_with(channel, by, &json!({ "type": "system_add_to_channel", "props": props, "message": message }));
    }

    pub(crate) fn remove(&mut self, channel: &str, user: &str) {
        let data = json!({ "user_id": user, "remover_id": "" });
        self.happen("user_removed", data, channel, None);
        if let Some(channel) = self.channels.get_mut(channel) {
            channel.members.remove(user);
        }
    }

    pub(crate) fn rename(&mut self, channel: &str, name: &str) {
        if let Some(channel) = self.channels.get_mut(channel) {
            channel.name = name.to_owned();
        }
        self.happen("channel_updated", json!({ "channel": "{}" }), channel, None);
    }

    pub(crate) fn is_member(&self, channel: &str, user: &str) -> bool {
        self.channels.get(channel).is_some_and(|channel| channel.members.contains(user))
    }

    pub(crate) fn channel_json(&self, id: &str) -> Option<Value> {
        let channel = self.channels.get(id)?;
        let last = self.posts.values().filter(|post| post.channel == id).map(|post| post.create_at).max();
        Some(json!({
            "id": id, "create_at": channel.create_at, "update_at": channel.create_at, "delete_at": 0,
            "team_id": self.teams.get(&channel.team).cloned().unwrap_or_default(), "type": channel.letter,
            "display_name": channel.name, "name": channel.name, "last_post_at": last.unwrap_or(channel.create_at),
            "total_msg_count": 0,
        }))
    }

    /// What is given to who asks for posts, by their ids.
    pub(crate) fn post(&self, id: &str) -> Option<&Post> {
        self.posts.get(id)
    }

    /// The posts of a channel, also those that were removed and earlier texts.
    pub(crate) fn all_of(&self, channel: &str) -> Vec<&Post> {
        self.posts.values().filter(|post| post.channel == channel).collect()
    }

    pub(crate) fn posts_of(&self, channel: &str) -> Vec<Post> {
        let mut posts: Vec<Post> =
            self.all_of(channel).into_iter().filter(|post| post.delete_at == 0).cloned().collect();
        posts.sort_by(|one, other| (one.create_at, &one.id).cmp(&(other.create_at, &other.id)));
        posts
    }

    /// A post with these fields beside the usual ones: `message`, `root_id`, `type`, `props`, `file_ids`, `create_at`,
    /// `pending_post_id`.
    pub(crate) fn post_with(&mut self, channel: &str, user: &str, fields: &Value) -> String {
        let now = self.now();
        let at = fields["create_at"].as_i64().unwrap_or(now);
        let word = |key: &str| fields[key].as_str().unwrap_or_default().to_owned();
        let mut props = fields["props"].as_object().cloned().unwrap_or_default();
        if self.users.get(user).is_some_and(|user| user.bot) {
            props.insert("from_bot".into(), "true".into());
        }
        let files = fields["file_ids"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let post = Post {
            id: new_id(),
            user: user.to_owned(),
            channel: channel.to_owned(),
            root: word("root_id"),
            message: word("message"),
            props,
            files: files.map(str::to_owned).collect(),
            reactions: Vec::new(),
            edits: 0,
            create_at: at,
            update_at: at,
            edit_at: 0,
            delete_at: 0,
            kind: word("type"),
            original: String::new(),
        };
        let id = post.id.clone();
        if let Some(root) = self.posts.get_mut(&post.root) {
            root.update_at = now;
        }
        let named = |user: &str| self.users.get(user).map(|user| format!("@{}", user.name)).unwrap_or_default();
        let (letter, name, team) = self.channels.get(channel).map_or(("", String::new(), String::new()), |channel| {
            (channel.letter, channel.name.clone(), self.teams.get(&channel.team).cloned().unwrap_or_default())
        });
        let mut data = json!({
            "post": post.json(self.age, &word("pending_post_id")).to_string(), "channel_type": letter,
            "channel_name": name, "channel_display_name": name, "sender_name": named(user), "team_id": team,
        });
        if self.age == Age::Today {
            data["set_online"] = true.into();
        }
        self.posts.insert(id.clone(), post);
        self.happen("posted", data, channel, None);
        id
    }

    /// Gives a post new words, and properties where they are given.
    pub(crate) fn edit(&mut self, id: &str, message: Option<&str>, props: Option<Map<String, Value>>) -> Option<Value> {
        let (now, age) = (self.now(), self.age);
        let post = self.posts.get_mut(id)?;
        let before = Post { id: new_id(), original: id.to_owned(), delete_at: now, update_at: now, ..post.clone() };
        if let Some(message) = message {
            post.message = message.to_owned();
        }
        if let Some(props) = props {
            let bot = post.props.get("from_bot").cloned();
            post.props = props;
            post.props.extend(bot.map(|bot| ("from_bot".to_owned(), bot)));
        }
        (post.edit_at, post.update_at) = (now, now);
        post.edits += 1;
        let (json, channel) = (post.json(age, ""), post.channel.clone());
        if age == Age::Today {
            self.posts.insert(before.id.clone(), before);
        }
        self.happen("post_edited", json!({ "post": json.to_string() }), &channel, None);
        Some(json)
    }

    /// Removes a post and what hangs on it.
    pub(crate) fn delete(&mut self, id: &str, by: &str) {
        let (now, age) = (self.now(), self.age);
        let ids: Vec<String> =
            self.posts.values().filter(|post| post.id == id || post.root == id).map(|post| post.id.clone()).collect();
        for id in ids {
            let Some(post) = self.posts.get_mut(&id) else { continue };
            (post.delete_at, post.update_at) = (now, now);
            post.props.insert("deleteBy".into(), by.into());
            let (json, channel) = (post.json(age, ""), post.channel.clone());
            post.message.clear();
            let mut data = json!({ "post": json.to_string() });
            if age == Age::Today {
                data["delete_by"] = by.into();
            }
            self.happen("post_deleted", data, &channel, None);
        }
    }

    pub(crate) fn react(&mut self, user: &str, id: &str, emoji: &str) -> Option<Value> {
        let now = self.now();
        let post = self.posts.get_mut(id).filter(|post| post.delete_at == 0)?;
        let known = post.reactions.iter().position(|one| one.user == user && one.emoji == emoji);
        let at = known.unwrap_or_else(|| {
            post.reactions.push(Reaction { user: user.to_owned(), emoji: emoji.to_owned(), at: now });
            post.reactions.len() - 1
        });
        post.update_at = now;
        let (json, channel) = (reaction_json(id, &post.reactions[at]), post.channel.clone());
        if known.is_none() {
            self.happen("reaction_added", json!({ "reaction": json.to_string() }), &channel, None);
        }
        Some(json)
    }

    pub(crate) fn unreact(&mut self, user: &str, id: &str, emoji: &str) {
        let now = self.now();
        let Some(post) = self.posts.get_mut(id) else { return };
        let before = post.reactions.len();
        post.reactions.retain(|one| one.user != user || one.emoji != emoji);
        if post.reactions.len() == before {
            return;
        }
        post.update_at = now;
        let channel = post.channel.clone();
        // When it was given is not said any more.
        let json = reaction_json(id, &Reaction { user: user.to_owned(), emoji: emoji.to_owned(), at: 0 });
        self.happen("reaction_removed", json!({ "reaction": json.to_string() }), &channel, None);
    }

    pub(crate) fn add_file(&mut self, text: String) -> String {
        let id = new_id();
        self.files.insert(id.clone(), text);
        id
    }

    pub(crate) fn file(&self, id: &str) -> Option<String> {
        self.files.get(id).cloned()
    }

    /// Looks for the name that a client gave to a post.
    pub(crate) fn pend(&mut self, name: &str) -> Known {
        self.pending.retain(|_, pending| !matches!(pending, Pending::Made(_, at) if at.elapsed() > PENDING));
        match self.pending.get(name) {
            Some(Pending::UnderWay) => Known::UnderWay,
            Some(Pending::Made(post, _)) => Known::Made(post.clone()),
            None => {
                self.pending.insert(name.to_owned(), Pending::UnderWay);
                Known::New
            }
        }
    }

    /// What came of it.
    pub(crate) fn settle(&mut self, name: &str, post: Option<&str>) {
        match post {
            Some(post) => self.pending.insert(name.to_owned(), Pending::Made(post.to_owned(), Instant::now())),
            None => self.pending.remove(name),
        };
    }

    pub(crate) fn forget_pending(&mut self) {
        self.pending.clear();
    }

    /// Those who are in a channel are told, or one of them.
    fn happen(&mut self, event: &'static str, data: Value, channel: &str, only: Option<&str>) {
        let to = match (only, self.channels.get(channel)) {
            (Some(only), _) => BTreeSet::from([only.to_owned()]),
            (None, Some(channel)) => channel.members.clone(),
            (None, None) => BTreeSet::new(),
        };
        let broadcast = json!({
            "omit_users": null, "user_id": only.unwrap_or_default(), "channel_id": channel, "team_id": "",
        });
        self.events.push(Happened { event, data, broadcast, to });
    }
}
