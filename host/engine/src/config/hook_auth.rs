//! Reads the keys of `[[hook]]` that determine the authentication and the idempotency key of a delivery.
//!
//! Invariant: a combination of keys with which no delivery can be authenticated, or with which an attacker can repeat a
//! delivery without the secret, is a configuration problem.

use std::time::Duration;

use super::hook_values::{is_secret_header, source};
use crate::{
    base::{At, Located, SecretRef, Table},
    trigger::{DeliveryKey, HUB_HEADERS, HookAuth, ValueSource},
};

/// The default value of the key `delivery`: the HTTP header that holds the idempotency key of a delivery.
pub(super) const DELIVERY: &str = "Idempotency-Key";
const TOKEN_OR_SECRET: &str = "token = { env = \"HOOK_TOKEN\" }   or   secret = { env = \"HOOK_SECRET\" }";
const REMOVE: &str = "nothing; remove the line";

/// A header with a signature as `sign = "hub"` verifies it, which only the key `header` of a hook can name.
const GRAFANA_HEADER: &str = "x-grafana-alerting-signature";
const STANDARD_HEADERS: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];
/// Headers that a sender cannot choose, because HTTP itself determines them.
const PROTOCOL_HEADERS: [&str; 9] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// The authentication of a hook, and the source of the idempotency key.
pub(super) struct Authentication {
    pub auth: HookAuth,
    pub previous: Option<SecretRef>,
    pub key: DeliveryKey,
    pub window: Option<Duration>,
}

/// The values of the keys, before their combination is checked.
struct Given {
    at: At,
    header: Option<Located<String>>,
    delivery: Option<Vec<(ValueSource, At)>>,
    each: Option<At>,
    window: Option<Located<Duration>>,
    tolerance: Duration,
    /// The keys that are only for some hooks, each with its line, if the table has the key.
    present: Vec<(&'static str, At)>,
}

impl Given {
    /// Reports the keys that are only for hooks with `wanted`.
    fn refuse(&self, table: &Table, keys: &[&str], wanted: &str) {
        for (key, at) in self.present.iter().filter(|(key, _)| keys.contains(key)) {
            table.problem(at, format!("`{key}` is only for hooks with `{wanted}`"), REMOVE.to_owned());
        }
    }
}

/// Reads the authentication of a hook: `token` or `secret`, and the keys for it.
pub(super) fn read(table: &mut Table) -> Option<Authentication> {
    // 1. Read all keys, so that all configuration problems are reported.
    let ways = (table.has("token"), table.has("secret"));
    let keys = ["header", "sign", "tolerance", "delivery", "deliveries", "window"];
    let present = keys.into_iter().filter(|key| table.has(key)).map(|key| (key, table.at_key(key))).collect();
    let (token, secret, previous) = (table.secret("token"), table.secret("secret"), table.secret("previous"));
    let sign = table.has("sign");
    let signs = table.choice("sign").map(|sign| sign.value);
    let given = Given {
        at: table.at().clone(),
        header: header(table),
        delivery: delivery(table),
        each: table.choice("deliveries").filter(|word| word.value == "each").map(|word| word.at),
        window: table.duration("window"),
        tolerance: table.duration_or_default("tolerance"),
        present,
    };
    // 2. Require exactly one of `token` and `secret`, and check the other keys for it.
    let (auth, key) = match ways {
        (true, false) => token_auth(table, &given, token?.value),
        (false, true) => match signs {
            None if sign => return None,
            None | Some("standard") => standard_auth(table, &given, secret?.value),
            Some(_) => hub_auth(table, &given, secret?.value),
        },
        (both, _) => {
            let which = if both { "both `token` and `secret`" } else { "neither `token` nor `secret`" };
            let message = format!("[[hook]] has {which}; exactly one is required");
            table.problem(&given.at, message, TOKEN_OR_SECRET.to_owned());
            return None;
        }
    };
    let previous = previous.map(|previous| previous.value);
    Some(Authentication { auth, previous, key, window: given.window.map(|window| window.value) })
}

fn token_auth(table: &Table, given: &Given, token: SecretRef) -> (HookAuth, DeliveryKey) {
    given.refuse(table, &["sign", "tolerance"], "secret");
    let header = given.header.as_ref().map(|header| header.value.clone());
    if let Some(name) = &given.header {
        let lower = name.value.to_ascii_lowercase();
        let scheme = match lower.as_str() {
            _ if lower == GRAFANA_HEADER || HUB_HEADERS.contains(&lower.as_str()) => Some("hub"),
            _ if STANDARD_HEADERS.contains(&lower.as_str()) => Some("standard"),
            _ => None,
        };
        if let Some(scheme) = scheme {
            let message = format!(
                "the header `{}` contains a signature, which is different in each delivery, and never the token",
                name.value
            );
            let fix = format!("secret = {{ env = \"HOOK_SECRET\" }}   and   sign = \"{scheme}\"");
            table.problem(&name.at, message, fix);
        }
        refuse_protocol_header(table, name);
    }
    let key = match (&given.each, &given.delivery) {
        (Some(at), delivery) => {
            if delivery.is_some() || given.window.is_some() {
                let message = "with `deliveries = \"each\"`, each delivery starts the command, so the hook needs no \
                               `delivery` and no `window`";
                table.problem(at, message, "deliveries = \"once\"".to_owned());
            }
            DeliveryKey::Each
        }
        (None, Some(sources)) => {
            let name_of_token = header.as_deref().unwrap_or("authorization");
            for (source, at) in sources {
                if matches!(source, ValueSource::Header(name) if name.eq_ignore_ascii_case(name_of_token)) {
                    let message = format!("{source} contains the token, which is the same in each delivery");
                    table.problem(at, message, format!("delivery = \"{DELIVERY}\""));
                }
            }
            DeliveryKey::Values(sources.iter().map(|(source, _)| source.clone()).collect())
        }
        (None, None) => DeliveryKey::Values(vec![ValueSource::Header(DELIVERY.to_owned())]),
    };
    (HookAuth::Token { token, header }, key)
}

fn hub_auth(table: &Table, given: &Given, secret: SecretRef) -> (HookAuth, DeliveryKey) {
    given.refuse(table, &["tolerance"], "secret` and `sign = \"standard\"");
    // Without a signed time, everybody who has recorded a delivery could start the command again at any time.
    given.refuse(table, &["window"], "token");
    refuse_each(table, given);
    if let Some(name) = &given.header {
        refuse_protocol_header(table, name);
        let lower = name.value.to_ascii_lowercase();
        let (what, fix) = match lower.as_str() {
            _ if STANDARD_HEADERS.contains(&lower.as_str()) => ("a signature of another form", "sign = \"standard\""),
            "authorization" => ("a token", "token = { env = \"HOOK_TOKEN\" }"),
            "x-gitlab-token" => ("a token", "token = { env = \"HOOK_TOKEN\" }   and   header = \"X-Gitlab-Token\""),
            _ => ("", ""),
        };
        if !what.is_empty() {
            let message = format!("the header `{}` contains {what}, and no signature of the body", name.value);
            table.problem(&name.at, message, fix.to_owned());
        }
    }
    for (source, at) in given.delivery.iter().flatten() {
        if matches!(source, ValueSource::Header(_)) {
            let message = format!("{source} is not covered by the signature, so an attacker can change it");
            table.problem(at, message, "delivery = \"/id\"   or   nothing: the body is the key".to_owned());
        }
    }
    let header = given.header.as_ref().map(|header| header.value.clone());
    let key = match &given.delivery {
        Some(sources) => DeliveryKey::Values(sources.iter().map(|(source, _)| source.clone()).collect()),
        None => DeliveryKey::Signed,
    };
    (HookAuth::Hub { secret, header }, key)
}

fn standard_auth(table: &Table, given: &Given, secret: SecretRef) -> (HookAuth, DeliveryKey) {
    given.refuse(table, &["header", "delivery"], "token` or `sign = \"hub\"");
    given.refuse(table, &["window"], "token");
    refuse_each(table, given);
    (HookAuth::Standard { secret, tolerance: given.tolerance }, DeliveryKey::Signed)
}

/// Reports `deliveries = "each"` of a hook with a signature: everybody who has recorded a delivery could start the
/// command again.
fn refuse_each(table: &Table, given: &Given) {
    if let Some(at) = &given.each {
        let message = "`deliveries = \"each\"` is only for hooks with `token`: a recorded delivery with a valid \
                       signature could be repeated";
        table.problem(at, message, REMOVE.to_owned());
    }
}

fn refuse_protocol_header(table: &Table, name: &Located<String>) {
    if PROTOCOL_HEADERS.contains(&name.value.to_ascii_lowercase().as_str()) {
        let message = format!("the header `{}` belongs to HTTP, so no sender can put a secret in it", name.value);
        table.problem(&name.at, message, "header = \"X-Gitlab-Token\"".to_owned());
    }
}

/// Reads `header`, the name of an HTTP header.
fn header(table: &mut Table) -> Option<Located<String>> {
    let text = table.string("header")?;
    if !super::hook_values::is_header_name(&text.value) {
        let message = "the value of `header` is not a valid name of an HTTP header";
        table.problem(&text.at, message, "header = \"X-Gitlab-Token\"".to_owned());
        return None;
    }
    Some(text)
}

/// Reads `delivery`: the names of headers, and JSON pointers.
fn delivery(table: &mut Table) -> Option<Vec<(ValueSource, At)>> {
    let texts = table.strings("delivery")?;
    if texts.value.is_empty() {
        let message = "`hook.delivery` is an empty list, so each delivery would have the same key";
        table.problem(&texts.at, message, format!("delivery = \"{DELIVERY}\""));
    }
    let mut sources = Vec::new();
    for text in texts.value {
        let named = match text.value.starts_with('/') || text.value.starts_with("header:") {
            true => text.value.clone(),
            false => format!("header:{}", text.value),
        };
        let fix = format!("delivery = \"{DELIVERY}\"   or   delivery = \"/groupKey\"");
        let Some(found) = source(table, &Located { value: named, at: text.at.clone() }, fix.clone()) else { continue };
        // The check of the hook's own token follows when the header of the token is known.
        if matches!(&found, ValueSource::Header(name) if is_secret_header(name)) {
            table.problem(&text.at, format!("{found} contains a secret or a signature, and no id"), fix);
            continue;
        }
        sources.push((found, text.at));
    }
    Some(sources)
}
