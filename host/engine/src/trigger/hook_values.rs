//! Reads the values of a delivery: the conditions of its hook, the values of the placeholders, and the idempotency key.
//!
//! Invariant: a value is the text that the sender wrote. Numbers keep their digits.

use std::collections::BTreeMap;

use super::{
    delivery::{Delivery, ValueSource},
    hook::{Capture, DeliveryKey, Hook},
};
use crate::base::{JsonValue, RawJson};

/// The maximum length of a captured value, in characters.
const MAX_VALUE_CHARS: usize = 256;
/// The maximum length of a header that is a part of an idempotency key, in characters.
const MAX_KEY_HEADER_CHARS: usize = 256;
/// The maximum length of a value in the body that is a part of an idempotency key, in characters. The group key of an
/// alert contains all labels of the group.
const MAX_KEY_VALUE_CHARS: usize = 16 << 10;

const NEEDED: &str = "; the command needs a string or a number there";

/// The reason why a delivery does not start the hook's command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HookRejection {
    /// The delivery is not one for which the hook starts its command: a test of the connection, a value that `when` does
    /// not accept, or a value that a pattern of `capture` does not match.
    NotMatched(String),
    /// The body is not JSON, or a value that `capture` or `delivery` names is missing or not valid.
    Invalid(String),
}

/// The values of a hook's placeholders.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Captured {
    pub values: BTreeMap<String, String>,
    /// The placeholders whose value is `true` or `false`, each with the description of the value. They can fill only a
    /// parameter of that type.
    pub booleans: BTreeMap<String, String>,
    /// The idempotency key; `None` if each delivery starts the command.
    pub key: Option<String>,
}

impl Hook {
    /// Checks the conditions of the hook, and reads the values of its placeholders and the idempotency key.
    ///
    /// # Errors
    /// [`HookRejection`].
    pub(crate) fn read(&self, delivery: &Delivery<'_>) -> Result<Captured, HookRejection> {
        if delivery.is_ping() {
            return Err(HookRejection::NotMatched("the sender tests the connection; this starts no command".into()));
        }
        let body = delivery.json().ok_or_else(|| HookRejection::Invalid("the body is not JSON".into()))?;
        for (source, wanted) in &self.when {
            let found = source.read(delivery, body).map_err(HookRejection::Invalid)?.and_then(comparable);
            if !found.is_some_and(|found| wanted.contains(&found)) {
                let wanted = wanted.join("` or `");
                return Err(HookRejection::NotMatched(format!("{source} is not `{wanted}`")));
            }
        }
        let mut captured = Captured::default();
        for (name, capture) in &self.capture {
            let (value, is_boolean) = capture.read(delivery, body)?;
            captured.values.insert(name.clone(), value);
            if is_boolean {
                captured.booleans.insert(name.clone(), capture.source.to_string());
            }
        }
        captured.key = self.key(delivery, body)?;
        Ok(captured)
    }

    /// Returns the idempotency key.
    fn key(&self, delivery: &Delivery<'_>, body: RawJson<'_>) -> Result<Option<String>, HookRejection> {
        let missing = |source: &ValueSource, most: usize| {
            HookRejection::Invalid(format!("{source} must contain the delivery's id: 1 to {most} characters"))
        };
        match &self.key {
            DeliveryKey::Each => Ok(None),
            DeliveryKey::Signed => {
                let missing = || HookRejection::Invalid("the delivery has no signed id".into());
                delivery.id().map(|id| Some(id.to_owned())).ok_or_else(missing)
            }
            DeliveryKey::Values(sources) => {
                let mut parts = Vec::new();
                for source in sources {
                    let most = match source {
                        ValueSource::Header(_) => MAX_KEY_HEADER_CHARS,
                        ValueSource::Body(_) => MAX_KEY_VALUE_CHARS,
                    };
                    let value = source.read(delivery, body).map_err(HookRejection::Invalid)?.and_then(comparable);
                    let value = value.filter(|value| !value.is_empty() && value.chars().count() <= most);
                    parts.push(value.ok_or_else(|| missing(source, most))?);
                }
                // With the lengths, different lists of values never give the same key.
                Ok(Some(match parts.as_slice() {
                    [only] => only.clone(),
                    several => several.iter().map(|part| format!("{}:{part}", part.len())).collect(),
                }))
            }
        }
    }
}

impl Capture {
    /// Returns the value, and whether it is `true` or `false`.
    fn read(&self, delivery: &Delivery<'_>, body: RawJson<'_>) -> Result<(String, bool), HookRejection> {
        let source = &self.source;
        let invalid = |why: &str| HookRejection::Invalid(format!("{source} {why}"));
        // With a pattern, the hook takes a part of the deliveries. A sender that also sends other events must not see
        // an error for them.
        let absent = |why: &str| match self.pattern {
            Some(_) => HookRejection::NotMatched(format!("{source} {why}")),
            None => invalid(&format!("{why}{NEEDED}")),
        };
        let (found, is_boolean) = match source.read(delivery, body).map_err(HookRejection::Invalid)? {
            Some(JsonValue::Text(text) | JsonValue::Number(text)) => (text, false),
            Some(JsonValue::Boolean(value)) => (value.to_string(), true),
            Some(JsonValue::Array) => return Err(invalid(&format!("is an array{NEEDED}"))),
            Some(JsonValue::Object) => return Err(invalid(&format!("is an object{NEEDED}"))),
            Some(JsonValue::Null) => return Err(absent("is null")),
            None => return Err(absent("is missing")),
        };
        let value = match &self.pattern {
            None => found,
            Some(pattern) => match pattern.captures(&found).and_then(|groups| groups.get(1)) {
                Some(group) => group.as_str().to_owned(),
                None => return Err(HookRejection::NotMatched(format!("{source} does not match the pattern"))),
            },
        };
        if value.is_empty() || crate::base::clean(&value) != value || value.chars().count() > MAX_VALUE_CHARS {
            let why = format!("is empty, has more than {MAX_VALUE_CHARS} characters, or contains invisible characters");
            return Err(invalid(&why));
        }
        // With a pattern, the value is a part of a text that the operator has described.
        Ok((value, is_boolean && self.pattern.is_none()))
    }
}

/// Returns a value as the text to compare: a string, the digits of a number, or `true` or `false`. Returns `None` for
/// null, arrays and objects.
fn comparable(value: JsonValue) -> Option<String> {
    match value {
        JsonValue::Text(text) | JsonValue::Number(text) => Some(text),
        JsonValue::Boolean(value) => Some(value.to_string()),
        JsonValue::Null | JsonValue::Array | JsonValue::Object => None,
    }
}

#[cfg(test)]
mod tests;
