//! `access`: rights that are given and taken back in chat.
//!
//! A guest asks that what was typed be done, and says nothing of its own: person, app, environment, role and span of time
//! come from the command that the host parsed. It never grants what the file does not let people be added to, and never for
//! somebody who neither is an admin nor owns the app.

mod host;
mod target;

pub(crate) use host::{Grant, List, Revoke};
