//! What one invocation of a plugin may use.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The limits of one run of a plugin: of a command, or of the part of one between two waits with all before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Linear memory, in bytes, summed over all memories.
    pub memory: usize,
    /// Time on the processor, rounded up to the runtime's tick.
    pub cpu: Duration,
    /// Time from start to end of one run of it; each wait ends that run.
    pub wall: Duration,
    /// Host calls.
    pub calls: u32,
    /// Bytes that it hands to the host in arguments and answers.
    pub bytes_out: usize,
    /// Bytes that the host hands to it in answers, as they are written down.
    pub bytes_in: usize,
    /// Effects: acting calls that were allowed.
    pub acts: u32,
}

impl Limits {
    /// The most memory that a plugin can be given, in MiB: the size of a slot of the pool.
    pub const MOST_MEMORY_MIB: usize = 64;

    /// What `describe` may use: it looks at nothing and asks for nothing.
    pub const DESCRIBE: Self = Self {
        memory: 16 << 20,
        cpu: Duration::from_millis(500),
        wall: Duration::from_secs(5),
        calls: 0,
        bytes_out: 256 << 10,
        bytes_in: 0,
        acts: 0,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 32 << 20,
            cpu: Duration::from_secs(1),
            wall: Duration::from_secs(30),
            calls: 1_000,
            bytes_out: 1 << 20,
            bytes_in: 16 << 20,
            acts: 16,
        }
    }
}
