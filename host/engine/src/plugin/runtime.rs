//! The wasmtime engine that runs all plugins: its configuration and its clock. No other module configures wasmtime.

use std::{sync::Arc, time::Duration};

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, WasmBacktraceDetails,
};

use super::limits::{MAX_INSTANCES, MAX_MEMORIES, MAX_TABLES, TABLE_ELEMENTS};
use crate::model::Limits;

/// The interval of the engine's clock. At every tick, a running guest yields, and the host checks the processor time of
/// the guest.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// The maximum number of guests that run at one time, for queries and jobs together. Each further guest starts when a
/// running guest ends.
pub(crate) const MAX_GUESTS: u32 = 256;

/// The size of a guest's stack, in bytes. The stack limits how deeply the guest can nest function calls.
const GUEST_STACK: usize = 512 << 10;

/// The way in which the engine allocates memory for guests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Memory {
    /// Guests use slots of a memory pool that the host reserves when it starts. A pool is faster than
    /// [`Memory::OnDemand`], but needs a large address space.
    Pool,
    /// The operating system maps new memory for each guest.
    OnDemand,
}

/// Returns the wasmtime configuration. All engines of this crate use this configuration, so that the compiled code in
/// the cache is valid for the next process.
pub(crate) fn config(memory: Memory) -> Config {
    // 1. Interruption, the stack, deterministic results and the allowed WebAssembly features.
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(GUEST_STACK)
        .async_stack_size(GUEST_STACK + (512 << 10))
        .cranelift_opt_level(OptLevel::Speed)
        .cranelift_nan_canonicalization(true)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(12))
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .memory_init_cow(true)
        .wasm_component_model(true)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .wasm_wide_arithmetic(false)
        .concurrency_support(false);
    // 2. Memory.
    match memory {
        Memory::OnDemand => config.allocation_strategy(InstanceAllocationStrategy::OnDemand),
        Memory::Pool => {
            let mut pool = PoolingAllocationConfig::new();
            // The pool has room for the maximum of every guest, so that no guest can exhaust the share of another.
            pool.total_component_instances(MAX_GUESTS)
                .total_core_instances(MAX_GUESTS * MAX_INSTANCES as u32)
                .total_memories(MAX_GUESTS * MAX_MEMORIES as u32)
                .total_tables(MAX_GUESTS * MAX_TABLES as u32)
                .total_stacks(MAX_GUESTS)
                .max_core_instances_per_component(MAX_INSTANCES as u32)
                .max_memories_per_component(MAX_MEMORIES as u32)
                .max_tables_per_component(MAX_TABLES as u32)
                .max_memory_size(Limits::MAX_MEMORY_MIB << 20)
                .table_elements(TABLE_ELEMENTS)
                // Wasmtime keeps up to 64 KiB of a slot mapped and zeroes them, which is cheaper than a system call.
                .linear_memory_keep_resident(64 << 10)
                // A Rust guest writes mostly to the pages around the address 1 MiB, where its stack ends and its data
                // begins. Linux 6.7 and later report the written pages, so wasmtime zeroes only these pages and unmaps
                // none. This saves a third of the time of a query.
                .pagemap_scan(Enabled::Auto)
                .async_stack_keep_resident(64 << 10)
                .table_keep_resident(16 << 10)
                .max_unused_warm_slots(32);
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        }
    };
    config
}

/// The wasmtime engine that runs all plugins of a host, and the engine's clock thread. The thread ends when the last
/// clone of the runtime is dropped.
#[derive(Clone)]
pub(crate) struct Runtime {
    engine: Engine,
    // The drop of the last clone closes the channel, which ends the clock thread.
    _clock: Arc<std::sync::mpsc::SyncSender<()>>,
}

impl Runtime {
    /// Creates an engine with [`Memory::Pool`], or with [`Memory::OnDemand`] if the address space is too small for the
    /// pool.
    ///
    /// # Errors
    /// Fails if wasmtime cannot create the engine, or if the clock thread cannot start.
    pub(crate) fn new() -> wasmtime::Result<Self> {
        Self::with_memory(Memory::Pool).or_else(|error| {
            tracing::warn!(
                error = format!("{error:#}"),
                "cannot reserve the memory pool for plugins; commands of plugins start more slowly; hint: raise the \
                 limit on the address space (`ulimit -v`)"
            );
            Self::with_memory(Memory::OnDemand)
        })
    }

    /// Creates an engine that allocates guest memory as `memory` says, and starts the engine's clock thread.
    ///
    /// # Errors
    /// Fails if wasmtime cannot create the engine, for example because the address space of the memory pool cannot be
    /// reserved. Also fails if the clock thread cannot start.
    pub(crate) fn with_memory(memory: Memory) -> wasmtime::Result<Self> {
        let engine = Engine::new(&config(memory))?;
        let (clock, ended) = std::sync::mpsc::sync_channel::<()>(0);
        let weak = engine.weak();
        std::thread::Builder::new()
            .name("wardroom-clock".to_owned())
            .spawn(move || {
                // The channel closes when the last `Runtime` is dropped.
                while let Err(std::sync::mpsc::RecvTimeoutError::Timeout) = ended.recv_timeout(TICK) {
                    match weak.upgrade() {
                        Some(engine) => engine.increment_epoch(),
                        None => return,
                    }
                }
            })
            .map_err(wasmtime::Error::from)?;
        Ok(Self { engine, _clock: Arc::new(clock) })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime::{Instance, Module, Store};

    #[test]
    fn a_guest_gets_no_data_of_an_earlier_guest() {
        let text = r#"(module (memory (export "memory") 20 64) (data (i32.const 1048576) "seed"))"#;
        let bytes = wat::parse_str(text).unwrap();
        for memory in [Memory::Pool, Memory::OnDemand] {
            let engine = Engine::new(&config(memory)).unwrap();
            let module = Module::new(&engine, &bytes).unwrap();
            // Wasmtime zeroes a few touched pages itself and unmaps many. The next guest must get fresh memory in both
            // cases.
            for dirty in [3_usize, 1 << 10, 1 << 20, usize::MAX, 0] {
                let mut store = Store::new(&engine, ());
                store.set_epoch_deadline(1);
                let instance = Instance::new(&mut store, &module, &[]).unwrap();
                let memory = instance.get_memory(&mut store, "memory").unwrap();
                let data = memory.data(&store);
                assert_eq!(data.len(), 20 << 16);
                assert_eq!(&data[1 << 20..][..4], b"seed");
                assert_eq!(data.iter().filter(|byte| **byte != 0).count(), 4);
                memory.grow(&mut store, 10).unwrap();
                let data = memory.data_mut(&mut store);
                assert!(data[20 << 16..].iter().all(|byte| *byte == 0));
                for at in [0, 1 << 20, 25 << 16] {
                    let end = data.len().min(dirty.saturating_add(at));
                    data[at..end].fill(0xff);
                }
            }
        }
    }
}
