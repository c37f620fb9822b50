//! Jobs under a crash at every call, in one process with in-memory adapters and store. The speed allows far more
//! crashes than processes on disk would.
//!
//! Not here: real processes and disks (`crash`), the text that people read (`stories`).

mod approvals;
mod capability;
mod direct_messages;
mod freezes;
mod in_doubt;
mod locks;
mod replay;
// Used by the tests above.
mod harness;
