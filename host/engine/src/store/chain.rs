//! Computes the hashes of journal entries, audit records and links of the hash chain. All stores use these functions
//! and compute the same hashes.

use sha2::{Digest as _, Sha256};

use super::{
    jobs::{JobEnd, JobRow},
    journal::{AuditRecord, Entry, Link},
    messages::InboxKey,
};

/// Returns the SHA-256 digest of bytes: `sha256:` and 64 hexadecimal digits.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// Shortens a digest to `sha256:` and 12 hexadecimal digits, for messages.
pub(crate) fn short_digest(digest: &str) -> &str {
    const LENGTH: usize = "sha256:".len() + 12;
    &digest[..digest.floor_char_boundary(LENGTH)]
}

impl Entry {
    /// Returns one hash over this journal entry and `before`, the hash of the previous entry. `before` is empty for the
    /// job's first entry.
    pub fn hash(&self, before: &str) -> String {
        hash(before, self)
    }
}

impl Link {
    /// Returns one hash over `before`, the hash of the previous link, and all fields of this link except `hash`.
    /// `before` is empty for the first link.
    pub fn hash_after(&self, before: &str) -> String {
        hash(before, &(self.number, self.kind, &self.subject, &self.digest, self.at))
    }

    /// Returns the digest of the row of a message, a grant, a freeze, an account at an identity provider or a release.
    pub fn row_digest(row: &impl serde::Serialize) -> String {
        hash("", row)
    }
}

impl JobRow {
    /// Returns one hash over `first`, the hash of the job's first journal entry, and all fields of the row that never
    /// change: all except `status` and `end`.
    pub fn opening_digest(&self, first: &str) -> String {
        let origin = (&self.inbox, &self.thread, &self.bot, &self.caller, &self.parent, &self.overrides, self.opened);
        let command = (&self.plugin, &self.digest, &self.command, &self.app, &self.environment, &self.line);
        hash(first, &(&self.id, origin, command))
    }
}

impl JobEnd {
    /// Returns one hash over `last`, the hash of the job's last journal entry, and the end.
    pub fn closing_digest(&self, last: &str) -> String {
        hash(last, self)
    }
}

impl InboxKey {
    /// Returns the key as the subject of a [`Link`]: a JSON object with the fields in the order of their declaration.
    pub fn subject(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl AuditRecord {
    /// Returns the digest of a group of audit records, in order: 64 hexadecimal digits.
    pub fn group_digest<'r>(records: impl IntoIterator<Item = &'r Self>) -> String {
        let mut hasher = Sha256::new();
        for record in records {
            hasher.update(hash("", record).as_bytes());
        }
        hex::encode(hasher.finalize())
    }
}

/// Returns the SHA-256 of the previous hash, a line feed, and the JSON of a value. The JSON has the fields in the order
/// of their declaration.
fn hash(before: &str, value: &impl serde::Serialize) -> String {
    // Serialization cannot fail, because the keys of these types are strings.
    let json = serde_json::to_vec(value).unwrap_or_default();
    hex::encode(Sha256::new().chain_update(before).chain_update("\n").chain_update(json).finalize())
}
