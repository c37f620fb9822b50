//! A delivery to a hook: the headers and the body of an authenticated HTTP request, and the values in them.

use std::{collections::BTreeMap, fmt};

use crate::base::{JsonError, JsonPointer, JsonValue, RawJson};

/// Headers with which a sender marks a message that only tests the connection, each with its value.
const PINGS: [(&str, &str); 5] = [
    ("x-github-event", "ping"),
    // Bitbucket Data Center. The body is empty or `{"test": true}`.
    ("x-event-key", "diagnostics:ping"),
    ("x-gitea-event", "ping"),
    ("x-forgejo-event", "ping"),
    ("x-discourse-event", "ping"),
];

/// An authenticated delivery, which [`Engine::deliver`](crate::engine::Engine::deliver) accepts.
#[derive(Debug, Clone)]
pub struct Delivery<'d> {
    id: Option<String>,
    headers: BTreeMap<String, String>,
    body: &'d str,
}

impl<'d> Delivery<'d> {
    /// Creates a delivery with a JSON body.
    pub fn new(body: &'d str) -> Self {
        Self { id: None, headers: BTreeMap::new(), body }
    }

    /// Sets the idempotency key of the delivery. Only the key of a hook with a signature is set in this way: it must be
    /// covered by the signature.
    #[must_use]
    pub fn with_id(self, id: impl Into<String>) -> Self {
        Self { id: Some(id.into()), ..self }
    }

    /// Adds a header of the request. A header that the request has twice must not be added, because the sender and the
    /// host could use different values.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.insert(name.to_ascii_lowercase(), value.into());
        self
    }

    pub(crate) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(&name.to_ascii_lowercase()).map(String::as_str)
    }

    /// Returns whether the sender only tests the connection, so that the delivery starts nothing.
    pub(crate) fn is_ping(&self) -> bool {
        PINGS.iter().any(|(name, value)| self.header(name) == Some(value))
    }

    /// Returns the body; `None` if the body is not JSON.
    pub(crate) fn json(&self) -> Option<RawJson<'d>> {
        RawJson::parse(self.body)
    }
}

/// The place of a value in a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ValueSource {
    Body(JsonPointer),
    /// The name of a header.
    Header(String),
}

impl ValueSource {
    /// Returns the value at this place; `None` if the delivery has none. A header is a text.
    ///
    /// # Errors
    /// The reason why the value cannot be read, as a sentence without a full stop.
    pub(crate) fn read(&self, delivery: &Delivery<'_>, body: RawJson<'_>) -> Result<Option<JsonValue>, String> {
        match self {
            Self::Header(name) => Ok(delivery.header(name).map(|value| JsonValue::Text(value.to_owned()))),
            Self::Body(pointer) => body.at(pointer).map_err(|error| match error {
                JsonError::DuplicateKey(key) => {
                    let key = crate::base::clean(&key);
                    format!("{self} is ambiguous, because an object has the key `{key}` twice")
                }
                JsonError::NotText => format!("{self} cannot be read, because the body has an invalid escape"),
            }),
        }
    }
}

/// The description of the value for messages, for example ``the value at `/ref` in the body``.
impl fmt::Display for ValueSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body(pointer) => write!(f, "the value at `{}` in the body", pointer.as_str()),
            Self::Header(name) => write!(f, "the header `{name}`"),
        }
    }
}
