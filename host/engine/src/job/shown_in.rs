//! The second room that a job is shown in, for actions from a direct message.

use serde::{Deserialize, Serialize};

use super::{
    history::{StartEntry, title},
    said::said,
};
use crate::{
    base::Text,
    journal::blob,
    store::{JobRow, OutboxRow, Store, Write},
};

/// A room that a job is shown in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct ShownIn {
    #[serde(default)]
    pub(crate) bot: String,
    pub(crate) network: String,
    pub(crate) room: String,
}

impl ShownIn {
    /// The room that a job is shown in, by its entry 0. Of a journal that cannot be read nothing is shown.
    pub(crate) async fn kept(store: &dyn Store, job: &str) -> Option<Self> {
        let first = store.entries(job).await.ok()?.into_iter().next()?.entry;
        let begun: StartEntry = serde_json::from_value(blob::unpack(store, &first).await.ok()?).ok()?;
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
