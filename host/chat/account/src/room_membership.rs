//! Whether the bot serves a room that its account has joined.

/// Whether the bot handles the messages of a joined room or channel. Being in a room that the bot serves gives a person
/// no permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomMembership {
    /// The bot handles the room's messages, for example because the configuration lists the room or an admin added the
    /// bot.
    Served,
    /// The bot skips the room's messages.
    Ignored,
    /// The adapter cannot decide yet, because a lookup has not succeeded. Until it succeeds, the adapter neither
    /// handles nor skips the room's messages.
    Undecided,
}
