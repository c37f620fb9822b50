//! The objects of Mattermost's REST API, with only the fields that the bot uses.
//!
//! Invariant: only ids are required. A field that is missing, null or of another type is read as its default value,
//! because servers of many versions are in use.

use serde_json::Value;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) id: String,
    /// The account's name without `@`. The owner can change the name, and another account can then take the old name.
    pub(crate) name: String,
    pub(crate) is_bot: bool,
    pub(crate) is_deactivated: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChannelKind {
    /// A direct message between the bot and one person.
    Direct,
    /// A direct message with several people, without a team.
    Group,
    /// A public or private channel of a team.
    Team,
}

/// A channel that the bot is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Channel {
    pub(crate) id: String,
    pub(crate) kind: ChannelKind,
    /// The team's name as in the channel's URL; empty if the channel has no team.
    pub(crate) team: String,
    /// The channel's name as in its URL.
    pub(crate) name: String,
    /// The time of creation, in milliseconds since the Unix epoch (server clock).
    pub(crate) create_at: i64,
    /// The time of the newest post, in milliseconds since the Unix epoch (server clock); 0 if the server does not
    /// report it.
    pub(crate) last_post_at: i64,
    pub(crate) is_archived: bool,
}

/// A message of an account, or a notice of the server about a channel. Times are in milliseconds since the Unix epoch
/// (server clock).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Post {
    pub(crate) id: String,
    pub(crate) create_at: i64,
    pub(crate) delete_at: i64,
    /// The time of the last edit; 0 if the post was not edited.
    pub(crate) edit_at: i64,
    pub(crate) user: String,
    pub(crate) channel: String,
    /// The id of the thread's root post; empty if the post is a root itself.
    pub(crate) root: String,
    /// For an earlier version of an edited post: the id of the edited post. Empty for a current version.
    pub(crate) original: String,
    pub(crate) message: String,
    /// Empty for a message of an account, `system_...` for a notice of the server.
    pub(crate) kind: String,
    pub(crate) props: Value,
    pub(crate) has_reactions: bool,
    /// The reactions on the post; empty if the server left them out of its response.
    pub(crate) reactions: Vec<Reaction>,
}

/// A reaction on a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reaction {
    pub(crate) user: String,
    pub(crate) post: String,
    /// The emoji's name, without colons.
    pub(crate) emoji: String,
    pub(crate) create_at: i64,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Page {
    /// The requested posts, in the server's order.
    pub(crate) posts: Vec<Post>,
    /// Number of posts that the server listed, including those that could not be parsed.
    pub(crate) listed: usize,
    /// The size of the server's response, in bytes; 0 if it was not measured.
    pub(crate) size: usize,
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

fn number(value: &Value, key: &str) -> i64 {
    let value = &value[key];
    // A proxy may have changed the number to a floating-point number.
    #[expect(clippy::cast_possible_truncation, reason = "milliseconds fit")]
    value.as_i64().or_else(|| value.as_f64().map(|number| number as i64)).unwrap_or_default()
}

fn boolean(value: &Value, key: &str) -> bool {
    value[key].as_bool().unwrap_or_default()
}

fn id(value: &Value) -> Option<String> {
    value["id"].as_str().filter(|id| !id.is_empty()).map(str::to_owned)
}

impl User {
    pub(crate) fn read(value: &Value) -> Option<Self> {
        let is_deactivated = number(value, "delete_at") > 0;
        Some(Self { id: id(value)?, name: text(value, "username"), is_bot: boolean(value, "is_bot"), is_deactivated })
    }
}

impl Channel {
    /// Parses a channel from a team's list. `team` is the team's name.
    pub(crate) fn read(value: &Value, team: &str) -> Option<Self> {
        let kind = match value["type"].as_str() {
            Some("D") => ChannelKind::Direct,
            Some("G") => ChannelKind::Group,
            // `O` (public) or `P` (private).
            _ => ChannelKind::Team,
        };
        Some(Self {
            id: id(value)?,
            kind,
            // Each team's list includes the direct messages.
            team: if kind == ChannelKind::Team { team.to_owned() } else { String::new() },
            name: text(value, "name"),
            create_at: number(value, "create_at"),
            last_post_at: number(value, "last_post_at"),
            is_archived: number(value, "delete_at") > 0,
        })
    }
}

impl Post {
    pub(crate) fn read(value: &Value) -> Option<Self> {
        Some(Self {
            id: id(value)?,
            create_at: number(value, "create_at"),
            delete_at: number(value, "delete_at"),
            edit_at: number(value, "edit_at"),
            user: text(value, "user_id"),
            channel: text(value, "channel_id"),
            root: text(value, "root_id"),
            original: text(value, "original_id"),
            message: text(value, "message"),
            kind: text(value, "type"),
            props: value["props"].clone(),
            has_reactions: boolean(value, "has_reactions"),
            reactions: Reaction::read_all(&value["metadata"]["reactions"]),
        })
    }

    /// Returns whether the property with the name `property` is true. The server sends the value as a string or as a
    /// boolean.
    pub(crate) fn has_flag(&self, property: &str) -> bool {
        let value = &self.props[property];
        value == "true" || *value == Value::Bool(true)
    }

    /// Returns the text of the property `name`; `None` if the property is missing, empty or not a text.
    pub(crate) fn property(&self, name: &str) -> Option<&str> {
        self.props[name].as_str().filter(|text| !text.is_empty())
    }
}

impl Reaction {
    pub(crate) fn read(value: &Value) -> Option<Self> {
        let reaction = Self {
            user: text(value, "user_id"),
            post: text(value, "post_id"),
            emoji: text(value, "emoji_name"),
            create_at: number(value, "create_at"),
        };
        (![&reaction.user, &reaction.post, &reaction.emoji].iter().any(|part| part.is_empty())).then_some(reaction)
    }

    /// Parses a list of reactions. The list can be null.
    pub(crate) fn read_all(value: &Value) -> Vec<Self> {
        value.as_array().into_iter().flatten().filter_map(Self::read).collect()
    }

    /// Returns the key `POST/USER/EMOJI`. The key identifies the reaction without its time, because an account can put
    /// each emoji on a message only once.
    pub(crate) fn key(&self) -> String {
        format!("{}/{}/{}", self.post, self.user, self.emoji)
    }
}

impl Page {
    /// Parses the posts whose ids are in the response's field `order`. The response also holds other posts, for example
    /// the root posts of threads.
    pub(crate) fn read(value: &Value) -> Self {
        let order: Vec<&str> = value["order"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let posts = order.iter().filter_map(|id| Post::read(&value["posts"][*id])).collect();
        Self { posts, listed: order.len(), size: 0 }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_post_of_any_server_version_is_read() {
        let post = Post::read(&json!({ "id": "p" })).expect("an id is enough");
        assert_eq!((post.create_at, post.root.as_str(), post.has_flag("from_bot")), (0, "", false));
        let post = Post::read(&json!({
            "id": "p", "create_at": 1.7e12, "root_id": null, "props": { "from_bot": "true", "x": [1] }, "metadata": null,
            "type": 7, "later": {},
        }));
        let post = post.expect("other fields are ignored");
        assert_eq!((post.create_at, post.kind.as_str(), post.has_flag("from_bot")), (1_700_000_000_000, "", true));
        assert!(Post::read(&json!({ "message": "x" })).is_none() && Post::read(&json!(null)).is_none());
    }

    #[test]
    fn a_page_holds_only_the_requested_posts() {
        let page = Page::read(&json!({
            "order": ["b", "gone", "a"], "posts": { "a": { "id": "a" }, "b": { "id": "b" }, "root": { "id": "root" } },
        }));
        let ids: Vec<&str> = page.posts.iter().map(|post| post.id.as_str()).collect();
        assert_eq!((ids, page.listed), (vec!["b", "a"], 3));
        assert_eq!(Page::read(&json!({ "order": null, "posts": null })), Page::default());
    }

    #[test]
    fn reactions_can_be_null_and_require_their_fields() {
        assert!(Reaction::read_all(&Value::Null).is_empty());
        let all =
            json!([{ "user_id": "u", "post_id": "p", "emoji_name": "+1", "create_at": 5 }, { "user_id": "u" }, 7]);
        assert_eq!(Reaction::read_all(&all).len(), 1);
    }
}
