//! `log`: lines for the operator's log, with plugin and job before them. Never for the room.

mod host;

pub(super) use host::Write;
