//! Blobs: a body that is too large for its entry is stored separately, under its digest.

use serde_json::{Value, json};

use crate::store::{Entry, Store, StoreError, Write, digest};

/// The maximum size of a body in its entry, in bytes.
const LARGEST: usize = 16 << 10;

/// Moves a large body into a blob. The entry then has the blob's digest and size, and the returned write stores the
/// blob.
pub fn pack(entry: &mut Entry) -> Option<Write> {
    if crate::base::size(&entry.body) <= LARGEST {
        return None;
    }
    // Serialization cannot fail: the body is a JSON value.
    let bytes = serde_json::to_vec(&entry.body).unwrap_or_default();
    let digest = digest(&bytes);
    entry.body = json!({ "bytes": bytes.len() });
    entry.blob = Some(digest.clone());
    Some(Write::StoreBlob { digest, bytes })
}

/// The body of an entry, read from its blob if it has one.
///
/// # Errors
/// [`StoreError::Failed`] if the blob is missing or was changed.
pub async fn unpack(store: &dyn Store, entry: &Entry) -> Result<Value, StoreError> {
    let Some(name) = &entry.blob else { return Ok(entry.body.clone()) };
    let broken =
        |what: &str| StoreError::Failed(format!("the blob of entry {} of job {} {what}", entry.number, entry.job));
    let bytes = store.blob(name).await?.ok_or_else(|| broken("is missing"))?;
    if digest(&bytes) != *name {
        return Err(broken("was changed"));
    }
    serde_json::from_slice(&bytes).map_err(|_| broken("cannot be read"))
}
