//! `[[hook]]`: commands that another system triggers over HTTP.
//!
//! Invariant: each delivery is one event in its room, identified by the hook and the delivery's id. The inbox stores an
//! event once, so a delivery is never handled twice.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

use super::command_template::CommandTemplate;
use crate::{
    base::{At, SecretRef},
    model::{Person, RoomName},
};

/// A `[[hook]]` table.
#[derive(Debug, Clone)]
pub struct Hook {
    /// Its name, the last part of its path.
    pub name: String,
    /// Its position in the configuration.
    pub at: At,
    /// The command that it starts.
    pub command: CommandTemplate,
    /// The machine as which the command runs.
    pub machine: Person,
    /// The room that shows the command.
    pub room: RoomName,
    /// The bot that runs the command; the room's bot if it is not set.
    pub bot: Option<String>,
    /// How deliveries are authenticated.
    pub auth: HookAuth,
    /// The JSON pointers of the placeholders' values in the body.
    pub capture: BTreeMap<String, String>,
    /// The required values, by JSON pointer. A delivery with other values is accepted and starts nothing.
    pub when: BTreeMap<String, Vec<String>>,
    /// The maximum size of a body, in bytes.
    pub most_bytes: usize,
    /// The maximum number of deliveries per minute.
    pub most_a_minute: u32,
}

/// The authentication of deliveries.
#[derive(Debug, Clone)]
pub enum HookAuth {
    /// A bearer token in `Authorization`, or the bare token in another header.
    Token {
        /// The expected token.
        token: SecretRef,
        /// The header, if it is not `Authorization`.
        header: Option<String>,
        /// The header with the delivery's id.
        delivery: String,
    },
    /// HMAC-SHA-256 of the body in `X-Hub-Signature-256`, as code hosts send it. The signature has no time, so an
    /// identical body is accepted once for as long as messages are kept.
    Hub {
        /// The shared secret.
        secret: SecretRef,
    },
    /// HMAC-SHA-256 of id, time and body, as defined by [Standard Webhooks](https://www.standardwebhooks.com).
    Standard {
        /// The shared secret: bytes, or `whsec_` and base64.
        secret: SecretRef,
        /// The maximum difference to the sender's clock.
        tolerance: Duration,
    },
}

/// Why a delivery starts nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HookRejection {
    /// Its values are not those of `when`.
    #[error("the delivery does not match the hook's `when`: {0}")]
    NotMatched(String),
    /// A value is missing or not valid.
    #[error("{0}")]
    Invalid(String),
}

/// The maximum length of a captured value, in characters.
const LONGEST_VALUE: usize = 256;

impl Hook {
    /// The values of the command's placeholders.
    ///
    /// # Errors
    /// [`HookRejection`].
    pub(crate) fn values(&self, body: &Value) -> Result<BTreeMap<String, String>, HookRejection> {
        for (pointer, wanted) in &self.when {
            let found = text(body, pointer);
            if !found.as_ref().is_some_and(|found| wanted.contains(found)) {
                return Err(HookRejection::NotMatched(format!("{pointer} is not {}", wanted.join(" or "))));
            }
        }
        let mut values = BTreeMap::new();
        for (name, pointer) in &self.capture {
            let found = text(body, pointer)
                .ok_or_else(|| HookRejection::Invalid(format!("the body has no text or number at {pointer}")))?;
            let clean = crate::base::clean(&found);
            if found.is_empty() || clean != found || found.chars().count() > LONGEST_VALUE {
                let why =
                    format!("the value at {pointer} in the body is empty, too long or contains invisible characters");
                return Err(HookRejection::Invalid(why));
            }
            values.insert(name.clone(), found);
        }
        Ok(values)
    }
}

/// The string, number or boolean at a JSON pointer.
fn text(body: &Value, pointer: &str) -> Option<String> {
    match body.pointer(pointer)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_read_at_the_configured_pointers() {
        let hook = Hook {
            name: "build".into(),
            at: At { file: "plugins.toml".into(), line: 1 },
            command: CommandTemplate::new("deploy cms staging {version}").unwrap(),
            machine: Person::named_by_id("machine:ci"),
            room: RoomName { network: None, name: "#ops".into() },
            bot: None,
            auth: HookAuth::Hub { secret: SecretRef::Env("S".into()) },
            capture: BTreeMap::from([("version".to_owned(), "/build/version".to_owned())]),
            when: BTreeMap::from([("/status".to_owned(), vec!["success".to_owned()])]),
            most_bytes: 1,
            most_a_minute: 1,
        };
        let good = hook.values(&json!({ "status": "success", "build": { "version": "1.0.3" } })).unwrap();
        assert_eq!(good["version"], "1.0.3");
        assert!(matches!(hook.values(&json!({ "status": "failed" })), Err(HookRejection::NotMatched(_))));
        for version in
            [json!(null), json!(""), json!("a\u{202e}b"), json!("a\nb"), json!(["x"]), json!("x".repeat(300))]
        {
            let body = json!({ "status": "success", "build": { "version": version } });
            assert!(matches!(hook.values(&body), Err(HookRejection::Invalid(_))), "{body}");
        }
    }
}
