//! The hashes of the journal and its chain. Pure, so every store computes the same hashes.

use sha2::{Digest as _, Sha256};

use super::journal::{AuditRecord, Entry, Link};

/// The digest of bytes: `sha256:` and 64 hexadecimal digits.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// The first 12 digits of a digest, with `sha256:` before them. For people.
pub(crate) fn short_digest(digest: &str) -> &str {
    const LENGTH: usize = "sha256:".len() + 12;
    &digest[..digest.floor_char_boundary(LENGTH)]
}

/// The hash of an entry. `before` is the hash of the job's previous entry, or empty for the first one.
pub fn entry_hash(before: &str, entry: &Entry) -> String {
    hash(before, entry)
}

/// The hash of a link. `before` is the hash of the previous link, or empty for the first one. The link's own `hash` is
/// not part of it.
pub fn link_hash(before: &str, link: &Link) -> String {
    hash(before, &(link.number, link.kind, &link.subject, &link.digest, link.at))
}

/// The digest of a group of audit records, from their [`line_digest`]s.
pub fn lines_digest(lines: impl IntoIterator<Item = String>) -> String {
    let mut hasher = Sha256::new();
    for line in lines {
        hasher.update(line.as_bytes());
    }
    hex::encode(hasher.finalize())
}

/// The digest of one audit record.
pub fn line_digest(line: &AuditRecord) -> String {
    hash("", line)
}

/// The SHA-256 of the previous hash, a line feed, and the JSON of a value with its fields in the order of the type.
fn hash(before: &str, value: &impl serde::Serialize) -> String {
    let mut hasher = Sha256::new();
    hasher.update(before.as_bytes());
    hasher.update(b"\n");
    // Serialization cannot fail: the keys of these types are strings.
    let _ = serde_json::to_writer(Writer(&mut hasher), value);
    hex::encode(hasher.finalize())
}

struct Writer<'h>(&'h mut Sha256);

impl std::io::Write for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
