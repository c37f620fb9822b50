//! `kill -9` at every place where the host reads, writes, sends or starts something: after the next start nothing is lost,
//! nothing was done twice, and everybody was told once.
//!
//! The host counts its own places and kills itself at one of them (its feature `crash-points`), so a run can be aimed.
//! Not here: crashes in one process over twins in memory, which are far more (`durable`).

mod stored_state;
mod approval;
mod broken;
mod calls;
mod random;
mod changes;
mod command;
mod session;
mod matrix;
mod mattermost;
mod points;
mod soak;
