//! All tests of the whole host, in one binary. `cargo xtask test` sets the environment variables that they need.

mod book;
mod coverage;
mod crash;
mod deliveries;
mod durable;
mod freezes;
mod hostile;
mod http;
mod identities;
mod jobs;
mod linked_accounts;
mod locked_files;
mod parity;
mod pipelines;
mod restart;
mod shutdown;
mod stories;
mod suggestions;
mod triggers;
mod unknown_commands;
mod vault;
mod webhooks;
// The following modules support the tests.
mod journal;
mod running_host;
mod test_host;
mod test_workspace;

mod live_matrix;
