//! Whether the bot serves a room that its account is in.

/// The status of a room or channel. Being in a room gives nobody there a right; this says only whether messages are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomMembership {
    /// Messages are handled: the configuration lists the room, or an admin brought the bot there.
    Served,
    /// Messages are not handled.
    Ignored,
    /// A lookup is missing. Messages are neither handled nor skipped until it is done.
    Undecided,
}
