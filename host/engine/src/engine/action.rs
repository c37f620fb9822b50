//! An action of a plugin: its message becomes a job.

use std::sync::Arc;

use super::builder::Host;
use crate::{hostcall::{ShownIn, opening}, job::first as first_card, messaging::TAKEN_UP, plugin::LoadedPlugin, policy::Authorized, store::{Phase, Stand, StoreError, Write}};

/// How often a job's id is drawn again when it is taken.
const DRAWS: u32 = 8;

impl Host {
    /// Opens a job in the transaction that marks its message as dealt with, and has it taken up.
    pub(crate) async fn action(
        self: &Arc<Self>,
        plugin: Arc<LoadedPlugin>,
        authorized: Arc<Authorized>,
    ) -> Result<(), StoreError> {
        let message = authorized.message();
        let shown = ShownIn::of(&self.shared, &authorized).await;
        let mut draws = 0;
        loop {
            let now = self.shared.clock.now();
            let stand = Stand { phase: Phase::Working, about: String::new(), since: now, wake: None };
            let given = (plugin.settings.to_vec(), plugin.limits);
            let (row, entry) = opening(&self.shared, &plugin, given, &authorized, None, shown.clone(), stand);
            let mut writes = vec![
                Write::Open(row.clone()),
                Write::Enter(entry),
                Write::Done(message.key.clone()),
                Write::Say(self.react(message, TAKEN_UP)),
                Write::Say(first_card(&row)),
            ];
            writes.extend(shown.iter().map(|room| room.opened(&row)));
            match self.shared.store.commit(writes).await {
                Ok(_) => {
                    self.shared.outbox.waiting.became(&message.key, &row.id);
                    self.shared.outbox.wake();
                    self.jobs.take_up(row);
                    return Ok(());
                }
                Err(StoreError::Failed(_)) if draws < DRAWS => draws += 1,
                Err(error) => return Err(error),
            }
        }
    }
}
