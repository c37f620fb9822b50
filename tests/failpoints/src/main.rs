//! The binary `failpoints`: the host `wardroom` with a crash point before and after each call of an adapter or the
//! store.
//!
//! `WARDROOM_CRASH_LOG=FILE` appends the name of each crash point that is reached. `WARDROOM_CRASH_AT=POINT` kills the
//! process with SIGKILL at a crash point, given by its number (`17`) or by its name and count (`after commit sent#2`).
//!
//! Invariant: without these variables, the binary behaves like `wardroom`.

mod chat;
mod pipelines;
mod points;
mod store;

use std::{process::ExitCode, sync::Arc};

use wardroom::{EngineBuilder, store::Store};
use wardroom_cli::Instrument;
use wardroom_tests::hooked::{HookedChatFactory, HookedPipelinesFactory, HookedStore};

use points::Points;

fn main() -> ExitCode {
    wardroom_cli::main(&Failpoints)
}

/// Adds crash points to the adapters and the store of the host.
struct Failpoints;

impl Instrument for Failpoints {
    fn builder(&self, builder: EngineBuilder) -> EngineBuilder {
        let Some(points) = Points::of_process() else { return builder };
        builder
            .map_chats(move |factory| Arc::new(HookedChatFactory::new(factory, points)))
            .map_pipelines(move |factory| Arc::new(HookedPipelinesFactory::new(factory, points)))
    }

    fn store(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        match Points::of_process() {
            Some(points) => Arc::new(HookedStore::new(store, points)),
            None => store,
        }
    }
}
