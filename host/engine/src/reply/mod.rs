//! What goes back to the room: [`Text`], closing lines, and the outbox that sends them.

mod accounts;
mod closing;
mod notice;
mod outbox;
mod text;

pub(crate) use accounts::{Account, Spot};
pub(crate) use closing::{closing, emoji, moment, refusals, took, who_is};
pub(crate) use notice::{GAPS, gaps};
pub use notice::{Notice, Notices, Occasion};
pub use outbox::Outbox;
pub(crate) use outbox::{LONGEST_SAID, TAKEN_UP, longest};
pub use text::{Block, Text, clean};
