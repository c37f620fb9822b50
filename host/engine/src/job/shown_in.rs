//! The second room that shows a job: for actions that were typed in a direct message.

use serde::{Deserialize, Serialize};

use super::{
    history::{StartEntry, title},
    thread_message::thread_message,
};
use crate::{
    base::Text,
    journal::blob,
    store::{JobRow, OutboxRow, Store, Write},
};

/// A room that shows a job.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct ShownIn {
    #[serde(default)]
    pub(crate) bot: String,
    pub(crate) network: String,
    pub(crate) room: String,
}

impl ShownIn {
    /// The second room of a job, from its entry 0; `None` if there is none or the journal cannot be read.
    pub(crate) async fn read(store: &dyn Store, job: &str) -> Option<Self> {
        let first = store.entries(job).await.ok()?.into_iter().next()?.entry;
        let start: StartEntry = serde_json::from_value(blob::unpack(store, &first).await.ok()?).ok()?;
        start.shown
    }

    /// The message that the job started.
    pub(crate) fn opened(&self, row: &JobRow) -> Write {
        Write::Send(self.say(row, "shown", Text::lines(format!("In a direct message: {}", title(row)))))
    }

    /// The message that the job touches an app that its command did not name; sent once per app.
    pub(crate) fn touches(&self, row: &JobRow, app: &str) -> Write {
        let text = format!("In a direct message: {}, which now changes {app}", title(row));
        Write::Send(self.say(row, &format!("shown-{app}"), Text::lines(text)))
    }

    /// The closing message in this room.
    pub(crate) fn closed(&self, row: &JobRow, text: Text) -> Write {
        // A job can touch several apps, so the key contains the room: each room receives the message.
        Write::Send(self.say(row, &format!("shown-end-{}-{}", self.network, self.room), text))
    }

    fn say(&self, row: &JobRow, purpose: &str, text: Text) -> OutboxRow {
        // Journals from before bots had names store none here: the bot is then the job's own.
        let bot = if self.bot.is_empty() { row.bot.clone() } else { self.bot.clone() };
        let (network, room) = (self.network.clone(), self.room.clone());
        OutboxRow { bot, network, room, thread: None, ..thread_message(row, purpose, text) }
    }
}
