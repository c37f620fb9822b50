//! The resource limits of a plugin.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The resource limits of one run of a plugin. The run ends when the plugin waits or when the command ends. When a job
/// continues after a wait, a new run first replays the job's earlier host calls. The replay counts toward the limits of
/// the new run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// The maximum linear memory in bytes, as the sum over all memories of the plugin.
    pub memory: usize,
    /// The maximum CPU time of the run. The runtime measures the time in ticks, and rounds this limit up to a whole
    /// number of ticks.
    pub cpu: Duration,
    /// The maximum wall-clock time of the run of the plugin.
    pub wall: Duration,
    /// The maximum number of host calls in the run.
    pub calls: u32,
    /// The maximum total number of bytes that the plugin passes to the host in the run: the arguments of all host
    /// calls, and the results of the plugin itself.
    pub bytes_out: usize,
    /// The maximum total number of bytes that all host calls of the run return to the plugin, in serialized form.
    pub bytes_in: usize,
    /// The maximum number of effects in the run: allowed host calls that change something outside of the plugin.
    pub acts: u32,
}

impl Limits {
    /// The highest memory limit in MiB that an operator can configure. Each slot of Wasmtime's memory pool has this
    /// size.
    pub const MAX_MEMORY_MIB: usize = 64;

    /// The limits for the function `describe`, which every plugin exports and in which it may make no host calls.
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
