//! The contract's types, generated from `wit/`. Functions are not registered here: each row of the call table registers
//! its own function.

#![allow(missing_docs, unreachable_pub, reason = "made by a macro; the contract in `wit/` documents every line")]

wasmtime::component::bindgen!({
    path: "wit",
    world: "wardroom:plugin/plugin",
    imports: { default: async },
    exports: { default: async },
    additional_derives: [serde::Serialize, serde::Deserialize, PartialEq],
});

pub use self::exports::wardroom::plugin::commands;
pub use self::wardroom::plugin::{access, catalog, chat, clock, jobs, log, pipelines, store, types};
