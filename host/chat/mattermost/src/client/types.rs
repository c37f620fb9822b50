//! The objects of Mattermost's REST API, with only the fields that the bot uses.
//!
//! Invariant: only ids are required. A field that is missing, null or of another type is read as its default value
//! (`json`).
//! Invariant: an object that cannot be parsed is left out, and does not affect the others of its list.

use super::{
    json::{Object, list, text},
    properties::Properties,
};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) id: String,
    /// The account's name without `@`. The owner can change the name, and another account can then take the old name.
    pub(crate) name: String,
    /// The names that the owner chose: the nickname and the full name. Other accounts can have the same ones.
    pub(crate) display_names: Vec<String>,
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
    /// Whether the bot's roles permit posts in the channel. `true` until the roles were looked up.
    pub(crate) may_post: bool,
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
    pub(crate) props: Properties,
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
}

impl User {
    pub(crate) fn read(json: &str) -> Option<Self> {
        let user = Object::read(json);
        let is_deactivated = user.number("delete_at") > 0;
        let (name, is_bot) = (user.text("username"), user.boolean("is_bot"));
        let full = format!("{} {}", user.text("first_name"), user.text("last_name"));
        let display_names = [user.text("nickname"), full.trim().to_owned()];
        let display_names = display_names.into_iter().filter(|display| !display.is_empty()).collect();
        Some(Self { id: user.non_empty("id")?, name, display_names, is_bot, is_deactivated })
    }
}

impl Channel {
    /// Parses a channel from a team's list. `team` is the team's name.
    pub(crate) fn read(json: &str, team: &str) -> Option<Self> {
        let channel = Object::read(json);
        let kind = match &*channel.text("type") {
            "D" => ChannelKind::Direct,
            "G" => ChannelKind::Group,
            // `O` (public) or `P` (private).
            _ => ChannelKind::Team,
        };
        Some(Self {
            id: channel.non_empty("id")?,
            kind,
            // Each team's list includes the direct messages.
            team: if kind == ChannelKind::Team { team.to_owned() } else { String::new() },
            name: channel.text("name"),
            create_at: channel.number("create_at"),
            last_post_at: channel.number("last_post_at"),
            is_archived: channel.number("delete_at") > 0,
            may_post: true,
        })
    }
}

impl Post {
    /// Parses a post. Returns `None` if the post has no id or has malformed properties, because without its properties
    /// a webhook's post looks like a person's.
    pub(crate) fn read(json: &str) -> Option<Self> {
        let post = Object::read(json);
        let props = Properties::read(post.json("props"))?;
        Some(Self {
            id: post.non_empty("id")?,
            create_at: post.number("create_at"),
            delete_at: post.number("delete_at"),
            edit_at: post.number("edit_at"),
            user: post.text("user_id"),
            channel: post.text("channel_id"),
            root: post.text("root_id"),
            original: post.text("original_id"),
            message: post.text("message"),
            kind: post.text("type"),
            props,
            has_reactions: post.boolean("has_reactions"),
            reactions: Reaction::read_all(post.object("metadata").json("reactions")),
        })
    }

    /// Returns whether the property with the name `property` is true. The server sends the value as a string or as a
    /// boolean.
    pub(crate) fn has_flag(&self, property: &str) -> bool {
        self.property(property) == Some("true")
    }

    /// Returns the text of the property `name`, which is one that [`Properties`] stores; `None` if the property is
    /// missing or empty, or has a value of another type.
    pub(crate) fn property(&self, name: &str) -> Option<&str> {
        self.props.get(name).filter(|text| !text.is_empty())
    }

    /// Returns the approximate size of the post in memory, in bytes.
    pub(crate) fn size(&self) -> usize {
        let texts = [&self.message, &self.kind, &self.root, &self.original].map(String::len);
        let reactions = self.reactions.len() * size_of::<Reaction>() * 2;
        size_of::<Self>() * 2 + texts.iter().sum::<usize>() + self.props.size() + reactions
    }
}

impl Reaction {
    pub(crate) fn read(json: &str) -> Option<Self> {
        let reaction = Object::read(json);
        Some(Self {
            user: reaction.non_empty("user_id")?,
            post: reaction.non_empty("post_id")?,
            emoji: reaction.non_empty("emoji_name")?,
            create_at: reaction.number("create_at"),
        })
    }

    /// Parses a list of reactions. The list can be null.
    pub(crate) fn read_all(json: &str) -> Vec<Self> {
        list(json).unwrap_or_default().into_iter().filter_map(Self::read).collect()
    }

    /// Returns the key `POST/USER/EMOJI`. The key identifies the reaction without its time, because an account can put
    /// each emoji on a message only once.
    pub(crate) fn key(&self) -> String {
        format!("{}/{}/{}", self.post, self.user, self.emoji)
    }
}

impl Page {
    /// Adds the posts of another part of the page.
    pub(crate) fn append(&mut self, part: Self) {
        self.posts.extend(part.posts);
        self.listed += part.listed;
    }

    /// Returns the approximate size of the posts in memory, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.posts.iter().map(Post::size).sum()
    }

    /// Parses the posts whose ids are in the response's field `order`. The response also holds other posts, for example
    /// the root posts of threads. A post that cannot be parsed is logged and left out.
    pub(crate) fn read(json: &str) -> Self {
        let page = Object::read(json);
        let order: Vec<String> = list(page.json("order")).unwrap_or_default().into_iter().filter_map(text).collect();
        let all = page.object("posts");
        let read = |id: &String| {
            let post = Post::read(all.json(id));
            if post.is_none() {
                tracing::warn!(
                    event_id = id,
                    "skipped a post, because the server's response does not contain it or it cannot be parsed"
                );
            }
            post
        };
        Self { posts: order.iter().filter_map(read).collect(), listed: order.len() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_post_of_any_server_version_is_read() {
        let post = Post::read(r#"{ "id": "p" }"#).expect("an id is enough");
        assert_eq!((post.create_at, post.root.as_str(), post.has_flag("from_bot")), (0, "", false));
        let post = json!({
            "id": "p", "create_at": 1.7e12, "root_id": null, "props": { "from_bot": "true", "x": [1] }, "metadata": null,
            "type": 7, "later": {},
        });
        let post = Post::read(&post.to_string()).expect("other fields are ignored");
        assert_eq!((post.create_at, post.kind.as_str(), post.has_flag("from_bot")), (1_700_000_000_000, "", true));
        assert!(Post::read(r#"{ "message": "x" }"#).is_none() && Post::read("null").is_none());
    }

    #[test]
    fn a_post_with_deeply_nested_properties_costs_neither_itself_nor_the_page() {
        let deep = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
        let a = format!(r#"{{ "id": "a", "props": {{ "x": {deep}, "from_bot": true, "userId": {deep} }} }}"#);
        let b = format!(r#"{{ "id": "b", "message": {deep}, "metadata": {deep} }}"#);
        let page = format!(r#"{{ "order": ["a", "b", "c"], "posts": {{ "a": {a}, "b": {b}, "c": {deep} }} }}"#);
        let page = Page::read(&page);
        let ids: Vec<&str> = page.posts.iter().map(|post| post.id.as_str()).collect();
        assert_eq!((ids, page.listed), (vec!["a", "b"], 3));
        assert!(page.posts[0].has_flag("from_bot") && page.posts[0].property("userId").is_none());
        assert_eq!(page.posts[1].message, "");
        assert!(Post::read(r#"{ "id": "p", "props": { "\ud800": 1, "from_webhook": "true" } }"#).is_none());
    }

    #[test]
    fn a_page_holds_only_the_requested_posts() {
        let page = json!({
            "order": ["b", "gone", "a"], "posts": { "a": { "id": "a" }, "b": { "id": "b" }, "root": { "id": "root" } },
        });
        let page = Page::read(&page.to_string());
        let ids: Vec<&str> = page.posts.iter().map(|post| post.id.as_str()).collect();
        assert_eq!((ids, page.listed), (vec!["b", "a"], 3));
        assert_eq!(Page::read(r#"{ "order": null, "posts": null }"#), Page::default());
    }

    #[test]
    fn reactions_can_be_null_and_require_their_fields() {
        assert!(Reaction::read_all("null").is_empty());
        let all =
            json!([{ "user_id": "u", "post_id": "p", "emoji_name": "+1", "create_at": 5 }, { "user_id": "u" }, 7]);
        assert_eq!(Reaction::read_all(&all.to_string()).len(), 1);
    }
}
