//! From posts to what the engine reads. Pure: no network, no store.
//!
//! Architecture Invariant: of a channel only somebody's own new words and reactions come through. Our own posts, those of
//! the server, edited posts and their earlier texts, removed ones, quoted text and code blocks stop here, and so does what came
//! through a webhook: its author can be anybody.

use serde_json::{Value, json};
use wardroom::{
    Timestamp,
    message::{Incoming, Person},
    port::store::Reaction as Said,
};

use crate::{
    api::{Post, Reaction},
    emoji,
    words::BREAK,
};

/// The property that carries a message's key.
pub(crate) const KEY: &str = "wardroom_key";

/// What must be known of ourselves to read posts.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    /// Our own id.
    pub(crate) me: String,
    /// Our name there, without `@`; clients write it where somebody picks us from a list.
    pub(crate) called: String,
    /// The bot's name in `plugins.toml`, by which the engine knows that it is addressed.
    pub(crate) bot: String,
}

impl Reader {
    /// The message in a post, if it holds one for the engine.
    pub(crate) fn message(&self, post: &Post, sender: Person, bot: bool, direct: bool) -> Option<Incoming> {
        if !self.is_of_others(post) {
            return None;
        }
        let text = self.address(&own_words(&post.message));
        if text.is_empty() {
            return None;
        }
        Some(Incoming {
            event: post.id.clone(),
            thread: (!post.root.is_empty()).then(|| post.root.clone()),
            sender,
            text,
            reaction: None,
            at: timestamp(post.create_at),
            direct,
            late: false,
            machine: bot || ["from_bot", "from_plugin", "from_oauth_app"].iter().any(|mark| post.is(mark)),
            once: None,
            unproven: None,
        })
    }

    /// Whether somebody else wrote a post, and it stands as it was written.
    pub(crate) fn is_of_others(&self, post: &Post) -> bool {
        let theirs = !post.user.is_empty() && post.user != self.me;
        // What it said when it was sent is not known of one that was edited.
        let stands = post.delete_at == 0 && post.edit_at == 0 && post.original.is_empty() && post.kind.is_empty();
        theirs && stands && !post.is("from_webhook")
    }

    /// Writes an address that a client made of our picked name as `@bot`.
    fn address(&self, text: &str) -> String {
        let rest = text.strip_prefix('@').and_then(|text| {
            let (head, rest) = text.split_at_checked(self.called.len()).filter(|_| !self.called.is_empty())?;
            let ends = rest.is_empty() || rest.starts_with([':', ',']) || rest.starts_with(char::is_whitespace);
            (ends && head.eq_ignore_ascii_case(&self.called)).then_some(rest)
        });
        match rest {
            Some(rest) => format!("@{} {}", self.bot, rest.strip_prefix([':', ',']).unwrap_or(rest).trim_start())
                .trim_end()
                .to_owned(),
            None => text.to_owned(),
        }
    }
}

/// The event that stands for a reaction. One that is taken away and given again is another one.
pub(crate) fn reaction_event(reaction: &Reaction) -> String {
    format!("reaction:{}:{}:{}:{}", reaction.post, reaction.user, reaction.emoji, reaction.create_at)
}

/// A reaction that was given.
pub(crate) fn given(reaction: &Reaction, sender: Person, machine: bool, late: bool) -> Incoming {
    let said = Said::Given { on: reaction.post.clone(), emoji: emoji::of_name(&reaction.emoji) };
    let at = timestamp(reaction.create_at);
    Incoming { late, ..bare(reaction_event(reaction), sender, machine, said, at) }
}

/// What an event was, a reaction or a message, taken away by somebody.
pub(crate) fn withdrawn(given: &str, sender: Person, machine: bool) -> Incoming {
    let said = Said::Withdrawn { given: given.to_owned() };
    bare(format!("withdrawn:{given}"), sender, machine, said, Timestamp::now())
}

fn bare(event: String, sender: Person, machine: bool, said: Said, at: Timestamp) -> Incoming {
    Incoming {
        event,
        thread: None,
        sender,
        text: String::new(),
        reaction: Some(said),
        at,
        direct: false,
        late: false,
        machine,
        once: None,
        unproven: None,
    }
}

/// Who brought an account into a channel with this post: `Some(None)` where it came by itself.
pub(crate) fn arrival<'p>(post: &'p Post, me: &str) -> Option<Option<&'p str>> {
    // The server alone makes posts of such a kind; a webhook cannot.
    if post.delete_at > 0 || post.is("from_webhook") {
        return None;
    }
    match post.kind.as_str() {
        "system_add_to_channel" | "system_add_to_team" => {
            let us = post.property("addedUserId").is_some_and(|id| id == me);
            // The author is who added; newer servers repeat the id in a property.
            us.then(|| Some(post.property("userId").unwrap_or(post.user.as_str())).filter(|id| !id.is_empty()))
        }
        "system_join_channel" | "system_join_team" => (post.user == me).then_some(None),
        _ => None,
    }
}

/// Whether this is a message of ours that carries this key.
pub(crate) fn carries_key(post: &Post, me: &str, key: &str) -> bool {
    post.user == me && post.delete_at == 0 && post.original.is_empty() && post.property(KEY) == Some(key)
}

/// The properties of every message of ours. They are written whole each time, because an edit replaces all.
pub(crate) fn props(key: &str) -> Value {
    json!({ KEY: key, "disable_group_highlight": true, "mentionHighlightDisabled": true })
}

/// A time out of milliseconds; what is no time is the beginning of all times.
pub(crate) fn timestamp(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// A message without quoted lines and without fenced code.
fn own_words(message: &str) -> String {
    let mut fenced = false;
    let lines: Vec<&str> = message
        .lines()
        .filter(|line| {
            let fence = line.trim_start().starts_with("```");
            // A fence that opens and closes in one line ("```x```") fences nothing below it.
            let alone = fence && line.trim_start().trim_start_matches('`').contains("```");
            let keep = !fenced && !fence && !line.starts_with('>');
            fenced ^= fence && (fenced || !alone);
            keep
        })
        .collect();
    lines.join("\n").replace(BREAK, "").trim().to_owned()
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
        Post::read(&post).expect("a post")
    }

    fn read(fields: Value) -> Option<Incoming> {
        let reader = Reader { me: "me".into(), called: "ops-bot".into(), bot: "marvin".into() };
        reader.message(&post(fields), Person::named_by_id("bob"), false, true)
    }

    fn words(message: &str) -> Option<String> {
        read(json!({ "message": message })).map(|message| message.text)
    }

    #[test]
    fn a_persons_words_come_through() {
        let message = read(json!({ "root_id": "r" })).expect("a message");
        assert_eq!(
            (message.text.as_str(), message.thread.as_deref(), message.machine),
            ("!deploy cms", Some("r"), false)
        );
        assert_eq!(message.at.as_millisecond(), 5);
        assert_eq!(read(json!({ "root_id": "" })).expect("a message").thread, None);
    }

    #[test]
    fn what_is_not_somebodys_new_words_does_not() {
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
        ] {
            assert_eq!(read(fields.clone()), None, "{fields}");
        }
        assert_eq!(words("```!deploy cms```\n!where").as_deref(), Some("!where"));
    }

    #[test]
    fn what_a_program_wrote_is_marked() {
        for mark in ["from_bot", "from_plugin", "from_oauth_app"] {
            assert!(read(json!({ "props": { mark: "true" } })).expect("a message").machine, "{mark}");
        }
    }

    #[test]
    fn our_own_name_there_is_the_bots_name_here() {
        assert_eq!(words("@ops-bot deploy").as_deref(), Some("@marvin deploy"));
        assert_eq!(words("@Ops-Bot: deploy").as_deref(), Some("@marvin deploy"));
        assert_eq!(words("@ops-bots deploy").as_deref(), Some("@ops-bots deploy"));
        assert_eq!(words("could @ops-bot help").as_deref(), Some("could @ops-bot help"));
    }

    #[test]
    fn a_reaction_given_again_is_another_one() {
        let reaction = |at| Reaction { user: "u".into(), post: "p".into(), emoji: "+1".into(), create_at: at };
        assert_ne!(reaction_event(&reaction(1)), reaction_event(&reaction(2)));
        let incoming = given(&reaction(1), Person::named_by_id("u"), false, false);
        assert_eq!(incoming.reaction, Some(Said::Given { on: "p".into(), emoji: "👍".into() }));
        let back = withdrawn(&incoming.event, Person::named_by_id("u"), false);
        assert_eq!(back.reaction, Some(Said::Withdrawn { given: incoming.event.clone() }));
        assert_ne!(back.event, incoming.event);
    }

    #[test]
    fn who_brought_us_is_what_the_server_says() {
        let added = |fields: Value| post(fields);
        let by_alice = json!({ "type": "system_add_to_channel", "user_id": "alice", "props": { "addedUserId": "me" } });
        assert_eq!(arrival(&added(by_alice.clone()), "me"), Some(Some("alice")));
        assert_eq!(arrival(&added(by_alice), "somebody"), None);
        let twice = json!({ "type": "system_add_to_channel", "props": { "addedUserId": "me", "userId": "carol" } });
        assert_eq!(arrival(&added(twice), "me"), Some(Some("carol")));
        assert_eq!(arrival(&added(json!({ "type": "system_join_channel", "user_id": "me" })), "me"), Some(None));
        let forged = json!({ "type": "", "user_id": "eve", "props": { "addedUserId": "me" } });
        assert_eq!(arrival(&added(forged), "me"), None);
    }

    #[test]
    fn our_own_message_is_found_by_its_key() {
        let ours = post(json!({ "user_id": "me", "props": props("k1") }));
        assert!(carries_key(&ours, "me", "k1") && !carries_key(&ours, "me", "k2"));
        assert!(!carries_key(&post(json!({ "props": props("k1") })), "me", "k1"), "anybody can write a property");
        assert!(!carries_key(&post(json!({ "user_id": "me", "props": props("k1"), "delete_at": 9 })), "me", "k1"));
    }
}
