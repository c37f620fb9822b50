//! What goes back to the room: [`Text`], closing lines, and the outbox that sends them.

mod closing;
mod outbox;
mod text;

pub(crate) use closing::{closing, emoji, moment, refusals, took, who_is};
pub use outbox::Outbox;
pub(crate) use outbox::{Account, Spot, longest};
pub use text::{Block, Text, clean};
