//! Incoming and outgoing messages: inbox, addressing, outbox, destinations, notifications, reply limits.

mod accounts;
mod addressing;
mod delivery;
mod inbox;
mod lane;
mod notices;
mod outbox;
mod pace;
mod reply_limiter;
mod signs;
mod thread_command;
mod undeliverable;

pub(crate) use accounts::{Account, Destination};
pub(crate) use addressing::Addressing;
pub(crate) use inbox::{AccountInbox, Arrival, Deduplication, Listener, may_have_unsent_request};
pub(crate) use notices::{Notice, NoticeEvent, Notices, PLACEHOLDERS};
pub(crate) use outbox::{MAX_PLUGIN_TEXT_LENGTH, Outbox, longest};
pub(crate) use reply_limiter::ReplyLimiter;
pub(crate) use signs::{Reactions, Signs, UnknownCommand};
