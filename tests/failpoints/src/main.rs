//! The binary `failpoints`: the host `wardroom` with a crash point before and after each call of an adapter or the
//! store.
//!
//! `WARDROOM_CRASH_LOG=FILE` appends the name of each crash point that is reached. `WARDROOM_CRASH_AT=POINT` kills the
//! process with SIGKILL at a crash point: the one of that number (`17`), or that one of a name (`after commit sent#2`).
//!
//! Invariant: nothing else differs from `wardroom`, and without these variables nothing differs at all.

mod chat;
mod pipelines;
mod points;
mod store;

use std::{process::ExitCode, sync::Arc};

use wardroom::{
    EngineBuilder,
    store::{HookedStore, Store},
};
use wardroom_cli::Instrument;
use wardroom_tests::hooked::{HookedChatFactory, HookedPipelinesFactory};

use points::Points;

fn main() -> ExitCode {
    wardroom_cli::main(&Failpoints)
}

/// Puts the crash points of this process around the parts of the host.
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
