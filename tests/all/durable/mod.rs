//! Runs jobs with a crash at every call, in one process with in-memory adapters and store. This is much faster than
//! processes on disk, so that more crashes can be tested.
//!
//! Not here: real processes and disks (`crash`), the text that people read (`stories`).

mod approvals;
mod capability;
mod direct_messages;
mod freezes;
mod harness;
mod in_doubt;
mod locks;
mod replay;
mod rights;
mod wall_limit;
