//! Converts Mattermost posts to the engine's messages. Pure functions: no network, no store.
//!
//! Invariant: only new text and reactions of other accounts are converted. Posts of the bot and of the
//! server, edited posts and their earlier versions, deleted posts, quoted text and code blocks are left out. Posts of a
//! webhook are left out, too, because anybody who has the webhook's URL can write them.
//! Not here: the conversion of the engine's text to posts (`markdown`).

use serde_json::{Value, json};
use wardroom::{Timestamp, adapter::Incoming, model::Person, store::Reaction as EngineReaction};
use wardroom_account::{strip_indented_code, strip_leading_name, strip_quotes_and_code, timestamp};

use crate::{
    client::{Post, Reaction},
    emoji,
    markdown::ZERO_WIDTH_SPACE,
};

/// The property of a post that holds a message's idempotency key.
pub(crate) const KEY_PROPERTY: &str = "wardroom_key";

/// Converts the posts of an account's channels.
#[derive(Debug, Clone)]
pub(crate) struct Converter {
    /// The id of the bot's account.
    pub(crate) me: String,
    /// The account's name without `@`. When a person mentions the bot, the person's client writes the name into the
    /// text.
    pub(crate) user_name: String,
    /// The bot's name in `plugins.toml`. The engine recognizes `@NAME` at the start of a message.
    pub(crate) bot: String,
}

impl Converter {
    /// Converts a post to a message; `None` if the engine does not handle the post. `is_program` is true if the author
    /// is a bot account; `direct` is true if the post is a direct message.
    pub(crate) fn message(&self, post: &Post, sender: Person, is_program: bool, direct: bool) -> Option<Incoming> {
        if !self.is_of_others(post) {
            return None;
        }
        let text = strip_quotes_and_code(&strip_indented_code(&post.message)).replace(ZERO_WIDTH_SPACE, "");
        let text = self.normalize_address(text.trim());
        if text.is_empty() {
            return None;
        }
        let mut message = Incoming::new(&post.id, sender, text, timestamp(post.create_at));
        message.thread = (!post.root.is_empty()).then(|| post.root.clone());
        message.direct = direct;
        let flags = ["from_bot", "from_plugin", "from_oauth_app"];
        message.machine = is_program || flags.iter().any(|flag| post.has_flag(flag));
        Some(message)
    }

    /// Returns whether a post is a message of another account that was neither edited nor deleted. Returns `false` for
    /// notices of the server and posts of webhooks.
    pub(crate) fn is_of_others(&self, post: &Post) -> bool {
        let is_of_other = !post.user.is_empty() && post.user != self.me;
        // An edited post is left out, because its original text is unknown.
        let is_unchanged = post.delete_at == 0 && post.edit_at == 0 && post.original.is_empty() && post.kind.is_empty();
        is_of_other && is_unchanged && !post.has_flag("from_webhook")
    }

    /// Replaces a mention of the bot's account at the start of a text with `@` and the bot's name in `plugins.toml`.
    fn normalize_address(&self, text: &str) -> String {
        let rest = text.strip_prefix('@').and_then(|text| strip_leading_name(text, &self.user_name));
        match rest {
            Some(rest) => format!("@{} {rest}", self.bot).trim_end().to_owned(),
            None => text.to_owned(),
        }
    }
}

/// Returns the event id of a reaction. The id contains the time of the reaction, so that a reaction that is removed and
/// added again is a new event.
pub(crate) fn reaction_event_id(reaction: &Reaction) -> String {
    format!("{}{}", reaction_event_prefix(reaction), reaction.create_at)
}

/// Returns the part of a reaction's event id before the time. It ends with `:`.
fn reaction_event_prefix(reaction: &Reaction) -> String {
    format!("reaction:{}:{}:{}:", reaction.post, reaction.user, reaction.emoji)
}

/// Returns the engine's message for a reaction that was added. `late` is true if a backfill found the reaction.
pub(crate) fn reaction_given(reaction: &Reaction, sender: Person, is_program: bool, late: bool) -> Incoming {
    let given = EngineReaction::Given { on: reaction.post.clone(), emoji: emoji::of_name(&reaction.emoji) };
    let at = timestamp(reaction.create_at);
    let mut message = incoming(reaction_event_id(reaction), sender, is_program, given, at);
    message.late = late;
    message
}

/// Returns the engine's message for a deletion. `event` is the event id of the deleted message or reaction. `sender` is
/// the account that deleted it.
pub(crate) fn withdrawal(event: &str, sender: Person, is_program: bool) -> Incoming {
    let withdrawn = EngineReaction::Withdrawn { given: event.to_owned() };
    incoming(format!("withdrawn:{event}"), sender, is_program, withdrawn, Timestamp::now())
}

/// Returns the engine's message for the removal, at `at`, of a reaction whose time is unknown.
pub(crate) fn withdrawal_without_time(
    reaction: &Reaction,
    sender: Person,
    is_program: bool,
    at: Timestamp,
) -> Incoming {
    let given = reaction_event_prefix(reaction);
    // The reaction can be given and removed again, so each removal has its own event id.
    let event = format!("withdrawn:{given}{}", at.as_millisecond());
    incoming(event, sender, is_program, EngineReaction::Withdrawn { given }, at)
}

fn incoming(event: String, sender: Person, is_program: bool, reaction: EngineReaction, at: Timestamp) -> Incoming {
    let mut message = Incoming::new(event, sender, "", at);
    message.reaction = Some(reaction);
    message.machine = is_program;
    message
}

/// Returns who added the bot, if the post is the server's notice that the bot joined a channel: `Some(Some(person))` if
/// a person added the bot to the channel, `Some(None)` if nobody did: the bot joined by itself, or the channel is a
/// default channel of a team to which somebody added the bot. Returns `None` for any other post.
pub(crate) fn join<'p>(post: &'p Post, me: &str) -> Option<Option<&'p str>> {
    // Only the server creates posts of these types.
    if post.delete_at > 0 || post.has_flag("from_webhook") {
        return None;
    }
    let is_about_account = post.property("addedUserId").is_some_and(|id| id == me);
    match post.kind.as_str() {
        // The author of the post is the person who added the account. Newer servers repeat the id in a property.
        "system_add_to_channel" => is_about_account
            .then(|| Some(post.property("userId").unwrap_or(post.user.as_str())).filter(|id| !id.is_empty())),
        "system_add_to_team" => is_about_account.then_some(None),
        "system_join_channel" | "system_join_team" => (post.user == me).then_some(None),
        _ => None,
    }
}

/// Returns whether a post is the bot's message with this idempotency key.
pub(crate) fn carries_key(post: &Post, me: &str, key: &str) -> bool {
    post.user == me && post.delete_at == 0 && post.original.is_empty() && post.property(KEY_PROPERTY) == Some(key)
}

/// Returns the properties of the bot's message with this idempotency key. An edit replaces all properties, so each edit
/// sends all of them.
pub(crate) fn props(key: &str) -> Value {
    json!({ KEY_PROPERTY: key, "disable_group_highlight": true, "mentionHighlightDisabled": true })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(fields: Value) -> Post {
        let mut post =
            json!({ "id": "p", "user_id": "bob", "channel_id": "c", "message": "!deploy cms", "create_at": 5 });
        for (key, value) in fields.as_object().into_iter().flatten() {
            post[key] = value.clone();
        }
        Post::read(&post.to_string()).expect("a post")
    }

    fn read(fields: Value) -> Option<Incoming> {
        let converter = Converter { me: "me".into(), user_name: "ops-bot".into(), bot: "marvin".into() };
        converter.message(&post(fields), Person::named_by_id("bob"), false, true)
    }

    fn text_of(message: &str) -> Option<String> {
        read(json!({ "message": message })).map(|message| message.text)
    }

    #[test]
    fn a_persons_message_is_converted() {
        let message = read(json!({ "root_id": "r" })).expect("a message");
        assert_eq!(
            (message.text.as_str(), message.thread.as_deref(), message.machine),
            ("!deploy cms", Some("r"), false)
        );
        assert_eq!(message.at.as_millisecond(), 5);
        assert_eq!(read(json!({ "root_id": "" })).expect("a message").thread, None);
    }

    #[test]
    fn only_new_text_of_other_accounts_is_converted() {
        for fields in [
            json!({ "user_id": "me" }),
            json!({ "user_id": "" }),
            json!({ "delete_at": 7 }),
            json!({ "edit_at": 7 }),
            json!({ "original_id": "q" }),
            json!({ "type": "system_header_change" }),
            json!({ "type": "custom_poll" }),
            json!({ "props": { "from_webhook": "true" } }),
            json!({ "props": { "from_webhook": "true", "from_bot": "true" } }),
            json!({ "message": "```\n!deploy cms\n```" }),
            json!({ "message": "> !deploy cms" }),
            json!({ "message": "~~~\n!deploy cms\n~~~" }),
            json!({ "message": "    !deploy cms" }),
            json!({ "message": "\t!deploy cms" }),
        ] {
            assert_eq!(read(fields.clone()), None, "{fields}");
        }
        assert_eq!(text_of("```!deploy cms```\n!where").as_deref(), Some("!where"));
    }

    #[test]
    fn a_programs_message_is_marked() {
        for flag in ["from_bot", "from_plugin", "from_oauth_app"] {
            assert!(read(json!({ "props": { flag: "true" } })).expect("a message").machine, "{flag}");
        }
    }

    #[test]
    fn the_accounts_name_is_replaced_with_the_bots_name() {
        assert_eq!(text_of("@ops-bot deploy").as_deref(), Some("@marvin deploy"));
        assert_eq!(text_of("@Ops-Bot: deploy").as_deref(), Some("@marvin deploy"));
        assert_eq!(text_of("@ops-bots deploy").as_deref(), Some("@ops-bots deploy"));
        assert_eq!(text_of("could @ops-bot help").as_deref(), Some("could @ops-bot help"));
    }

    #[test]
    fn a_repeated_reaction_is_another_event() {
        let reaction = |at| Reaction { user: "u".into(), post: "p".into(), emoji: "+1".into(), create_at: at };
        assert_ne!(reaction_event_id(&reaction(1)), reaction_event_id(&reaction(2)));
        let incoming = reaction_given(&reaction(1), Person::named_by_id("u"), false, false);
        assert_eq!(incoming.reaction, Some(EngineReaction::Given { on: "p".into(), emoji: "👍".into() }));
        let back = withdrawal(&incoming.event, Person::named_by_id("u"), false);
        assert_eq!(back.reaction, Some(EngineReaction::Withdrawn { given: incoming.event.clone() }));
        assert_ne!(back.event, incoming.event);
        let at = timestamp(9);
        let back = withdrawal_without_time(&reaction(0), Person::named_by_id("u"), false, at);
        assert_eq!(back.reaction, Some(EngineReaction::Withdrawn { given: "reaction:p:u:+1:".into() }));
        assert_ne!(back.event, withdrawal(&incoming.event, Person::named_by_id("u"), false).event);
    }

    #[test]
    fn a_join_is_read_from_posts_of_the_server_only() {
        let added = |fields: Value| post(fields);
        let by_alice = json!({ "type": "system_add_to_channel", "user_id": "alice", "props": { "addedUserId": "me" } });
        assert_eq!(join(&added(by_alice.clone()), "me"), Some(Some("alice")));
        assert_eq!(join(&added(by_alice), "somebody"), None);
        let twice = json!({ "type": "system_add_to_channel", "props": { "addedUserId": "me", "userId": "carol" } });
        assert_eq!(join(&added(twice), "me"), Some(Some("carol")));
        assert_eq!(join(&added(json!({ "type": "system_join_channel", "user_id": "me" })), "me"), Some(None));
        let to_team = json!({ "type": "system_add_to_team", "user_id": "alice", "props": { "addedUserId": "me" } });
        assert_eq!(join(&added(to_team), "me"), Some(None), "nobody added the bot to a team's default channel");
        let forged = json!({ "type": "", "user_id": "eve", "props": { "addedUserId": "me" } });
        assert_eq!(join(&added(forged), "me"), None);
    }

    #[test]
    fn the_bots_message_is_found_by_its_key() {
        let ours = post(json!({ "user_id": "me", "props": props("k1") }));
        assert!(carries_key(&ours, "me", "k1") && !carries_key(&ours, "me", "k2"));
        assert!(!carries_key(&post(json!({ "props": props("k1") })), "me", "k1"), "any account can set a property");
        assert!(!carries_key(&post(json!({ "user_id": "me", "props": props("k1"), "delete_at": 9 })), "me", "k1"));
    }
}
