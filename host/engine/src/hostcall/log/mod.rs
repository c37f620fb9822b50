//! `log`: lines for the operator's log, with plugin and job before them. Never for the room.

mod host;

pub(crate) use crate::hostcall::log::host::Write;
