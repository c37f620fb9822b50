//! The mark that stands before a command in a text of the host or of a plugin, where people read it and may type it.
//!
//! Invariant: the mark is never shown. A text that is sent to a room has the prefix of the room's bot in its place; any
//! other text has nothing in its place.

/// The mark: a character for private use. The contract with plugins names it (`reply` in `wit/commands.wit`).
pub(crate) const PREFIX: &str = "\u{f8ff}";

/// Replaces each mark of a text with `prefix`.
pub(crate) fn with_prefix(text: &str, prefix: &str) -> String {
    text.replace(PREFIX, prefix)
}

/// Removes the marks of a text that is not sent to a room, for example of a line in the log.
pub(crate) fn without_marks(text: &str) -> String {
    with_prefix(text, "")
}
