//! A store, chats and pipeline systems that call hooks around the methods of others, for crash points and simulated
//! crashes.
//!
//! Invariant: the wrappers change no argument, no result and no order.

mod chat;
mod pipelines;
mod store;

pub use chat::{ChatHooks, HookedChat, HookedChatFactory};
pub use pipelines::{HookedPipelines, HookedPipelinesFactory, PipelinesHooks};
pub use store::{HookedStore, StoreHooks};
