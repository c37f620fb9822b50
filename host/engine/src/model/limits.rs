//! The resource limits of a plugin.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The limits of one run of a plugin. A run ends at the next wait. It includes the replay of all earlier calls of the
/// job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// The linear memory in bytes, as the sum over all memories of the plugin.
    pub memory: usize,
    /// The CPU time, which the runtime rounds up to its tick.
    pub cpu: Duration,
    /// The wall-clock time of the run.
    pub wall: Duration,
    /// The maximum number of host calls.
    pub calls: u32,
    /// The maximum bytes of the arguments and results that the plugin passes to the host.
    pub bytes_out: usize,
    /// The maximum bytes of the results that the plugin receives from the host, in their serialized form.
    pub bytes_in: usize,
    /// The maximum number of effects: allowed calls that change something outside.
    pub acts: u32,
}

impl Limits {
    /// The highest memory limit that the configuration accepts, in MiB. It is the size of a slot in the instance pool.
    pub const MOST_MEMORY_MIB: usize = 64;

    /// The limits of the plugin's export `describe`, which may make no host calls.
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
