//! The messages about a job in a second room. If an action was typed in a direct message, the host also shows its job
//! in such a room.

use serde::{Deserialize, Serialize};

use super::{
    history::{StartEntry, title},
    thread_message::thread_message,
};
use crate::{
    base::Text,
    store::{JobRow, OutboxRow, Store, Write},
};

/// A second room that shows a job.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct ShownIn {
    #[serde(default)]
    pub(crate) bot: String,
    pub(crate) network: String,
    pub(crate) room: String,
}

impl ShownIn {
    /// Reads the second room of a job from the first entry of the job's journal. Returns `None` if the job has no
    /// second room, or if the journal cannot be read.
    pub(crate) async fn read(store: &dyn Store, job: &str) -> Option<Self> {
        let first = store.entries(job).await.ok()?.into_iter().next()?.entry;
        let start: StartEntry = serde_json::from_value(first.unpack(store).await.ok()?).ok()?;
        start.shown
    }

    /// Returns the outbox entry for the message that announces the job's start in this room.
    pub(crate) fn opened(&self, row: &JobRow) -> Write {
        Write::Send(self.message(row, "shown", Text::lines(format!("{} was started in a direct message.", title(row)))))
    }

    /// Returns the outbox entry for a message to this room, which says that the job now changes `app`. The typed
    /// command did not name this app. The message is sent once per job and app.
    pub(crate) fn touches(&self, row: &JobRow, app: &str) -> Write {
        let text = format!("{} was started in a direct message. The job now changes {app}.", title(row));
        Write::Send(self.message(row, &format!("shown-{app}"), Text::lines(text)))
    }

    /// Returns the outbox entry for the job's closing message to this room.
    pub(crate) fn closed(&self, row: &JobRow, text: Text) -> Write {
        // A job can be shown in several rooms. The key contains the room, so that each room receives the message.
        Write::Send(self.message(row, &format!("shown-end-{}-{}", self.network, self.room), text))
    }

    fn message(&self, row: &JobRow, purpose: &str, text: Text) -> OutboxRow {
        // Old journals contain no bot name. The job's own bot then sends the message.
        let bot = if self.bot.is_empty() { row.bot.clone() } else { self.bot.clone() };
        let (network, room) = (self.network.clone(), self.room.clone());
        OutboxRow { bot, network, room, thread: None, ..thread_message(row, purpose, text) }
    }
}
