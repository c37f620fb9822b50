//! Actions from a direct message, as the room of their app sees them: a line when they begin, and their closing line.
//!
//! Invariant: the room is kept in a job's entry 0, so that both lines come to the same one whatever the configuration becomes.
//! Each is in the transaction that opens or closes the job. What is typed in the app's own room is not shown there again.

use serde::{Deserialize, Serialize};

use super::context::Shared;
use crate::{base::Text, job::{Begun, said, title}, journal::blob, messaging::Spot, model::{App, Direct}, policy::Authorized, store::{InboxRow, JobRow, OutboxRow, Store, Write}};

/// So long is a network asked which room a name is: an effect may wait for the answer, and a freeze for the effect.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);

/// A room that a job is shown in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct ShownIn {
    #[serde(default)]
    bot: String,
    network: String,
    room: String,
}

impl ShownIn {
    /// The room of what was typed, if it is to be shown: the app's, for an action from a direct message elsewhere.
    pub(crate) async fn of(shared: &Shared, authorized: &Authorized) -> Option<Self> {
        let app = shared.catalog.app(authorized.command().app()?)?;
        Self::of_app(shared, authorized.message(), app).await
    }

    /// The room of an app that a direct message from elsewhere touches.
    pub(crate) async fn of_app(shared: &Shared, message: &InboxRow, app: &App) -> Option<Self> {
        if !message.direct || is_at_home(shared, message, app).await {
            return None;
        }
        let Spot { bot, network, room } = shared.outbox.spot(&message.bot, app.room.as_ref()?)?;
        Some(Self { bot, network, room })
    }

    /// The room that a job is shown in, by its entry 0. Of a journal that cannot be read nothing is shown.
    pub(crate) async fn kept(store: &dyn Store, job: &str) -> Option<Self> {
        let first = store.entries(job).await.ok()?.into_iter().next()?.entry;
        let begun: Begun = serde_json::from_value(blob::unpack(store, &first).await.ok()?).ok()?;
        begun.shown
    }

    /// That a job begins.
    pub(crate) fn opened(&self, row: &JobRow) -> Write {
        Write::Say(self.say(row, "shown", Text::lines(format!("In a direct message: {}", title(row)))))
    }

    /// That a job touches an app which was not typed; once for each app.
    pub(crate) fn touches(&self, row: &JobRow, app: &str) -> Write {
        let text = format!("In a direct message: {}, which now touches {app}", title(row));
        Write::Say(self.say(row, &format!("shown-{app}"), Text::lines(text)))
    }

    /// How it ended.
    pub(crate) fn closed(&self, row: &JobRow, text: Text) -> Write {
        // A job can touch several apps, and each room is told.
        Write::Say(self.say(row, &format!("shown-end-{}-{}", self.network, self.room), text))
    }

    fn say(&self, row: &JobRow, purpose: &str, text: Text) -> OutboxRow {
        // In an old journal it has no name: it was the job's own.
        let bot = if self.bot.is_empty() { row.bot.clone() } else { self.bot.clone() };
        let (network, room) = (self.network.clone(), self.room.clone());
        OutboxRow { bot, network, room, thread: None, ..said(row, purpose, text) }
    }
}

/// Why an app takes no action from a message, if it does not: it is a direct one, and not in the app's own room.
pub(crate) async fn refuses(shared: &Shared, message: &InboxRow, app: &str) -> Option<String> {
    let app = shared.catalog.app(app)?;
    if app.direct != Direct::Refuse || !message.direct || is_at_home(shared, message, app).await {
        return None;
    }
    let place =
        app.room.as_ref().map_or_else(|| "a room with others".to_owned(), |room| crate::base::clean(&room.to_string()));
    Some(format!("{} takes no actions from a direct message: type it in {place}", app.name))
}

/// Whether a message stands in an app's own room.
async fn is_at_home(shared: &Shared, message: &InboxRow, app: &App) -> bool {
    let Some(spot) = app.room.as_ref().and_then(|room| shared.outbox.spot(&message.bot, room)) else { return false };
    if spot.network != message.key.network {
        return false;
    }
    if spot.room == message.key.room {
        return true;
    }
    let Some(chat) = shared.outbox.chat(&spot.bot, &spot.network) else { return false };
    // Where that cannot be told now it counts as another room: said twice is better than not at all.
    let id = tokio::time::timeout(PATIENCE, chat.room(&spot.room)).await;
    matches!(id, Ok(Ok(Some(id))) if id == message.key.room)
}
