//! What is too large for an entry stands beside it, under its digest.

use serde_json::{Value, json};

use crate::store::{Entry, Store, StoreError, Write, digest};

/// A body of more bytes than this stands beside its entry.
const LARGEST: usize = 16 << 10;

/// Puts a large body beside its entry. The entry then holds its digest and its size, and the write keeps it.
pub fn pack(entry: &mut Entry) -> Option<Write> {
    if crate::base::size(&entry.body) <= LARGEST {
        return None;
    }
    // Values are always JSON.
    let bytes = serde_json::to_vec(&entry.body).unwrap_or_default();
    let digest = digest(&bytes);
    entry.body = json!({ "bytes": bytes.len() });
    entry.beside = Some(digest.clone());
    Some(Write::Keep { digest, bytes })
}

/// The body of an entry, wherever it stands.
///
/// # Errors
/// [`StoreError::Failed`] where what should stand beside is missing or is not what it was.
pub async fn unpack(store: &dyn Store, entry: &Entry) -> Result<Value, StoreError> {
    let Some(name) = &entry.beside else { return Ok(entry.body.clone()) };
    let broken = |what: &str| {
        StoreError::Failed(format!("what stands beside entry {} of job {} {what}", entry.number, entry.job))
    };
    let bytes = store.beside(name).await?.ok_or_else(|| broken("is missing"))?;
    if digest(&bytes) != *name {
        return Err(broken("was changed"));
    }
    serde_json::from_slice(&bytes).map_err(|_| broken("cannot be read"))
}
