//! What goes back to the room: [`Text`], closing lines, and the outbox that sends them.

mod closing;
mod notice;
mod outbox;
mod text;

pub(crate) use closing::{closing, emoji, moment, refusals, took, who_is};
pub(crate) use notice::{GAPS, gaps};
pub use notice::{Notice, Notices, Occasion};
pub use outbox::Outbox;
pub(crate) use outbox::{Account, LONGEST_SAID, Spot, TAKEN_UP, longest};
pub use text::{Block, Text, clean};
