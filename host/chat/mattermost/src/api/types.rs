//! What the server sends, as far as we look at it.
//!
//! Invariant: only ids are needed. Whatever else is missing, null, new or of another type reads as if nothing was said:
//! servers of many years are in use.

use serde_json::Value;

/// An account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) id: String,
    /// Without `@`. Nobody else has it now; somebody else may have it tomorrow.
    pub(crate) name: String,
    pub(crate) bot: bool,
    pub(crate) gone: bool,
}

/// What a channel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One person and us.
    Direct,
    /// A few people, without a team.
    Group,
    /// A public or private channel of a team.
    Team,
}

impl Kind {
    /// By the letter that the server has for it.
    pub(crate) fn read(letter: &str) -> Self {
        match letter {
            "D" => Self::Direct,
            "G" => Self::Group,
            _ => Self::Team,
        }
    }
}

/// A channel that we are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Channel {
    pub(crate) id: String,
    pub(crate) kind: Kind,
    /// The name in its address, beside its team's; empty where it has no team.
    pub(crate) team: String,
    pub(crate) name: String,
    /// Milliseconds of the server's clock.
    pub(crate) create_at: i64,
    /// When something was written there last; 0 where the server does not say.
    pub(crate) last_post_at: i64,
    /// Whether it is put away, so that nobody can write there.
    pub(crate) archived: bool,
}

/// A message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Post {
    pub(crate) id: String,
    /// Milliseconds of the server's clock, like all times here.
    pub(crate) create_at: i64,
    pub(crate) delete_at: i64,
    /// When its author gave it other words; 0 where it stands as it was written.
    pub(crate) edit_at: i64,
    pub(crate) user: String,
    pub(crate) channel: String,
    /// The first message of the thread; empty where this is one.
    pub(crate) root: String,
    /// Of which post this is an earlier text; empty where it is a post itself.
    pub(crate) original: String,
    pub(crate) message: String,
    /// Empty where a person or a bot wrote it, `system_...` where the server did.
    pub(crate) kind: String,
    pub(crate) props: Value,
    pub(crate) has_reactions: bool,
    /// Those that came with it; a server need not send them along.
    pub(crate) reactions: Vec<Reaction>,
}

impl Post {
    /// A property that the server writes as text or as truth.
    pub(crate) fn is(&self, property: &str) -> bool {
        let value = &self.props[property];
        value == "true" || *value == Value::Bool(true)
    }

    /// A property's text.
    pub(crate) fn property(&self, name: &str) -> Option<&str> {
        self.props[name].as_str().filter(|text| !text.is_empty())
    }
}

/// An emoji on a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reaction {
    pub(crate) user: String,
    pub(crate) post: String,
    /// The emoji's name, without colons.
    pub(crate) emoji: String,
    pub(crate) create_at: i64,
}

impl Reaction {
    /// What it is called whenever it was given: nobody puts the same emoji on a message twice.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}/{}", self.post, self.user, self.emoji)
    }
}

/// Some posts of a channel.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Page {
    /// Those that were asked for, in the order of the server.
    pub(crate) posts: Vec<Post>,
    /// How many the server listed, with those that could not be read.
    pub(crate) listed: usize,
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

fn number(value: &Value, key: &str) -> i64 {
    let value = &value[key];
    // A proxy or client in between may have made another kind of number of it.
    #[expect(clippy::cast_possible_truncation, reason = "milliseconds fit")]
    value.as_i64().or_else(|| value.as_f64().map(|number| number as i64)).unwrap_or_default()
}

fn truth(value: &Value, key: &str) -> bool {
    value[key].as_bool().unwrap_or_default()
}

/// Some id, or nothing at all.
fn id(value: &Value) -> Option<String> {
    value["id"].as_str().filter(|id| !id.is_empty()).map(str::to_owned)
}

impl User {
    pub(crate) fn read(value: &Value) -> Option<Self> {
        let gone = number(value, "delete_at") > 0;
        Some(Self { id: id(value)?, name: text(value, "username"), bot: truth(value, "is_bot"), gone })
    }
}

impl Channel {
    /// A channel of a team of this name.
    pub(crate) fn read(value: &Value, team: &str) -> Option<Self> {
        let kind = Kind::read(value["type"].as_str().unwrap_or_default());
        Some(Self {
            id: id(value)?,
            kind,
            // Every team's list has the direct ones too.
            team: if kind == Kind::Team { team.to_owned() } else { String::new() },
            name: text(value, "name"),
            create_at: number(value, "create_at"),
            last_post_at: number(value, "last_post_at"),
            archived: number(value, "delete_at") > 0,
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
            has_reactions: truth(value, "has_reactions"),
            reactions: Reaction::read_all(&value["metadata"]["reactions"]),
        })
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

    /// A list of them, which may be null.
    pub(crate) fn read_all(value: &Value) -> Vec<Self> {
        value.as_array().into_iter().flatten().filter_map(Self::read).collect()
    }
}

impl Page {
    /// Posts by the server's order. The answer holds others besides, such as the roots of threads.
    pub(crate) fn read(value: &Value) -> Self {
        let order: Vec<&str> = value["order"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let posts = order.iter().filter_map(|id| Post::read(&value["posts"][*id])).collect();
        Self { posts, listed: order.len() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_post_of_any_age_is_read() {
        let post = Post::read(&json!({ "id": "p" })).expect("an id is enough");
        assert_eq!((post.create_at, post.root.as_str(), post.is("from_bot")), (0, "", false));
        let post = Post::read(&json!({
            "id": "p", "create_at": 1.7e12, "root_id": null, "props": { "from_bot": "true", "x": [1] }, "metadata": null,
            "type": 7, "later": {},
        }));
        let post = post.expect("whatever else there is");
        assert_eq!((post.create_at, post.kind.as_str(), post.is("from_bot")), (1_700_000_000_000, "", true));
        assert!(Post::read(&json!({ "message": "x" })).is_none() && Post::read(&json!(null)).is_none());
    }

    #[test]
    fn only_what_was_asked_for_comes_out_of_a_page() {
        let page = Page::read(&json!({
            "order": ["b", "gone", "a"], "posts": { "a": { "id": "a" }, "b": { "id": "b" }, "root": { "id": "root" } },
        }));
        let ids: Vec<&str> = page.posts.iter().map(|post| post.id.as_str()).collect();
        assert_eq!((ids, page.listed), (vec!["b", "a"], 3));
        assert_eq!(Page::read(&json!({ "order": null, "posts": null })), Page::default());
    }

    #[test]
    fn reactions_may_be_null_and_need_their_parts() {
        assert!(Reaction::read_all(&Value::Null).is_empty());
        let all =
            json!([{ "user_id": "u", "post_id": "p", "emoji_name": "+1", "create_at": 5 }, { "user_id": "u" }, 7]);
        assert_eq!(Reaction::read_all(&all).len(), 1);
    }
}
