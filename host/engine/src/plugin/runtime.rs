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

/// The number of unused memory slots that keep the image and the touched pages of their last guest, so that the next
/// guest of the same plugin starts faster.
const WARM_SLOTS: u32 = 32;

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
                .max_unused_warm_slots(WARM_SLOTS);
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

    /// A guest that looks for what an earlier guest left, and leaves something everywhere. `leftovers` counts what is
    /// not in its initial state: words of the memory, elements of the table, and globals. `segments` traps if a segment
    /// was dropped. `soil` changes all of them.
    const PRYING: &str = r#"(module
        (memory $memory (export "memory") 20 64)
        (table $functions 10 300 funcref)
        (global $number (mut i32) (i32.const 7))
        (global $function (mut funcref) (ref.null func))
        (data (i32.const 1048576) "SEED")
        (data $passive "later")
        (elem $elements func $soil)
        (func (export "leftovers") (result i32) (local $at i32) (local $found i32)
            ;; The words of the memory that are not zero, except for the one with the data.
            (loop $words
                (local.set $found (i32.add (local.get $found) (i64.ne (i64.load (local.get $at)) (i64.const 0))))
                (local.set $at (i32.add (local.get $at) (i32.const 8)))
                (br_if $words (i32.lt_u (local.get $at) (i32.mul (memory.size) (i32.const 65536)))))
            (local.set $found (i32.sub (local.get $found) (i32.const 1)))
            (local.set $found (i32.add (local.get $found) (i32.ne (i32.load (i32.const 1048576)) (i32.const DATA))))
            ;; Elements of the table. Each is null at first.
            (local.set $at (i32.const 0))
            (loop $elements
                (if (i32.eqz (ref.is_null (table.get $functions (local.get $at))))
                    (then (local.set $found (i32.add (local.get $found) (i32.const 1)))))
                (local.set $at (i32.add (local.get $at) (i32.const 1)))
                (br_if $elements (i32.lt_u (local.get $at) (table.size $functions))))
            (local.set $found (i32.add (local.get $found) (i32.ne (global.get $number) (i32.const 7))))
            (local.set $found (i32.add (local.get $found) (i32.eqz (ref.is_null (global.get $function)))))
            (local.get $found))
        (func (export "sizes") (result i32 i32) (memory.size) (table.size $functions))
        (func (export "grow")
            (drop (memory.grow (i32.const 10)))
            (drop (table.grow $functions (ref.null func) (i32.const 200))))
        (func (export "segments")
            ;; Both trap if the segment was dropped. They restore what they overwrite.
            (memory.init $passive (i32.const 0) (i32.const 0) (i32.const 5))
            (memory.fill (i32.const 0) (i32.const 0) (i32.const 5))
            (table.init $functions $elements (i32.const 0) (i32.const 0) (i32.const 1))
            (table.set $functions (i32.const 0) (ref.null func)))
        (func $soil (export "soil") (param $bytes i32)
            (memory.fill (i32.const 0) (i32.const 255) (local.get $bytes))
            (memory.fill (i32.const 1048576) (i32.const 255) (i32.const 9))
            (memory.fill (i32.const 1638400) (i32.const 255) (i32.const 9))
            (table.fill $functions (i32.const 0) (ref.func $soil) (table.size $functions))
            (global.set $number (i32.const 42))
            (global.set $function (ref.func $soil))
            (data.drop $passive)
            (elem.drop $elements)))"#;

    /// Runs the guest [`PRYING`] in `count` instances at one time. Each first finds nothing, then soils `bytes` bytes.
    fn pry(engine: &Engine, module: &Module, count: usize, bytes: i32) {
        let run = |_| {
            let mut store = Store::new(engine, ());
            store.set_epoch_deadline(1);
            let guest = Instance::new(&mut store, module, &[]).unwrap();
            let leftovers = guest.get_typed_func::<(), i32>(&mut store, "leftovers").unwrap();
            let sizes = guest.get_typed_func::<(), (i32, i32)>(&mut store, "sizes").unwrap();
            assert_eq!(sizes.call(&mut store, ()).unwrap(), (20, 10));
            assert_eq!(leftovers.call(&mut store, ()).unwrap(), 0, "before it grows");
            guest.get_typed_func::<(), ()>(&mut store, "segments").unwrap().call(&mut store, ()).unwrap();
            guest.get_typed_func::<(), ()>(&mut store, "grow").unwrap().call(&mut store, ()).unwrap();
            assert_eq!(sizes.call(&mut store, ()).unwrap(), (30, 210));
            assert_eq!(leftovers.call(&mut store, ()).unwrap(), 0, "after it has grown");
            guest.get_typed_func::<i32, ()>(&mut store, "soil").unwrap().call(&mut store, bytes).unwrap();
            assert!(leftovers.call(&mut store, ()).unwrap() > 200, "the guest finds its own traces");
            store
        };
        drop((0..count).map(run).collect::<Vec<_>>());
    }

    #[test]
    fn a_guest_finds_nothing_of_an_earlier_guest_of_any_plugin() {
        for memory in [Memory::Pool, Memory::OnDemand] {
            let engine = Engine::new(&config(memory)).unwrap();
            // Two plugins with different data at the same address.
            let [one, other] = ["seed", "SEED"].map(|data| {
                let number = i32::from_le_bytes(data.as_bytes().try_into().unwrap());
                let text = PRYING.replace("SEED", data).replace("DATA", &number.to_string());
                Module::new(&engine, wat::parse_str(text).unwrap()).unwrap()
            });
            // More guests at one time than the pool keeps slots for one plugin, so that the plugins get each other's
            // slots. Few soiled bytes are zeroed by wasmtime, many are unmapped.
            let count = WARM_SLOTS as usize + 8;
            for bytes in [1, 3 << 12, 1 << 20] {
                for module in [&one, &other, &one] {
                    pry(&engine, module, count, bytes);
                }
            }
        }
    }
}
