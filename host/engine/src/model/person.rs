//! Messages as they come in: who wrote what where, whether it was meant for the bot, and the inbox that keeps it.

use serde::{Deserialize, Serialize};

/// Somebody on a chat network.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Person {
    /// The network's own immutable id. Rights hang on this alone.
    pub id: String,
    /// What people call them. For the eye only: anybody can call themselves anything.
    pub name: String,
}

impl Person {
    /// Somebody who goes by their id.
    pub fn named_by_id(id: impl Into<String>) -> Self {
        let id = id.into();
        Self { name: id.clone(), id }
    }
}

/// The part of an id that people know: `bob` of `@bob:example.org`.
pub(crate) fn handle(id: &str) -> &str {
    id.strip_prefix('@').map_or(id, |rest| rest.split_once(':').map_or(rest, |(local, _)| local))
}

/// Somebody in words that nobody else can make theirs: what people call them, and their id.
pub(crate) fn who_is(id: &str, name: &str) -> String {
    let (id, name) = (crate::base::clean(id), crate::base::clean(name));
    // Whoever goes by their own id needs it once.
    let by_id = name.strip_prefix(&id).is_some_and(|rest| rest.is_empty() || rest.starts_with(','));
    match (name.is_empty(), by_id) {
        (true, _) => id,
        (_, true) => name,
        _ => format!("{name} ({id})"),
    }
}
