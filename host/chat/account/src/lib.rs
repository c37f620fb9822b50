//! Code that the chat adapters for Matrix, Mattermost and the console share. Pipeline backends and secret stores on HTTP
//! servers use a part of it: the server, the files and the responses.
//!
//! - Retries: [`RetrySchedule`] (one task that is retried), [`BackfillQueue`] (rooms to backfill), [`Outage`] (logs
//!   the outages of a server).
//! - Files: [`folder`] (private files that are written atomically), [`StateFile`] (a value in such a file).
//! - Responses: [`ResponseRule`] (the reaction to the error responses of a server).
//! - Rate limits: [`LimitRecord`] (when a server last limited an account).
//! - Engine: [`InboxWriter`] (stores messages, with retries), [`RoomMembership`] (whether the bot
//!   handles a room's messages).
//! - Server, with the feature `http`: [`read_server_url`], [`http_client`].
//! - Configuration: [`read_rooms`].
//! - Text: [`strip_quotes_and_code`], [`strip_leading_name`], [`check_prefix`], [`display_name`], [`mentioned_people`],
//!   [`error_chain`].
//! - Time: [`timestamp`].
//!
//! Not here: code that is specific to one network.

mod backfill_queue;
mod configured_rooms;
mod error_chain;
pub mod folder;
mod inbox_writer;
mod limit_record;
mod message_text;
mod outage;
mod response_rules;
mod retry_schedule;
mod room_membership;
#[cfg(feature = "http")]
mod server;
mod state_file;

pub use backfill_queue::BackfillQueue;
pub use configured_rooms::read_rooms;
pub use error_chain::error_chain;
pub use inbox_writer::InboxWriter;
pub use limit_record::LimitRecord;
pub use message_text::{
    check_prefix, display_name, mentioned_people, strip_indented_code, strip_leading_name, strip_quotes_and_code,
    timestamp,
};
pub use outage::Outage;
pub use response_rules::{Codes, ResponseRule};
pub use retry_schedule::RetrySchedule;
pub use room_membership::RoomMembership;
#[cfg(feature = "http")]
pub use server::{http_client, read_server_url};
pub use state_file::StateFile;
