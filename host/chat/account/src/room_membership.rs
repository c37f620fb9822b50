//! Whether the bot handles the messages of a room that its account has joined.

/// Whether the bot handles the messages of a joined room or channel. The value gives the people in the room no
/// permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomMembership {
    /// The bot handles the room's messages, for example because the configuration lists the room or an admin added the
    /// bot.
    Served,
    /// The bot skips the room's messages.
    Ignored,
    /// A lookup that decides whether the bot handles the room's messages has not succeeded yet. Until that lookup
    /// succeeds, the adapter neither handles nor skips the messages.
    Undecided,
}
