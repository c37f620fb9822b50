//! Blobs: large bodies of journal entries that the store keeps outside of the entries, each under its digest.

use serde_json::{Value, json};

use crate::store::{Entry, Store, StoreError, Write, digest};

/// The maximum size in bytes of a body that is stored inside of the journal entry. A larger body is stored as a blob.
const MAX_INLINE_BODY: usize = 16 << 10;

impl Entry {
    /// Moves a body of more than 16 KiB out of the entry. The field `body` then contains only the size of the body, and
    /// the field `blob` its digest. Returns the change that the caller must commit to store the body as a blob. Returns
    /// `None` for a smaller body, which stays in the entry.
    pub fn pack(&mut self) -> Option<Write> {
        if crate::base::size(&self.body) <= MAX_INLINE_BODY {
            return None;
        }
        // Serialization cannot fail, because the body is a JSON value.
        let bytes = serde_json::to_vec(&self.body).unwrap_or_default();
        let digest = digest(&bytes);
        self.body = json!({ "bytes": bytes.len() });
        self.blob = Some(digest.clone());
        Some(Write::StoreBlob { digest, bytes })
    }

    /// Returns the body of the entry. Reads the body from `store` if the body is stored as a blob.
    ///
    /// # Errors
    /// [`StoreError::Failed`] if the blob is missing or was changed, or another [`StoreError`] if the blob cannot be
    /// read.
    pub async fn unpack(&self, store: &dyn Store) -> Result<Value, StoreError> {
        let Some(name) = &self.blob else { return Ok(self.body.clone()) };
        let broken = |what: &str| {
            StoreError::Failed(format!("the blob of journal entry {} of job {} {what}", self.number, self.job))
        };
        let bytes = store.blob(name).await?.ok_or_else(|| broken("is missing"))?;
        if digest(&bytes) != *name {
            return Err(broken("was changed"));
        }
        serde_json::from_slice(&bytes).map_err(|_| broken("cannot be read"))
    }
}
