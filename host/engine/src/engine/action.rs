//! An action of a plugin: its message becomes a job.

use std::sync::Arc;

use super::host::Host;
use crate::{
    hostcall::{Plugin, opening, shown_in},
    job::first as first_card,
    messaging::TAKEN_UP,
    policy::Authorized,
    store::{JobPhase, JobStatus, StoreError, Write},
};

/// How often a job's id is drawn again when it is taken.
const DRAWS: u32 = 8;

impl Host {
    /// Opens a job in the transaction that marks its message as dealt with, and has it taken up.
    pub(crate) async fn action(
        self: &Arc<Self>,
        plugin: Arc<Plugin>,
        authorized: Arc<Authorized>,
    ) -> Result<(), StoreError> {
        let message = authorized.message();
        let shown = shown_in(&self.context, &authorized).await;
        let mut draws = 0;
        loop {
            let now = self.context.clock.now();
            let stand = JobStatus { phase: JobPhase::Working, about: String::new(), since: now, wake: None };
            let given = (plugin.settings.to_vec(), plugin.limits);
            let (row, entry) = opening(&self.context, &plugin, given, &authorized, None, shown.clone(), stand);
            let mut writes = vec![
                Write::Open(row.clone()),
                Write::Enter(entry),
                Write::Done(message.key.clone()),
                Write::Say(self.react(message, TAKEN_UP)),
                Write::Say(first_card(&row)),
            ];
            writes.extend(shown.iter().map(|room| room.opened(&row)));
            match self.context.store.commit(writes).await {
                Ok(_) => {
                    self.context.outbox.waiting.became(&message.key, &row.id);
                    self.context.outbox.wake();
                    self.jobs.take_up(row);
                    return Ok(());
                }
                Err(StoreError::Failed(_)) if draws < DRAWS => draws += 1,
                Err(error) => return Err(error),
            }
        }
    }
}
