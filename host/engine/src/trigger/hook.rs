//! What nobody types: `[[schedule]]` and `[[hook]]`. Each names the machine in whose name it acts and the room that sees it.
//!
//! Invariant: each time is one event of its room, named by the schedule and its moment or by the hook and its delivery; the
//! inbox takes an event once, so nothing is set off twice.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

use super::command_template::CommandTemplate;
use crate::{
    base::{At, SecretRef},
    model::{Person, RoomName},
};

/// A command that another machine announces over HTTP.
#[derive(Debug, Clone)]
pub struct Hook {
    /// Its name, the last part of its path.
    pub name: String,
    /// Where it stands.
    pub at: At,
    /// What it sets off.
    pub command: CommandTemplate,
    /// In whose name.
    pub machine: Person,
    /// Where it is seen.
    pub room: RoomName,
    /// The identity that does it; the one of the room if nothing is said.
    pub bot: Option<String>,
    /// How the sender proves itself.
    pub auth: HookAuth,
    /// The JSON pointer to each placeholder's value in the body.
    pub capture: BTreeMap<String, String>,
    /// What the body must have, by JSON pointers; what has something else is taken and sets nothing off.
    pub when: BTreeMap<String, Vec<String>>,
    /// The longest body, in bytes.
    pub most_bytes: usize,
    /// The most deliveries in a minute.
    pub most_a_minute: u32,
}

/// How the sender of a hook proves itself.
#[derive(Debug, Clone)]
pub enum HookAuth {
    /// `Authorization: Bearer`, or the bare token in a header of another name.
    Token {
        /// The token.
        token: SecretRef,
        /// The header, where it is another one.
        header: Option<String>,
        /// The header that names the delivery.
        delivery: String,
    },
    /// HMAC-SHA-256 of the body in `X-Hub-Signature-256`, as code hosts do. It says nothing of when it was made, so the very
    /// same body is taken once for as long as messages are kept.
    Hub {
        /// The context secret.
        secret: SecretRef,
    },
    /// HMAC-SHA-256 of id, time and body, as [Standard Webhooks](https://www.standardwebhooks.com) has it.
    Standard {
        /// The context secret: bytes, or `whsec_` and base64.
        secret: SecretRef,
        /// How far the sender's clock may be off.
        tolerance: Duration,
    },
}

/// Why a hook's body sets nothing off.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// It is about something that the operator left out by `when`.
    #[error("not one that this hook is for: {0}")]
    Other(String),
    /// A value is missing or is none.
    #[error("{0}")]
    Wrong(String),
}

/// A captured value that is longer is none, in characters.
const LONGEST_VALUE: usize = 256;

impl Hook {
    /// The values for the placeholders of its command.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub(crate) fn values(&self, body: &Value) -> Result<BTreeMap<String, String>, NotTaken> {
        for (pointer, wanted) in &self.when {
            let found = text(body, pointer);
            if !found.as_ref().is_some_and(|found| wanted.contains(found)) {
                return Err(NotTaken::Other(format!("{pointer} is not {}", wanted.join(" or "))));
            }
        }
        let mut values = BTreeMap::new();
        for (name, pointer) in &self.capture {
            let found = text(body, pointer)
                .ok_or_else(|| NotTaken::Wrong(format!("the body has no text or number at {pointer}")))?;
            let clean = crate::base::clean(&found);
            if found.is_empty() || clean != found || found.chars().count() > LONGEST_VALUE {
                let why = format!("what the body has at {pointer} is empty, too long or has signs that do not show");
                return Err(NotTaken::Wrong(why));
            }
            values.insert(name.clone(), found);
        }
        Ok(values)
    }
}

/// A text, number or truth value at a JSON pointer.
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
    fn values_come_from_where_the_operator_says() {
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
        assert!(matches!(hook.values(&json!({ "status": "failed" })), Err(NotTaken::Other(_))));
        for version in
            [json!(null), json!(""), json!("a\u{202e}b"), json!("a\nb"), json!(["x"]), json!("x".repeat(300))]
        {
            let body = json!({ "status": "success", "build": { "version": version } });
            assert!(matches!(hook.values(&body), Err(NotTaken::Wrong(_))), "{body}");
        }
    }
}
