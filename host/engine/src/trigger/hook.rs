//! `[[hook]]`: commands that another system triggers with HTTP requests (deliveries).
//!
//! Invariant: each delivery is one event in the hook's room. The event id contains the hook's name and the delivery's
//! idempotency key. The inbox stores each event id once, so a delivery is never handled twice.
//! Not here: the values that a delivery has (`hook_values.rs`).

use std::{collections::BTreeMap, time::Duration};

use regex::Regex;

use super::{command_template::CommandTemplate, delivery::ValueSource};
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
    /// The token or secret that was in use before a rotation and is still accepted.
    pub previous: Option<SecretRef>,
    /// The source of a delivery's idempotency key.
    pub(crate) key: DeliveryKey,
    /// The time after which a delivery with a known idempotency key starts the command again; `None` for never.
    pub(crate) window: Option<Duration>,
    /// For each placeholder of the command, the place of its value in the delivery.
    pub(crate) capture: BTreeMap<String, Capture>,
    /// The conditions for starting the command, each with the accepted values. If the delivery has another value, the
    /// host still accepts the delivery, but does not start the command.
    pub(crate) when: Vec<(ValueSource, Vec<String>)>,
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
        /// The header with the token alone; `None` for `Authorization: Bearer TOKEN`.
        header: Option<String>,
    },
    /// HMAC-SHA-256 of the body in hexadecimal digits, in one of the headers in which code hosts send it, or in another
    /// header. The signature contains no time. An attacker could therefore replay a delivery, so the host accepts an
    /// identical body only once within the retention period of messages.
    Hub {
        /// The secret that the sender and the host share.
        secret: SecretRef,
        /// The header with the signature; `None` for the headers of code hosts.
        header: Option<String>,
    },
    /// HMAC-SHA-256 of the delivery's id, time and body, as defined by [Standard
    /// Webhooks](https://www.standardwebhooks.com).
    Standard {
        /// The secret that the sender and the host share, in one of the forms in which libraries create it: `whsec_`
        /// and base64, base64 alone, or the key itself.
        secret: SecretRef,
        /// The maximum difference between the signed time of a delivery and the host's clock.
        tolerance: Duration,
    },
}

impl HookAuth {
    /// Returns the token or the secret.
    pub fn secret(&self) -> &SecretRef {
        match self {
            Self::Token { token: secret, .. } | Self::Hub { secret, .. } | Self::Standard { secret, .. } => secret,
        }
    }
}

/// The headers in which code hosts send a hexadecimal HMAC-SHA-256 of the body, in order: the first one in a request
/// counts. Bitbucket sends SHA-256 in `X-Hub-Signature`, in which GitHub and Gitea send SHA-1 besides
/// `X-Hub-Signature-256`.
pub const HUB_HEADERS: [&str; 5] =
    ["x-hub-signature-256", "x-gitea-signature", "x-forgejo-signature", "x-gogs-signature", "x-hub-signature"];

/// The source of a delivery's idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DeliveryKey {
    /// The signature covers the key: the id of Standard Webhooks, or the body.
    Signed,
    /// These values of the delivery together are the key.
    Values(Vec<ValueSource>),
    /// Each delivery starts the command, so there is no key.
    Each,
}

/// The place of a placeholder's value in a delivery.
#[derive(Debug, Clone)]
pub(crate) struct Capture {
    pub source: ValueSource,
    /// An expression that must match the whole value. Its only group is the value of the placeholder.
    pub pattern: Option<Regex>,
}
