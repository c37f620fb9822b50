//! A record of the last time at which a server limited the messages of an account, for `wardroom check --connect`.

use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use wardroom::{Timestamp, adapter::SendError};

use crate::folder;

const FILE: &str = "rate-limit.json";
/// The minimum time between two writes of the record, in seconds.
const INTERVAL: i64 = 600;

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Content {
    last: Timestamp,
}

/// Writes the record of an account to a file in the account's state folder.
#[derive(Debug)]
pub struct LimitRecord {
    path: PathBuf,
    written: Mutex<Option<Timestamp>>,
}

impl LimitRecord {
    /// Creates the record of the account whose state folder is `folder`. Writes nothing.
    pub fn new(folder: &Path) -> Self {
        Self { path: folder.join(FILE), written: Mutex::default() }
    }

    /// Records the time of a failed send, if the server limited the account. A record that cannot be written is left
    /// out, because it is only information.
    pub fn note(&self, sent: &Result<String, SendError>) {
        if !matches!(sent, Err(SendError::Later { after: Some(_), .. })) {
            return;
        }
        let now = Timestamp::now();
        let mut written = self.written.lock();
        if written.is_none_or(|last| now.as_second() - last.as_second() >= INTERVAL) {
            *written = Some(now);
            if let Err(error) = folder::write_json(&self.path, &Content { last: now }) {
                tracing::debug!(path = %self.path.display(), %error, "cannot write the record of the rate limit");
            }
        }
    }

    /// Returns a line about the rate limit of an account for `check --connect`. `lift` says how an administrator of the
    /// server lifts the limit.
    pub fn describe(folder: &Path, account: &str, lift: &str) -> String {
        match folder::read_json(&folder.join(FILE)) {
            Ok(Some(Content { last })) => format!(
                "the server limited the messages of {account}, the last time at {}; {lift}",
                last.strftime("%Y-%m-%d %H:%M UTC")
            ),
            _ => format!("the server has not limited the messages of {account} so far; if it does, {lift}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_a_rate_limit_is_recorded() {
        let folder = tempfile::tempdir().expect("a folder");
        let record = LimitRecord::new(folder.path());
        let later = |after| Err(SendError::Later { after, reason: "429".to_owned() });
        for sent in [Ok("$1".to_owned()), later(None), Err(SendError::Never { reason: "403".to_owned() })] {
            record.note(&sent);
        }
        let text = || LimitRecord::describe(folder.path(), "@marvin:x", "ask an admin");
        assert_eq!(text(), "the server has not limited the messages of @marvin:x so far; if it does, ask an admin");
        record.note(&later(Some(Duration::from_secs(5))));
        let text = text();
        assert!(text.starts_with("the server limited the messages of @marvin:x, the last time at 2"), "{text}");
        assert!(text.ends_with(" UTC; ask an admin"), "{text}");
    }
}
