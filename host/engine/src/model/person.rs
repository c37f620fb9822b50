//! A person on a chat network.

use serde::{Deserialize, Serialize};

/// A person on a chat network.
///
/// ```
/// use wardroom::prelude::*;
///
/// let bob = Person { id: "@bob:example.org".into(), name: "Bob".into() };
/// assert_eq!(bob.id, "@bob:example.org");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Person {
    /// The network's immutable id. Rights depend on this only.
    pub id: String,
    /// The display name. It is for display only, because anybody can choose any name.
    pub name: String,
}

impl Person {
    /// A person whose name is their id.
    pub fn named_by_id(id: impl Into<String>) -> Self {
        let id = id.into();
        Self { name: id.clone(), id }
    }
}

/// The local part of an id: `bob` of `@bob:example.org`.
pub(crate) fn handle(id: &str) -> &str {
    id.strip_prefix('@').map_or(id, |rest| rest.split_once(':').map_or(rest, |(local, _)| local))
}

/// A person's display name and id, for messages. The id prevents impersonation by display name.
pub(crate) fn who_is(id: &str, name: &str) -> String {
    let (id, name) = (crate::base::clean(id), crate::base::clean(name));
    // A name that is the id is shown once.
    let by_id = name.strip_prefix(&id).is_some_and(|rest| rest.is_empty() || rest.starts_with(','));
    match (name.is_empty(), by_id) {
        (true, _) => id,
        (_, true) => name,
        _ => format!("{name} ({id})"),
    }
}
