//! The resource limits of a plugin.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The limits of one run of a plugin. A run lasts until the next wait, and includes the replay of everything before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Linear memory in bytes, summed over all memories.
    pub memory: usize,
    /// CPU time, rounded up to the runtime's tick.
    pub cpu: Duration,
    /// Wall-clock time of one run. A wait ends the run.
    pub wall: Duration,
    /// The number of host calls.
    pub calls: u32,
    /// The bytes that it passes to the host in arguments and results.
    pub bytes_out: usize,
    /// The bytes that it receives from the host in results, in their serialized form.
    pub bytes_in: usize,
    /// The number of effects: acting calls that were allowed.
    pub acts: u32,
}

impl Limits {
    /// The maximum memory of a plugin, in MiB: the size of a slot in the instance pool.
    pub const MOST_MEMORY_MIB: usize = 64;

    /// The limits of `describe`, which makes no host calls.
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
