//! The limits of one guest run, and the meter that counts what a guest uses and enforces the limits.

use std::time::Duration;

use serde::Serialize;
use wasmtime::ResourceLimiter;

use crate::{base::size, model::Limits};

/// The limit that a guest (a running plugin) reached, so that the host ended it. The value of a variant is the value of
/// the limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LimitReached {
    /// The size of the guest's memory: all linear memories together, in MiB. Also reported if a WebAssembly table has
    /// more than [`TABLE_ELEMENTS`] elements.
    #[error("it used more than {0} MiB of memory")]
    Memory(usize),
    /// The guest's processor time, counted in ticks of 10 ms.
    #[error("it used more than {} ms of processor time", .0.as_millis())]
    Cpu(Duration),
    /// The limit on the time from the start of the plugin's run to its end.
    #[error("it did not end within {} s", .0.as_secs())]
    Wall(Duration),
    /// The number of the guest's host calls.
    #[error("it made more than {0} host calls")]
    Calls(u32),
    /// The number of bytes that the guest passed to the host, in the arguments of host calls and in the guest's reply.
    #[error("it passed more than {0} bytes to the host")]
    BytesOut(usize),
    /// The number of bytes that host calls returned to the guest.
    #[error("its host calls returned more than {0} bytes")]
    BytesIn(usize),
    /// The size of the guest's stack, which limits the depth of its function calls.
    #[error("its function calls are nested too deeply")]
    Stack,
}

/// The resources that one guest has used, and their limits.
#[derive(Debug)]
pub(crate) struct Meter {
    limits: Limits,
    memory: usize,
    calls: u32,
    bytes_out: usize,
    bytes_in: usize,
    acts: u32,
}

impl Meter {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, memory: 0, calls: 0, bytes_out: 0, bytes_in: 0, acts: 0 }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns the number of host calls that the guest has made, including the current call. The number is the same on
    /// every replay.
    pub(crate) fn calls(&self) -> u32 {
        self.calls
    }

    /// Counts one host call and the bytes of its arguments.
    ///
    /// # Errors
    /// The guest exceeded a limit: [`LimitReached::Calls`] or [`LimitReached::BytesOut`]. The error ends the guest.
    pub(crate) fn call(&mut self, params: &impl Serialize) -> wasmtime::Result<()> {
        self.calls += 1;
        if self.calls > self.limits.calls {
            return Err(LimitReached::Calls(self.limits.calls).into());
        }
        self.bytes(size(params))
    }

    /// Counts an effect of the guest and returns `true`. If the guest has already made the maximum number of effects
    /// (the limit `acts`), counts nothing and returns `false`. The host then denies the host call, and the guest
    /// continues.
    pub(crate) fn act(&mut self) -> bool {
        let allowed = self.acts < self.limits.acts;
        self.acts += u32::from(allowed);
        allowed
    }

    /// Counts the bytes of the result that a host call returns to the guest.
    ///
    /// # Errors
    /// [`LimitReached::BytesIn`] if the guest exceeded this limit. The guest then ends.
    pub(crate) fn answer(&mut self, answer: &impl Serialize) -> wasmtime::Result<()> {
        self.bytes_in = self.bytes_in.saturating_add(size(answer));
        if self.bytes_in > self.limits.bytes_in {
            return Err(LimitReached::BytesIn(self.limits.bytes_in).into());
        }
        Ok(())
    }

    /// Counts bytes that the guest passed to the host.
    ///
    /// # Errors
    /// [`LimitReached::BytesOut`] if the guest exceeded this limit. The guest then ends.
    pub(crate) fn bytes(&mut self, bytes: usize) -> wasmtime::Result<()> {
        self.bytes_out = self.bytes_out.saturating_add(bytes);
        if self.bytes_out > self.limits.bytes_out {
            return Err(LimitReached::BytesOut(self.limits.bytes_out).into());
        }
        Ok(())
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        // Wasmtime calls this function for each memory separately. The limit applies to the sum of all memories.
        let sum = self.memory.saturating_add(desired.saturating_sub(current));
        if sum > self.limits.memory {
            return Err(LimitReached::Memory(self.limits.memory >> 20).into());
        }
        self.memory = sum;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired > TABLE_ELEMENTS {
            return Err(LimitReached::Memory(self.limits.memory >> 20).into());
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES
    }

    fn tables(&self) -> usize {
        MAX_TABLES
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES
    }
}

/// The maximum number of elements of one WebAssembly table. A guest that exceeds this number ends with
/// [`LimitReached::Memory`].
pub(crate) const TABLE_ELEMENTS: usize = 20_000;
/// The maximum number of core instances of one plugin's component. A component with more cannot run.
pub(crate) const MAX_INSTANCES: usize = 8;
/// The maximum number of WebAssembly tables of one plugin's component. A component with more cannot run.
pub(crate) const MAX_TABLES: usize = 4;
/// The maximum number of linear memories of one plugin's component. A component with more cannot run.
pub(crate) const MAX_MEMORIES: usize = 2;
