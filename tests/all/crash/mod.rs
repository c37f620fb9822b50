//! Kills the host at every point where it reads, writes, sends or starts something. After the next start nothing is
//! lost, no effect happened twice, and each message was sent once.
//!
//! The binary `failpoints` is the host with crash points: it logs them and kills itself at one of them.
//! Not here: the larger number of crashes in one process with in-memory stores (`durable`).

mod approval;
mod broken;
mod calls;
mod changes;
mod command;
mod matrix;
mod mattermost;
mod pipelines;
mod points;
mod random;
mod session;
mod soak;
mod stored_state;
