//! The hashes that hold the journal together. Pure, so that every store computes the same ones.

use sha2::{Digest as _, Sha256};

use super::journal::{AuditRecord, Entry, Link};

/// The name of some bytes: `sha256:` and 64 hexadecimal digits.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// The beginning of a digest, enough to tell two apart: `sha256:` and 12 digits.
pub fn short_digest(digest: &str) -> &str {
    const LENGTH: usize = "sha256:".len() + 12;
    &digest[..digest.floor_char_boundary(LENGTH)]
}

/// The hash of an entry behind the one with the hash `before` (empty for the first of a job).
pub fn entry_hash(before: &str, entry: &Entry) -> String {
    hash(before, entry)
}

/// The hash of a link behind the one with the hash `before` (empty for the first). Its own hash is left out.
pub fn link_hash(before: &str, link: &Link) -> String {
    hash(before, &(link.number, link.kind, &link.subject, &link.digest, link.at))
}

/// What a link says of its lines, from the [`line_digest`]s of all of them.
pub fn lines_digest(lines: impl IntoIterator<Item = String>) -> String {
    let mut hasher = Sha256::new();
    for line in lines {
        hasher.update(line.as_bytes());
    }
    hex::encode(hasher.finalize())
}

/// The digest of one line.
pub fn line_digest(line: &AuditRecord) -> String {
    hash("", line)
}

/// The hash before, a line end, and the JSON of a value, whose fields stand in the order of its type.
fn hash(before: &str, value: &impl serde::Serialize) -> String {
    let mut hasher = Sha256::new();
    hasher.update(before.as_bytes());
    hasher.update(b"\n");
    // Writing these types as JSON cannot fail: their keys are texts.
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
