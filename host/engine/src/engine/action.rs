//! Creates a job for an action and starts the job.

use std::sync::Arc;

use super::host::Host;
use crate::{
    hostcall::{Plugin, new_job, shown_in},
    policy::Authorized,
    store::{JobPhase, JobQuery, JobStatus, StoreError, Write},
};

/// The maximum number of retries of the transaction that stores a new job. The transaction fails if another job already
/// has the random id of the new job, so each retry uses a new random id. After the last retry, the error is returned.
const MAX_ID_DRAWS: u32 = 8;

impl Host {
    /// Creates the job of an action and starts it. One transaction stores the job and marks the message of the command
    /// as handled.
    pub(crate) async fn action(
        self: &Arc<Self>,
        plugin: Arc<Plugin>,
        authorized: Authorized,
    ) -> Result<(), StoreError> {
        let message = authorized.message();
        self.context.outbox.acknowledge(message);
        // A message starts one job. If the store returns a handled message again, somebody has changed the database.
        let same_message = JobQuery { inbox: Some(message.key.clone()), ..JobQuery::default() };
        if let Some(job) = self.context.store.jobs(&same_message).await?.into_iter().find(|job| job.parent.is_none()) {
            tracing::error!(
                job = job.id,
                room = message.key.room,
                event_id = message.key.event,
                "ignored a message that has started a job already; hint: run `wardroom journal verify`"
            );
            return self.context.store.commit(vec![Write::Handled(message.key.clone())]).await.map(drop);
        }
        let shown = shown_in(&self.context, &authorized).await;
        let mut draws = 0;
        loop {
            let now = self.context.clock.now();
            let status = JobStatus { phase: JobPhase::Running, about: String::new(), since: now, wake: None };
            let given = (plugin.settings.to_vec(), plugin.limits);
            let (row, entry) = new_job(&self.context, &plugin, given, &authorized, None, shown.clone(), status);
            let mut writes = vec![Write::Open(row.clone()), Write::Append(entry), Write::Handled(message.key.clone())];
            writes.extend(shown.iter().map(|room| room.opened(&row)));
            match self.context.store.commit(writes).await {
                Ok(_) => {
                    self.context.outbox.opened(message, &row.id);
                    self.context.outbox.wake();
                    self.jobs.dispatch(row);
                    return Ok(());
                }
                Err(StoreError::Failed(_)) if draws < MAX_ID_DRAWS => draws += 1,
                Err(error) => return Err(error),
            }
        }
    }
}
