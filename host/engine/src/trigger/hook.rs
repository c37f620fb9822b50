//! `[[hook]]`: commands that another system triggers with HTTP requests (deliveries).
//!
//! Invariant: each delivery is one event in the hook's room. The event id contains the hook's name and the delivery's
//! id. The inbox stores each event id once, so a delivery is never handled twice.

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
    /// The hook's name, which is the last part of its URL path.
    pub name: String,
    /// The file and line of the table, for configuration problems.
    pub at: At,
    /// The command that a delivery starts.
    pub command: CommandTemplate,
    /// The machine account that counts as the sender of the command. The command runs with the rights of this account.
    pub machine: Person,
    /// The room that shows the command and its reply.
    pub room: RoomName,
    /// The name of the bot that runs the command; `None` for the bot whose account table names the room.
    pub bot: Option<String>,
    /// The authentication of deliveries.
    pub auth: HookAuth,
    /// For each placeholder of the command, the JSON pointer to its value in the delivery's body, such as
    /// `/build/version`.
    pub capture: BTreeMap<String, String>,
    /// The condition for starting the command: for each JSON pointer, the accepted values at this position of the
    /// delivery's body. If the body has another value, the host still accepts the delivery, but does not start the
    /// command.
    pub when: BTreeMap<String, Vec<String>>,
    /// The maximum size of a delivery's body, in bytes.
    pub most_bytes: usize,
    /// The maximum number of deliveries per minute.
    pub most_a_minute: u32,
}

/// The method by which a hook authenticates deliveries.
#[derive(Debug, Clone)]
pub enum HookAuth {
    /// A secret token: `Bearer TOKEN` in the header `Authorization`, or the token alone in another header.
    Token {
        /// The expected token.
        token: SecretRef,
        /// The header with the token; `None` for `Authorization`.
        header: Option<String>,
        /// The header with the delivery's id, by which the host deduplicates deliveries.
        delivery: String,
    },
    /// HMAC-SHA-256 of the body in the header `X-Hub-Signature-256`, as GitHub and compatible services send it. The
    /// signature contains no time. An attacker could therefore replay a delivery, so the host accepts an identical body
    /// only once within the retention period of messages.
    Hub {
        /// The secret that the sender and the host share.
        secret: SecretRef,
    },
    /// HMAC-SHA-256 of the delivery's id, time and body, as defined by [Standard
    /// Webhooks](https://www.standardwebhooks.com).
    Standard {
        /// The secret that the sender and the host share. After the prefix `whsec_`, the secret is in base64; without the
        /// prefix, the text itself is the secret.
        secret: SecretRef,
        /// The maximum difference between the signed time of a delivery and the host's clock.
        tolerance: Duration,
    },
}

/// The reason why a delivery does not start the hook's command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HookRejection {
    /// A value in the body is not among the values that the hook's `when` accepts.
    NotMatched(String),
    /// A value that `capture` names is missing from the body or is not valid, or a value that `capture` or `when` names
    /// is a number whose exact digits are unknown.
    Invalid(String),
}

const MAX_VALUE_CHARS: usize = 256;

impl Hook {
    /// Reads the values of the command's placeholders from the body of a delivery. The keys of the result are the names
    /// of the placeholders.
    ///
    /// # Errors
    /// [`HookRejection`].
    pub(crate) fn values(&self, body: &Value) -> Result<BTreeMap<String, String>, HookRejection> {
        for (pointer, wanted) in &self.when {
            let found = text(body, pointer)?;
            if !found.as_ref().is_some_and(|found| wanted.contains(found)) {
                return Err(HookRejection::NotMatched(format!(
                    "the value at `{pointer}` in the body is not `{}`",
                    wanted.join("` or `")
                )));
            }
        }
        let mut values = BTreeMap::new();
        for (name, pointer) in &self.capture {
            let found = text(body, pointer)?.ok_or_else(|| {
                HookRejection::Invalid(format!("the body has no string, number or boolean at `{pointer}`"))
            })?;
            let clean = crate::base::clean(&found);
            if found.is_empty() || clean != found || found.chars().count() > MAX_VALUE_CHARS {
                let reason = format!(
                    "the value at `{pointer}` in the body is empty, has more than {MAX_VALUE_CHARS} characters, or \
                     contains invisible characters"
                );
                return Err(HookRejection::Invalid(reason));
            }
            values.insert(name.clone(), found);
        }
        Ok(values)
    }
}

/// Returns the string, integer or boolean at a JSON pointer, as text; `None` for null, arrays, objects and a missing
/// value.
///
/// # Errors
/// The value is a number that is not an integer of 64 bits. The parser keeps only the nearest binary number of such a
/// number, so `1.10` would become the text `1.1`.
fn text(body: &Value, pointer: &str) -> Result<Option<String>, HookRejection> {
    match body.pointer(pointer) {
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(Value::Bool(yes)) => Ok(Some(yes.to_string())),
        Some(Value::Number(number)) if number.as_i64().is_some() || number.as_u64().is_some() => {
            Ok(Some(number.to_string()))
        }
        Some(Value::Number(_)) => Err(HookRejection::Invalid(format!(
            "the number at `{pointer}` in the body is not an integer of 64 bits, and the host cannot read its exact \
             digits; send the value as a string, for example \"1.10\""
        ))),
        None | Some(Value::Null | Value::Array(_) | Value::Object(_)) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hook() -> Hook {
        Hook {
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
        }
    }

    #[test]
    fn values_are_read_at_the_configured_pointers() {
        let hook = hook();
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

    #[test]
    fn a_number_is_accepted_only_if_its_digits_are_exact() {
        let mut hook = hook();
        let body = |status: &str, version: &str| {
            serde_json::from_str(&format!(r#"{{"status": {status}, "build": {{"version": {version}}}}}"#)).unwrap()
        };
        for exact in ["0", "110", "-7", "9223372036854775807", "18446744073709551615", "-9223372036854775808"] {
            assert_eq!(hook.values(&body("\"success\"", exact)).unwrap()["version"], exact);
        }
        let inexact =
            ["1.10", "1.0", "1e2", "-0", "18446744073709551616", "-9223372036854775809", "12345678901234567890123"];
        for number in inexact {
            let Err(HookRejection::Invalid(why)) = hook.values(&body("\"success\"", number)) else {
                panic!("{number} is accepted")
            };
            assert!(why.starts_with("the number at `/build/version` in the body"), "{why}");
            assert!(why.contains("send the value as a string"), "{why}");
        }
        // A condition compares texts, so it needs the exact digits too.
        hook.when.insert("/status".to_owned(), vec!["1.1".to_owned(), "7".to_owned()]);
        assert!(hook.values(&body("7", "1")).is_ok());
        assert!(matches!(hook.values(&body("8", "1")), Err(HookRejection::NotMatched(_))));
        assert!(matches!(hook.values(&body("1.10", "1")), Err(HookRejection::Invalid(_))));
    }
}
