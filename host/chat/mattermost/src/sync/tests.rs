//! Tests of the sync loop with a fake server and an inbox in memory. A test passes the signals of the socket to the
//! loop, and runs the background requests until none is left.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;
use wardroom::{
    adapter::{Incoming, Position},
    base::{SecretRef, Text},
    store::{Reaction as EngineReaction, StoreError},
};
use wardroom_fake_mattermost::{Person, Server};

use super::*;
use crate::{
    client::Reaction, config::RoomName, convert, direct_messages::DirectMessagePolicy, event::Event,
    session::tests::session_of,
};

/// An inbox that stores every message once.
#[derive(Default)]
struct MemoryInbox {
    ids: Mutex<HashSet<String>>,
    received: Mutex<Vec<Incoming>>,
    cursors: Mutex<HashMap<String, Position>>,
}

#[async_trait]
impl Inbox for MemoryInbox {
    async fn enter(&self, room: &str, now: Timestamp) -> Result<Position, StoreError> {
        let cursor = Position { event: None, at: now };
        Ok(self.cursors.lock().entry(room.to_owned()).or_insert(cursor).clone())
    }

    async fn cursor(&self, room: &str) -> Result<Option<Position>, StoreError> {
        Ok(self.cursors.lock().get(room).cloned())
    }

    async fn receive(
        &self,
        room: &str,
        messages: Vec<Incoming>,
        cursor: Option<Position>,
    ) -> Result<usize, StoreError> {
        let new: Vec<Incoming> =
            messages.into_iter().filter(|message| self.ids.lock().insert(message.event.clone())).collect();
        let count = new.len();
        self.received.lock().extend(new);
        self.cursors.lock().extend(cursor.map(|cursor| (room.to_owned(), cursor)));
        Ok(count)
    }

    fn handles(&self, _room: &str, _message: &Incoming) -> bool {
        true
    }

    async fn say_once(&self, _: &str, _: &str, _: Text, _: Option<String>) -> Result<(), StoreError> {
        Ok(())
    }

    fn is_admin(&self, _person: &str) -> bool {
        false
    }

    async fn until_idle(&self) {}
}

/// A fake server with a bot and two people in the configured channel, and what a loop needs.
struct Account {
    server: Server,
    bot: Person,
    alice: Person,
    bob: Person,
    ops: String,
    session: Arc<Session>,
    inbox: Arc<MemoryInbox>,
    config: Config,
    link: Link,
    _folder: TempDir,
}

impl Account {
    async fn new() -> Self {
        let server = Server::start().await.expect("a server");
        let (bot, token) = server.bot("ops-bot");
        let (alice, bob) = (server.person("alice"), server.person("bob"));
        let ops = server.channel("eng", "ops");
        for who in [&bot, &alice, &bob] {
            server.put(&ops, who);
        }
        let session = Arc::new(session_of(&server, &token).await);
        let folder = tempfile::tempdir().expect("a folder");
        let config = Config {
            bot: "marvin".into(),
            url: server.url().parse().expect("a URL"),
            token: SecretRef::Env("T".into()),
            rooms: vec![RoomName::parse("eng/ops").expect("a name")],
            direct: DirectMessagePolicy::Members,
            ca: None,
            folder: folder.path().to_owned(),
            heartbeat_interval: std::time::Duration::from_secs(30),
        };
        let (inbox, link) = (Arc::default(), Link::default());
        Self { server, bot, alice, bob, ops, session, inbox, config, link, _folder: folder }
    }

    /// Creates a loop that has read the channels once.
    async fn connected(&self) -> SyncLoop<'_> {
        let mut sync = SyncLoop::new(&self.config, self.session.clone(), self.inbox.clone(), &self.link);
        sync.initialize().await.expect("the channels");
        self.connect(&mut sync).await;
        sync
    }

    async fn connect(&self, sync: &mut SyncLoop<'_>) {
        sync.handle_signal(Signal::Connected).await;
        finish_requests(sync).await;
    }

    /// Returns the number of times that the channels of the only team were listed.
    fn listings(&self) -> usize {
        self.server.calls("GET", "/users/me/teams/members")
    }

    fn texts(&self) -> Vec<String> {
        self.inbox.received.lock().iter().map(|message| message.text.clone()).filter(|text| !text.is_empty()).collect()
    }

    /// Returns the event ids of the reactions that the inbox received as removed.
    fn withdrawn(&self) -> Vec<String> {
        let given = |message: &Incoming| match &message.reaction {
            Some(EngineReaction::Withdrawn { given }) => Some(given.clone()),
            _ => None,
        };
        self.inbox.received.lock().iter().filter_map(given).collect()
    }

    /// Creates a message of the bot with a 👍 of Bob, which the loop delivers. Returns the message, and the event id of
    /// the reaction.
    async fn approved(&self, sync: &mut SyncLoop<'_>) -> (String, String) {
        let post = self.server.post_with(&self.ops, &self.bot, &json!({ "message": "approve?" }));
        self.bob.react(&post, "+1");
        let reaction = self.session.client.reactions(&post).await.expect("an answer").remove(0);
        let added = Event::ReactionAdded { channel: self.ops.clone(), reaction: reaction.clone() };
        sync.handle_event(added).await;
        (post, convert::reaction_event_id(&reaction))
    }

    /// Removes the bot from the channel.
    async fn leave(&self, sync: &mut SyncLoop<'_>) {
        self.server.remove(&self.ops, &self.bot);
        sync.handle_event(Event::ChannelLeft { channel: self.ops.clone() }).await;
    }

    /// Adds the bot to the channel again. The server's notice has a later time than every other change.
    async fn rejoin(&self, sync: &mut SyncLoop<'_>) {
        self.server.put(&self.ops, &self.bot);
        let props = json!({ "addedUserId": self.bot.id(), "userId": self.alice.id() });
        let later = Timestamp::now().as_millisecond() + 60_000;
        let notice = json!({ "type": "system_add_to_channel", "props": props, "create_at": later });
        self.server.post_with(&self.ops, &self.alice, &notice);
        self.connect(sync).await;
    }

    /// Returns the server's event of a removed reaction, which lacks the time of the reaction.
    fn removed(&self, post: &str, emoji: &str) -> Event {
        let (user, post, emoji) = (self.bob.id().to_owned(), post.to_owned(), emoji.to_owned());
        let reaction = Reaction { user, post, emoji, create_at: 0 };
        Event::ReactionRemoved { channel: self.ops.clone(), reaction }
    }
}

/// Runs the background requests, and those that follow, until none is left.
async fn finish_requests(sync: &mut SyncLoop<'_>) {
    loop {
        sync.start_due_requests();
        let Some(finished) = sync.tasks.join_next().await else { return };
        sync.handle_finished(finished.expect("a result")).await.expect("the token is valid");
    }
}

/// Returns the server's event of a post.
fn posted(channel: &str, user: &Person, id: &str, message: &str) -> Event {
    let at = Timestamp::now().as_millisecond();
    let post = json!({ "id": id, "channel_id": channel, "user_id": user.id(), "message": message, "create_at": at });
    Event::Posted { post: Box::new(Post::read(&post.to_string()).expect("a post")) }
}

#[tokio::test]
async fn a_flood_of_channel_events_delays_neither_posts_nor_backfills() {
    let account = Account::new().await;
    let mut sync = account.connected().await;
    let before = account.listings();
    for number in 0..20 {
        sync.handle_event(Event::ChannelsChanged).await;
        sync.start_due_requests();
        sync.handle_event(posted(&account.ops, &account.alice, &format!("p{number}"), "!whoami")).await;
        sync.backfill.add(account.ops.clone());
        finish_requests(&mut sync).await;
        assert!(!sync.backfill.contains(&account.ops), "the backfill waits for a list of channels");
    }
    assert_eq!(account.texts().len(), 20);
    assert!(account.listings() < before + 5, "{} lists for 20 events", account.listings() - before);
    // After a new connection, the list is requested at once.
    let before = account.listings();
    account.connect(&mut sync).await;
    assert_eq!(account.listings(), before + 1);
}

#[tokio::test]
async fn a_post_of_an_unknown_channel_waits_for_the_next_list() {
    let account = Account::new().await;
    let mut sync = account.connected().await;
    let new = account.server.channel("eng", "new");
    account.server.put(&new, &account.bot);
    sync.handle_event(posted(&new, &account.alice, "p", "!whoami")).await;
    sync.start_due_requests();
    assert!(sync.backfill.contains(&new), "the channel is dropped before the list arrives");
    account.connect(&mut sync).await;
    assert!(sync.joined_channel(&new).is_some());
}

#[tokio::test]
async fn a_reaction_that_is_removed_while_the_bot_is_not_in_the_channel_is_withdrawn() {
    let account = Account::new().await;
    let mut sync = account.connected().await;
    let (post, given) = account.approved(&mut sync).await;
    account.leave(&mut sync).await;
    account.bob.unreact(&post, "+1");
    account.rejoin(&mut sync).await;
    assert_eq!(account.withdrawn(), [given]);
}

#[tokio::test]
async fn a_reaction_that_is_removed_after_the_bot_returned_is_withdrawn() {
    let account = Account::new().await;
    let mut sync = account.connected().await;
    let (post, given) = account.approved(&mut sync).await;
    account.leave(&mut sync).await;
    account.rejoin(&mut sync).await;
    assert!(account.withdrawn().is_empty());
    account.bob.unreact(&post, "+1");
    sync.handle_event(account.removed(&post, "+1")).await;
    assert_eq!(account.withdrawn(), [given]);
}

#[tokio::test]
async fn the_removal_of_a_stored_reaction_does_not_wait_for_a_backfill() {
    let account = Account::new().await;
    let mut sync = account.connected().await;
    let (post, given) = account.approved(&mut sync).await;
    sync.backfill.add(account.ops.clone());
    account.bob.unreact(&post, "+1");
    sync.handle_event(account.removed(&post, "+1")).await;
    assert_eq!(account.withdrawn(), std::slice::from_ref(&given));
    finish_requests(&mut sync).await;
    assert_eq!(account.withdrawn(), [given]);
}

#[tokio::test]
async fn a_removed_vote_without_stored_state_is_withdrawn_without_its_time() {
    let account = Account::new().await;
    let mut sync = account.connected().await;
    let (post, given) = account.approved(&mut sync).await;
    sync.state = AccountState::load(&account.config.folder.join("empty"), account.session.me());
    account.bob.unreact(&post, "+1");
    sync.handle_event(account.removed(&post, "eyes")).await;
    assert!(account.withdrawn().is_empty(), "only votes count");
    sync.handle_event(account.removed(&post, "+1")).await;
    let [prefix] = account.withdrawn().try_into().expect("one removal");
    assert!(prefix.ends_with(':') && given.starts_with(&prefix), "{prefix} of {given}");
    // The inbox stores the removal of a repeated vote, too.
    while Timestamp::now().as_millisecond() == account.inbox.received.lock().last().map_or(0, at) {}
    sync.handle_event(account.removed(&post, "+1")).await;
    assert_eq!(account.withdrawn().len(), 2);
}

fn at(message: &Incoming) -> i64 {
    message.at.as_millisecond()
}

#[tokio::test]
async fn a_vote_that_the_inbox_already_holds_is_stored_when_a_backfill_finds_it() {
    let account = Account::new().await;
    let mut sync = account.connected().await;
    let (post, given) = account.approved(&mut sync).await;
    // The stored state was lost, and a backfill finds the vote again.
    let reaction = sync.state.reactions(&post).remove(0);
    sync.state.remove_reaction(&reaction);
    sync.backfill.add(account.ops.clone());
    finish_requests(&mut sync).await;
    assert!(sync.state.has_reaction(&reaction));
    sync.handle_event(account.removed(&post, "+1")).await;
    assert_eq!(account.withdrawn(), [given]);
}

#[tokio::test]
async fn after_an_edit_during_a_backfill_the_original_text_counts() {
    let account = Account::new().await;
    let mut sync = account.connected().await;
    sync.backfill.add(account.ops.clone());
    let post = account.alice.post(&account.ops, "!whoami");
    sync.handle_event(posted(&account.ops, &account.alice, &post, "!whoami")).await;
    account.alice.edit(&post, "!help");
    finish_requests(&mut sync).await;
    assert_eq!(account.texts(), ["!whoami"]);
}

#[tokio::test]
async fn a_post_with_deeply_nested_properties_does_not_stop_the_backfill() {
    let account = Account::new().await;
    let mut sync = account.connected().await;
    let deep = (0..130).fold(Value::Null, |inner, _| json!([inner]));
    let fields = json!({ "message": "!jobs", "props": { "x": deep } });
    account.server.post_with(&account.ops, &account.bob, &fields);
    account.alice.post(&account.ops, "!whoami");
    sync.backfill.add(account.ops.clone());
    finish_requests(&mut sync).await;
    let mut texts = account.texts();
    texts.sort();
    assert_eq!(texts, ["!jobs", "!whoami"]);
}

#[tokio::test]
async fn a_list_of_channels_that_is_too_large_leaves_the_configured_channels_served() {
    let account = Account::new().await;
    // The requests for the channels of a team have this path, and the request for the teams has not.
    let path = "/users/me/teams/".to_owned();
    account.server.faults(|faults| (faults.padded, faults.padding) = (path, 32 * 1024 * 1024));
    let mut sync = account.connected().await;
    sync.handle_event(posted(&account.ops, &account.alice, "p", "!whoami")).await;
    assert_eq!(account.texts(), ["!whoami"]);
    account.leave(&mut sync).await;
    account.connect(&mut sync).await;
    assert!(sync.joined_channel(&account.ops).is_none(), "the bot is not in the channel");
}
