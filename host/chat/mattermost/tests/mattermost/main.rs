//! A whole engine in a Mattermost channel, against a server in this process: what is typed is handled once, through
//! everything that can happen to a connection. The guests must be built (`cargo xtask guests`).

mod away;
mod breaks;
mod channels;
mod direct;
mod people;
mod rig;
mod said;
mod storm;
mod untold;
