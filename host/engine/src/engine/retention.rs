//! Removes jobs and messages after the retention period, from the store and from the pipeline systems.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use super::host::Host;
use crate::store::{PendingRow, Store, StoreError, Write};

/// The time between two removals of expired jobs and messages.
const INTERVAL: Duration = Duration::from_secs(3600);
/// The pause after each batch of removed rows. Other transactions can run in this pause.
const PAUSE: Duration = Duration::from_millis(200);

impl Host {
    /// Removes expired jobs and messages every hour, until the host stops. `keep` is the retention period.
    pub(crate) async fn expire(self: Arc<Self>, keep: Duration) {
        loop {
            if let Err(error) = self.remove(keep).await {
                tracing::error!(%error, "cannot remove expired jobs and messages; retrying in an hour");
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    async fn remove(&self, keep: Duration) -> Result<(), StoreError> {
        let context = &self.context;
        let keep = jiff::SignedDuration::try_from(keep).unwrap_or(jiff::SignedDuration::MAX);
        // A clock that is set ahead while the host runs must not expire jobs early.
        let now = context.clock.now().min(context.monotonic.now());
        let Ok(before) = now.checked_sub(keep) else { return Ok(()) };
        give_up_expired(&*context.store, before).await?;
        loop {
            let removed = context.store.remove(before, &self.context.plugins.digests()).await?;
            for (key, pipeline) in removed.jobs.iter().flat_map(|(_, runs)| runs) {
                let Some(deployment) = context.catalog.pipeline(pipeline) else { continue };
                if let Err(error) = context.backends.get(deployment.backend).forget(key, pipeline).await {
                    tracing::warn!(
                        run = key.as_str(), %error,
                        "cannot remove the files of an expired pipeline run; not retrying; hint: remove the run's folder by hand; the folders of runs of local commands are in `state/runs`"
                    );
                }
            }
            if !removed.jobs.is_empty() || removed.rows > 0 {
                tracing::info!(
                    jobs = removed.jobs.len(),
                    rows = removed.rows,
                    "expired jobs and messages were removed"
                );
            }
            if !removed.more {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Gives up the unsent messages of jobs that ended before `before`, for example because the bot may not send to their
/// room. The jobs can then be removed.
async fn give_up_expired(store: &dyn Store, before: Timestamp) -> Result<(), StoreError> {
    let mut given_up = Vec::new();
    for PendingRow { row, version, .. } in store.outbox().await? {
        let Some((job, _)) = row.key.split_once('/') else { continue };
        let ended = store.job(job).await?.and_then(|job| job.end).map(|end| end.at);
        if ended.is_some_and(|ended| ended < before) {
            tracing::warn!(room = row.room, key = row.key, "a message of an expired job was never sent and is removed");
            given_up.push(Write::Sent { key: row.key, version, event: None });
        }
    }
    if given_up.is_empty() { Ok(()) } else { store.commit(given_up).await.map(drop) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::Text,
        model::Person,
        store::{
            Entry, EntryKind, InboxKey, JobEnd, JobOutcome, JobPhase, JobRow, JobStatus, MemoryStore, OutboxKind,
            OutboxRow,
        },
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_780_000_000 + second).unwrap()
    }

    fn entry(number: u32, kind: EntryKind, body: serde_json::Value) -> Write {
        Write::Append(Entry {
            job: "7f3ak".into(),
            number,
            kind,
            plugin: "deploy".into(),
            call: String::new(),
            of: None,
            rule: String::new(),
            attributes: Default::default(),
            body,
            blob: None,
            at: at(0),
        })
    }

    #[tokio::test]
    async fn the_unsent_messages_of_an_expired_job_are_given_up_and_no_others() {
        let store = MemoryStore::new();
        let caller = Person::named_by_id("@bob:example.org");
        let job = JobRow {
            id: "7f3ak".into(),
            inbox: InboxKey { network: "memory".into(), room: "ops".into(), event: "1".into() },
            thread: None,
            bot: "marvin".into(),
            caller: caller.clone(),
            plugin: "deploy".into(),
            digest: "sha256:00".into(),
            command: "deploy".into(),
            app: None,
            environment: None,
            line: "deploy".into(),
            parent: None,
            overrides: None,
            opened: at(0),
            status: JobStatus { phase: JobPhase::Running, about: String::new(), since: at(0), wake: None },
            end: None,
        };
        let first = serde_json::json!({
            "invocation": { "job": "7f3ak", "command": "deploy", "arguments": [], "caller": caller },
            "line": "deploy", "digest": "sha256:00", "settings": [],
        });
        let end = JobEnd { outcome: JobOutcome::Cancelled, at: at(9), summary: "never mind".into() };
        let last = serde_json::json!({ "outcome": end.outcome.as_str(), "said": end.summary });
        let message = |key: &str| {
            Write::Send(OutboxRow {
                key: key.into(),
                bot: "marvin".into(),
                network: "memory".into(),
                room: "ops".into(),
                thread: None,
                purpose: OutboxKind::Message,
                text: Text::lines("done"),
            })
        };
        let opening = vec![Write::Open(job), entry(0, EntryKind::Invocation, first)];
        let closing = vec![entry(1, EntryKind::Closed, last), Write::Close { job: "7f3ak".into(), end }];
        let messages = vec![message("7f3ak/closing"), message("0b1xy/closing"), message("memory/ops/1/refusal")];
        store.commit([opening, closing, messages].concat()).await.unwrap();
        let unsent =
            async || store.outbox().await.unwrap().into_iter().map(|pending| pending.row.key).collect::<Vec<_>>();
        give_up_expired(&store, at(9)).await.unwrap();
        assert_eq!(unsent().await.len(), 3);
        give_up_expired(&store, at(10)).await.unwrap();
        assert_eq!(unsent().await, ["0b1xy/closing", "memory/ops/1/refusal"]);
        assert_eq!(store.remove(at(10), &[]).await.unwrap().jobs.len(), 1);
    }
}
