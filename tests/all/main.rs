//! All tests of the whole host, in one binary. What they need is in environment variables that `cargo xtask test` sets.

mod book;
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
mod starters;
mod stories;
// What the tests above stand on.
mod host;
mod house;
mod journal;
mod office;

mod live_matrix;
