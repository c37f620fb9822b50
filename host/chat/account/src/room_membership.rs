//! Whether the bot serves a room that its account has joined.

/// Whether the bot handles the messages of a joined room or channel. This gives nobody in the room a permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomMembership {
    /// The bot handles messages, because the configuration lists the room or an admin added the bot.
    Served,
    /// The bot does not handle messages.
    Ignored,
    /// The adapter cannot decide yet, because a lookup has not succeeded. Until then it neither handles nor skips
    /// messages.
    Undecided,
}
