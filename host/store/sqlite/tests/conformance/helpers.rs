//! Helper functions of the conformance checks.

use wardroom::{
    journal::Verified,
    store::{InboxKey, JobQuery, JobRow, Store, StoreError, Write},
};

/// Returns the open jobs, newest first.
pub(crate) async fn open_jobs(store: &dyn Store) -> Vec<JobRow> {
    store.jobs(&JobQuery { open: Some(true), ..JobQuery::default() }).await.expect("jobs")
}

/// Verifies the hash chain, and panics if it is not valid.
pub(crate) async fn verified(store: &dyn Store) -> Verified {
    wardroom::journal::verify(store, None).await.expect("a readable store").expect("a valid chain")
}

pub(crate) async fn commit(store: &dyn Store, writes: Vec<Write>) -> Vec<InboxKey> {
    store.commit(writes).await.expect("a commit")
}

pub(crate) async fn fails(store: &dyn Store, writes: Vec<Write>) -> String {
    match store.commit(writes).await {
        Err(StoreError::Failed(reason)) => reason,
        other => panic!("should have failed: {other:?}"),
    }
}

pub(crate) async fn ids(store: &dyn Store, query: JobQuery) -> Vec<String> {
    store.jobs(&query).await.expect("jobs").into_iter().map(|job| job.id).collect()
}
