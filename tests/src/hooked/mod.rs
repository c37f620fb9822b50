//! Chats and pipelines systems that call hooks around the methods of others, for crash points and simulated crashes.
//!
//! Invariant: the wrappers change no argument, no result and no order.
//! Not here: the store's wrapper, which is [`wardroom::store::HookedStore`].

mod chat;
mod pipelines;

pub use chat::{ChatHooks, HookedChat, HookedChatFactory};
pub use pipelines::{HookedPipelines, HookedPipelinesFactory, PipelinesHooks};
