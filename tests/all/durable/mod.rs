//! Jobs under crashes at every call, in one process over twins in memory: so many that no kill of a real host could try them.
//!
//! Not here: real processes and disks (`crash`), and what a person sees (`stories`).

mod approvals;
mod direct;
mod doubt;
mod harness;
mod places;
mod replay;
mod windows;
