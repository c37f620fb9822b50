//! Reports in a room that plugins did not load, or that several plugins have the same command.

use super::host::Host;
use crate::{
    base::{PREFIX, Text},
    store::{StoreError, Write, digest},
};

impl Host {
    /// Queues a message for the room `tell` of `[people]` if a plugin did not load, or if a command belongs to no plugin.
    /// The message is sent once a day, so that a host that restarts repeatedly does not flood the room. The reasons stay
    /// in the log and in the answer to `plugins`, because they can contain file names and rules.
    ///
    /// # Errors
    /// Fails if the store is unavailable.
    pub(crate) async fn report_missing_plugins(&self) -> Result<(), StoreError> {
        let (context, plugins) = (&self.context, &self.context.plugins);
        let Some(bot) = context.access.bots.iter().next() else { return Ok(()) };
        let Some(destination) =
            context.access.tell.as_ref().and_then(|room| context.outbox.destination(&bot.name, room))
        else {
            return Ok(());
        };
        let missing: Vec<&str> = plugins.not_loaded().iter().map(|plugin| plugin.name.as_str()).collect();
        let contested: Vec<&str> = plugins.contested().iter().map(|contested| contested.word.as_str()).collect();
        let mut text = Text::default();
        if !missing.is_empty() {
            text.push_lines(format!("The bot has started without these plugins: {}.", missing.join(", ")));
        }
        if !contested.is_empty() {
            text.push_lines(format!(
                "Several plugins have these commands, so no plugin runs them: {}.",
                contested.join(", ")
            ));
        }
        if missing.is_empty() && contested.is_empty() {
            return Ok(());
        }
        text.push_lines(format!("An admin gets the reasons with `{PREFIX}plugins`."));
        let day = context.clock.now().as_second() / 86_400;
        let key = format!("start/{day}/{}", digest(text.plain().as_bytes()));
        context.store.commit(vec![Write::Send(destination.say(key, text))]).await.map(drop)
    }
}
