//! Tests of an engine with a Mattermost account, against a fake server in this process: each command is handled once,
//! whatever happens to the connection. Build the test plugins first (`cargo xtask guests`).

mod channels;
mod connections;
mod direct_messages;
mod harness;
mod limits;
mod missed_posts;
mod names;
mod people;
mod permissions;
mod sending;
mod stress;
mod unknown_authors;
