//! People on chat networks, and the form of their names in messages.

use serde::{Deserialize, Serialize};

/// A person on a chat network, with an id and a display name.
///
/// ```
/// use wardroom::prelude::*;
///
/// let bob = Person { id: "@bob:example.org".into(), name: "Bob".into() };
/// assert_eq!(bob.id, "@bob:example.org");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Person {
    /// The immutable id that the network assigns, for example `@bob:example.org`. Rights depend on the id only.
    pub id: String,
    /// The display name. A person's rights do not depend on the display name, because anybody can choose any name.
    pub name: String,
}

impl Person {
    /// Creates a person whose display name is the id.
    pub fn named_by_id(id: impl Into<String>) -> Self {
        let id = id.into();
        Self { name: id.clone(), id }
    }
}

/// Returns the local part of a person's id: `bob` of `@bob:example.org`. Returns an id without `@` unchanged.
pub(crate) fn local_part(id: &str) -> &str {
    id.strip_prefix('@').map_or(id, |rest| rest.split_once(':').map_or(rest, |(local, _)| local))
}

/// Formats a person's name and id for messages: `Bob (@bob:example.org)`. The id reveals a person who uses the display
/// name of another person.
pub(crate) fn name_and_id(id: &str, name: &str) -> String {
    let (id, name) = (crate::base::clean(id), crate::base::clean(name));
    // Do not repeat the id if the name begins with it.
    let by_id = name.strip_prefix(&id).is_some_and(|rest| rest.is_empty() || rest.starts_with(','));
    match (name.is_empty(), by_id) {
        (true, _) => id,
        (_, true) => name,
        _ => format!("{name} ({id})"),
    }
}
