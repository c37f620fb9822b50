//! `chat`: words in the job's own thread, and a word on its status card.
//!
//! A guest never speaks in another room, never as somebody else, and never in markup.

mod host;

pub(crate) use host::{Say, Stage};
