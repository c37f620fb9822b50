//! What one invocation may use, and the meter that counts it.

use std::time::Duration;

use serde::Serialize;
use wasmtime::ResourceLimiter;

use crate::{base::size, model::Limits};

/// A limit that an invocation reached. It ends there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LimitReached {
    /// Memory.
    #[error("it used more than {0} MiB of memory")]
    Memory(usize),
    /// Processor time.
    #[error("it used more than {} ms of processor time", .0.as_millis())]
    Cpu(Duration),
    /// Wall time.
    #[error("it did not end within {} s", .0.as_secs())]
    Wall(Duration),
    /// Host calls.
    #[error("it made more than {0} calls")]
    Calls(u32),
    /// Bytes handed to the host.
    #[error("it handed over more than {0} bytes")]
    BytesOut(usize),
    /// Bytes handed to it.
    #[error("it asked for more than {0} bytes")]
    BytesIn(usize),
    /// The depth of its own calls.
    #[error("it called itself too deeply")]
    Stack,
}

/// Counts what one invocation uses.
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
    /// A meter at zero.
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, memory: 0, calls: 0, bytes_out: 0, bytes_in: 0, acts: 0 }
    }

    /// The limits.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How many calls were made.
    pub(crate) fn calls(&self) -> u32 {
        self.calls
    }

    /// Counts one call and the bytes of its arguments.
    pub(crate) fn call(&mut self, params: &impl Serialize) -> wasmtime::Result<()> {
        self.calls += 1;
        if self.calls > self.limits.calls {
            return Err(LimitReached::Calls(self.limits.calls).into());
        }
        self.bytes(size(params))
    }

    /// Counts an effect; false where there were enough.
    pub(crate) fn act(&mut self) -> bool {
        let allowed = self.acts < self.limits.acts;
        self.acts += u32::from(allowed);
        allowed
    }

    /// Counts an answer that the guest is given.
    pub(crate) fn answer(&mut self, answer: &impl Serialize) -> wasmtime::Result<()> {
        self.bytes_in = self.bytes_in.saturating_add(size(answer));
        if self.bytes_in > self.limits.bytes_in {
            return Err(LimitReached::BytesIn(self.limits.bytes_in).into());
        }
        Ok(())
    }

    /// Counts bytes that the guest handed over.
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
        // Wasmtime asks for each memory by itself: the sum is what a plugin is allowed.
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
        MOST_INSTANCES
    }

    fn tables(&self) -> usize {
        MOST_TABLES
    }

    fn memories(&self) -> usize {
        MOST_MEMORIES
    }
}

/// The most elements of one table.
pub(crate) const TABLE_ELEMENTS: usize = 20_000;
/// The most core instances of one component.
pub(crate) const MOST_INSTANCES: usize = 8;
/// The most tables of one component.
pub(crate) const MOST_TABLES: usize = 4;
/// The most memories of one component.
pub(crate) const MOST_MEMORIES: usize = 2;
