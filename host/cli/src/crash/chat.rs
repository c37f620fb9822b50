//! The places around what is sent.

use std::sync::Arc;

use async_trait::async_trait;
use wardroom::{
    CancellationToken,
    config::{BotIdentity, Table},
    message::{Inbox, Person},
    port::{Abilities, Body, Chat, ChatFactory, Link, Outgoing, SendError},
};

use super::Points;

/// Makes chats that are watched.
pub(super) struct WatchedFactory {
    pub(super) factory: Arc<dyn ChatFactory>,
    pub(super) points: &'static Points,
}

impl ChatFactory for WatchedFactory {
    fn network(&self) -> &'static str {
        self.factory.network()
    }

    fn read(&self, bot: &BotIdentity, table: &mut Table) -> Option<Arc<dyn Chat>> {
        let chat = self.factory.read(bot, table)?;
        Some(Arc::new(Watched { chat, points: self.points }))
    }
}

struct Watched {
    chat: Arc<dyn Chat>,
    points: &'static Points,
}

#[async_trait]
impl Chat for Watched {
    fn network(&self) -> &'static str {
        self.chat.network()
    }

    fn abilities(&self) -> Abilities {
        self.chat.abilities()
    }

    fn link(&self) -> Option<&Link> {
        self.chat.link()
    }

    fn rooms(&self) -> Vec<String> {
        self.chat.rooms()
    }

    async fn typing(&self, room: &str) {
        self.chat.typing(room).await;
    }

    async fn room(&self, name: &str) -> Result<Option<String>, SendError> {
        self.chat.room(name).await
    }

    async fn members(&self, room: &str) -> Result<Vec<Person>, SendError> {
        self.chat.members(room).await
    }

    async fn serve(&self, inbox: Arc<Inbox>, stop: CancellationToken) -> anyhow::Result<()> {
        self.chat.serve(inbox, stop).await
    }

    async fn send(&self, message: &Outgoing) -> Result<String, SendError> {
        self.points.around(&name(message), self.chat.send(message)).await
    }

    async fn find(&self, room: &str, key: &str) -> Result<Option<String>, SendError> {
        self.chat.find(room, key).await
    }

    async fn probe(&self, people: &[String]) -> Result<Vec<String>, Vec<String>> {
        self.chat.probe(people).await
    }
}

/// What is sent, without what differs from run to run: `say closing`, `edit card`, `react 👀`.
fn name(message: &Outgoing) -> String {
    let (head, last) = message.key.rsplit_once('/').unwrap_or(("", &message.key));
    match &message.body {
        Body::Say { .. } => format!("say {last}"),
        // The last part of an edit's key counts the texts of its card.
        Body::Edit { .. } => format!("edit {}", head.rsplit('/').next().unwrap_or(last)),
        Body::React { emoji, .. } => format!("react {emoji}"),
    }
}

#[cfg(test)]
mod tests {
    use wardroom::reply::Text;

    use super::*;

    #[test]
    fn a_name_is_the_same_in_every_run() {
        let name = |key: &str, body| name(&Outgoing { key: key.into(), room: "room".into(), body });
        let text = || Text::lines("words");
        assert_eq!(name("7f3ak/closing", Body::Say { text: text(), thread: None }), "say closing");
        assert_eq!(name("7f3ak/card/3", Body::Edit { event: "$1".into(), text: text() }), "edit card");
        assert_eq!(name("room/$1/👀", Body::React { event: "$1".into(), emoji: "👀".into() }), "react 👀");
    }
}
