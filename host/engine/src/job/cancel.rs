//! A job is called off: its runs are asked to stop, and its plugin is told so that it can tidy up.

use std::sync::Arc;

use serde_json::json;

use super::{CANCEL, Jobs, WithOrder, entry, finish::call_off};
use crate::{
    message::Person,
    port::store::{EntryKind, JobRow, Phase, StoreError, Write},
};

impl Jobs {
    /// Calls a job off. Gives what happens now, one line; `with` is given the same.
    ///
    /// # Errors
    /// Why that is not possible, one line.
    pub(crate) async fn cancel(
        self: &Arc<Self>,
        row: JobRow,
        by: &Person,
        with: WithOrder<'_>,
    ) -> Result<String, String> {
        let unkept = |error: StoreError| format!("nothing was changed: {error}");
        let event = |row: &JobRow| {
            let about = json!({ "event": CANCEL, "by": by.id, "about": "" });
            entry(row, EntryKind::Event, about, self.shared.clock.now())
        };
        if let Some(job) = self.at_work(&row.id) {
            if job.is_cancelled() {
                let told = format!("job {} was called off already; it is still ending", row.id);
                self.shared.store.commit(with(&told)).await.map_err(unkept)?;
                return Ok(told);
            }
            let told = format!("job {} is called off: `{}` is told to stop", row.id, row.line);
            job.enter(&*self.shared.store, vec![event(&row)], with(&told)).await.map_err(unkept)?;
            job.cancel();
            self.take_up(row.clone());
            return Ok(told);
        }
        let Some(claim) = self.shared.claims.claim(&row.id) else {
            return Err(format!("job {} is being looked at; try again", row.id));
        };
        let tip = self.shared.store.tip(&row.id).await.map_err(unkept)?;
        let next = tip.map_or(0, |(next, _)| next);
        // One that stands in line before its first call has nothing to tidy up.
        let begun = !(row.stand.phase == Phase::Later || (row.stand.phase == Phase::Line && next == 1));
        if !begun || matches!(row.stand.phase, Phase::Held | Phase::Asked) {
            let told = format!("job {} is called off", row.id);
            let mut writes = with(&told);
            writes.extend(call_off(&row, next, by, begun, self.shared.clock.now()));
            self.shared.store.commit(writes).await.map_err(unkept)?;
            self.shared.outbox.wake();
            drop(claim);
            let free = self.shared.places.release(&row.id);
            self.call_next(free).await;
            return Ok(told);
        }
        let mut event = event(&row);
        event.number = next;
        let told = format!("job {} is called off: `{}` is told to stop", row.id, row.line);
        let writes = std::iter::once(Write::Enter(event)).chain(with(&told)).collect();
        self.shared.store.commit(writes).await.map_err(unkept)?;
        drop(claim);
        self.shared.places.leave_lines(&row.id);
        self.take_up(row);
        Ok(told)
    }
}
