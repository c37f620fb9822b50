//! All tests of the whole host, in one binary. What they need is in environment variables that `cargo xtask test` sets.

mod coverage;
mod crash;
mod durable;
mod freezes;
mod hostile;
mod http;
mod identities;
mod jobs;
mod parity;
mod restart;
mod shutdown;
mod triggers;
mod stories;
// What the tests above stand on.
mod running_host;
mod test_host;
mod journal;
mod workspace;

mod live_matrix;
mod readme;
