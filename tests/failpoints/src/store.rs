//! The crash points around writes to the store.

use async_trait::async_trait;
use wardroom::store::{EntryKind, StoreError, Write};
use wardroom_tests::hooked::StoreHooks;

use crate::points::Points;

#[async_trait]
impl StoreHooks for &'static Points {
    /// The name of the crash points around a list of writes.
    type Pending = String;

    async fn before_commit(&self, writes: &[Write]) -> Result<String, StoreError> {
        let name = format!("commit {}", name(writes));
        self.reach(&format!("before {name}"));
        Ok(name)
    }

    async fn after_commit(&self, name: String) {
        self.reach(&format!("after {name}"));
    }

    fn before_note(&self, writes: &[Write]) -> Result<String, StoreError> {
        let name = format!("note {}", name(writes));
        self.reach(&format!("before {name}"));
        Ok(name)
    }

    fn after_note(&self, name: String) {
        self.reach(&format!("after {name}"));
    }
}

/// The kinds of the writes of a list, without consecutive duplicates: `open+enter:invocation+done+say`.
fn name(writes: &[Write]) -> String {
    let mut words: Vec<&str> =
        writes.iter().flat_map(|write| [word(write)].into_iter().chain(announced(write))).collect();
    words.dedup();
    if words.is_empty() { "nothing".to_owned() } else { words.join("+") }
}

/// The message that announces a row of [`Write::ReceiveOnce`].
fn announced(write: &Write) -> Option<&'static str> {
    matches!(write, Write::ReceiveOnce { announcements, .. } if !announcements.is_empty()).then_some("say")
}

fn word(write: &Write) -> &'static str {
    match write {
        Write::Receive(_) | Write::ReceiveOnce { .. } => "receive",
        Write::Handled(_) => "done",
        Write::SetCursor(_) => "mark",
        Write::Send(_) => "say",
        Write::Sent { .. } => "sent",
        Write::Open(_) => "open",
        Write::JobStatus { .. } => "stand",
        Write::Lock { .. } => "take",
        Write::Unlock { .. } => "untake",
        Write::Close { .. } => "close",
        Write::StoreBlob { .. } => "keep",
        Write::AuditRecord(_) => "line",
        Write::Release(_) => "release",
        Write::Grant(_) => "grant",
        Write::Revoke(_) => "revoke",
        Write::Freeze(_) => "freeze",
        Write::LinkIdentity(_) => "link",
        Write::Unfreeze(_) => "thaw",
        Write::SetValue { .. } => "set",
        Write::DeleteValue { .. } => "delete",
        Write::Append(entry) => match entry.kind {
            EntryKind::Invocation => "enter:invocation",
            EntryKind::Call => "enter:call",
            EntryKind::Intent => "enter:intent",
            EntryKind::Wait => "enter:wait",
            EntryKind::Result => "enter:result",
            EntryKind::Denied => "enter:denied",
            EntryKind::Event => "enter:event",
            EntryKind::End => "enter:end",
            EntryKind::Closed => "enter:closed",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_named_by_its_kinds_of_writes() {
        let set = || Write::SetValue { plugin: "deploy".into(), key: "k".into(), value: Vec::new() };
        let delete = Write::DeleteValue { plugin: "deploy".into(), key: "k".into() };
        assert_eq!(name(&[set(), set(), delete]), "set+delete");
        assert_eq!(name(&[]), "nothing");
    }
}
