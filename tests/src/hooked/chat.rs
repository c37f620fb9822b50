//! A chat with hooks around sending.

use std::sync::Arc;

use async_trait::async_trait;
use wardroom::{
    CancellationToken,
    adapter::Inbox,
    adapter::{Chat, ChatFactory, ChatFeatures, Link, Outgoing, SendError, SendPermissions},
    base::{Table, TableKeys},
    model::{BotIdentity, Person},
};

/// The hooks of a [`HookedChat`]. Each does nothing by default.
#[async_trait]
pub trait ChatHooks: Send + Sync + 'static {
    /// Called before [`Chat::serve`].
    fn before_serve(&self) {}

    /// Called before [`Chat::send`].
    async fn before_send(&self, _message: &Outgoing) {}

    /// Called after [`Chat::send`], even if it failed.
    async fn after_send(&self, _message: &Outgoing) {}
}

/// A chat that calls hooks around some methods of another chat.
pub struct HookedChat<H> {
    chat: Arc<dyn Chat>,
    hooks: H,
}

impl<H: ChatHooks> HookedChat<H> {
    /// Wraps a chat.
    pub fn new(chat: Arc<dyn Chat>, hooks: H) -> Self {
        Self { chat, hooks }
    }
}

#[async_trait]
impl<H: ChatHooks> Chat for HookedChat<H> {
    fn network(&self) -> &'static str {
        self.chat.network()
    }

    fn features(&self) -> ChatFeatures {
        self.chat.features()
    }

    fn link(&self) -> Option<&Link> {
        self.chat.link()
    }

    fn send_permissions(&self) -> Option<&SendPermissions> {
        self.chat.send_permissions()
    }

    async fn send_refusal(&self, room: &str) -> Option<String> {
        self.chat.send_refusal(room).await
    }

    fn rooms(&self) -> Vec<String> {
        self.chat.rooms()
    }

    fn account_id(&self) -> Option<String> {
        self.chat.account_id()
    }

    fn trusts_relations(&self, room: &str) -> bool {
        self.chat.trusts_relations(room)
    }

    async fn typing(&self, room: &str) {
        self.chat.typing(room).await;
    }

    async fn serve(&self, inbox: Arc<dyn Inbox>, stop: CancellationToken) -> anyhow::Result<()> {
        self.hooks.before_serve();
        self.chat.serve(inbox, stop).await
    }

    async fn send(&self, message: &Outgoing) -> Result<String, SendError> {
        self.hooks.before_send(message).await;
        let sent = self.chat.send(message).await;
        self.hooks.after_send(message).await;
        sent
    }

    async fn find(&self, room: &str, key: &str) -> Result<Option<String>, SendError> {
        self.chat.find(room, key).await
    }

    async fn room(&self, name: &str) -> Result<Option<String>, SendError> {
        self.chat.room(name).await
    }

    async fn members(&self, room: &str) -> Result<Vec<Person>, SendError> {
        self.chat.members(room).await
    }

    async fn owner_of_handle(&self, handle: &str) -> Result<Option<Person>, SendError> {
        self.chat.owner_of_handle(handle).await
    }

    async fn probe(&self, people: &[String], rooms: &[String]) -> Result<Vec<String>, Vec<String>> {
        self.chat.probe(people, rooms).await
    }
}

/// A factory that wraps the chats of another factory.
pub struct HookedChatFactory<H> {
    factory: Arc<dyn ChatFactory>,
    hooks: H,
}

impl<H: ChatHooks + Clone> HookedChatFactory<H> {
    /// Wraps a factory.
    pub fn new(factory: Arc<dyn ChatFactory>, hooks: H) -> Self {
        Self { factory, hooks }
    }
}

impl<H: ChatHooks + Clone> ChatFactory for HookedChatFactory<H> {
    fn network(&self) -> &'static str {
        self.factory.network()
    }

    fn keys(&self) -> &'static TableKeys {
        self.factory.keys()
    }

    fn read(&self, bot: &BotIdentity, table: &mut Table) -> Option<Arc<dyn Chat>> {
        Some(Arc::new(HookedChat::new(self.factory.read(bot, table)?, self.hooks.clone())))
    }
}
