//! Reads `[[hook]]`: the authentication, the conditions and the captured values of webhooks.

use std::collections::BTreeMap;

use super::{
    bots::BotConfig,
    members::Members,
    triggers::{AS, BOT, ROOM, check_placeholders, machine_room_and_bot, name, template},
};
use crate::{
    base::{Key, KeyKind, Located, Table, TableKeys},
    trigger::{Hook, HookAuth},
};

/// The default value of the key `delivery`: the HTTP header that holds the idempotency key of a delivery.
const DELIVERY: &str = "Idempotency-Key";

pub(crate) static HOOK_KEYS: TableKeys = TableKeys {
    path: "hook",
    about: "A webhook: `POST /hooks/NAME` starts a command. A hook requires `[http]`, and exactly one of `token` and \
            `secret`.",
    keys: &[
        Key::string(
            "name",
            "The unique name, which is the last part of the URL: up to 64 lower-case letters, digits, `-` and `_`.",
        )
        .required(),
        Key::string(
            "command",
            "The command. A placeholder such as `{version}` stands for a whole argument, whose value `capture` \
             provides.",
        )
        .required(),
        AS,
        ROOM,
        BOT,
        Key::secret(
            "token",
            "The token of the sender, in the header `Authorization: Bearer TOKEN` or in the header that `header` \
             names.",
        )
        .required_unless("with `secret`"),
        Key::string(
            "header",
            "The HTTP header that holds `token` alone. Without this key, the token is a bearer token.",
        ),
        Key::string(
            "delivery",
            "The HTTP header that holds the idempotency key, for hooks with `token`. The host accepts each key once.",
        )
        .default(DELIVERY),
        Key::secret("secret", "The secret with which the sender signs each delivery.").required_unless("with `token`"),
        Key::choice(
            "sign",
            &["standard", "hub"],
            "The signature scheme: `standard` for Standard Webhooks, `hub` for the header `X-Hub-Signature-256`.",
        )
        .default("standard"),
        Key::duration(
            "tolerance",
            "The maximum difference between the signed time and the host's clock, for `sign = \"standard\"`.",
        )
        .default("5m"),
        Key::table(
            "capture",
            &CAPTURE_KEYS,
            "The placeholders of `command`, each with the place of its value in the body.",
        ),
        Key::table(
            "when",
            &WHEN_KEYS,
            "The values that the body must have. The host accepts other deliveries without starting the command. \
             Without this key, every delivery starts the command.",
        ),
        Key::integer("max_bytes", 1, 16 << 20, "The maximum size of the body, in bytes.").default("262144"),
        Key::integer("max_per_minute", 1, 100_000, "The maximum number of deliveries per minute.").default("60"),
    ],
};

static CAPTURE_KEYS: TableKeys = TableKeys {
    path: "hook.capture",
    about: "The values that the command takes from the body.",
    keys: &[Key::any(
        "PLACEHOLDER",
        KeyKind::String,
        "A JSON pointer to the value that fills the placeholder, for example `/build/version`.",
    )],
};

static WHEN_KEYS: TableKeys = TableKeys {
    path: "hook.when",
    about: "The values that the body must have. All keys must match.",
    keys: &[Key::any(
        "POINTER",
        KeyKind::Strings,
        "The accepted strings at a JSON pointer. The pointer is the key, for example `\"/build/status\"`.",
    )],
};

/// Reads one hook. `others` are the hooks that were read before; the new hook must have another name.
pub(crate) fn read(mut table: Table, members: &Members<'_>, bots: &[BotConfig], others: &[Hook]) -> Option<Hook> {
    let at = table.at().clone();
    let name = name(&mut table, "build", others.iter().map(|other| other.name.as_str()));
    let command = template(&mut table, "\"deploy cms staging {version}\"");
    let capture = captures(&mut table);
    if let Some(command) = &command {
        check_placeholders(&table, command, capture.keys().map(String::as_str));
    }
    let when = conditions(&mut table);
    let auth = auth(&mut table);
    let most_bytes = table.integer_or_default("max_bytes");
    let most_a_minute = table.integer_or_default("max_per_minute");
    let (machine, room, bot) = machine_room_and_bot(&mut table, members, bots);
    table.finish();
    Some(Hook {
        name: name?,
        at,
        command: command?,
        machine: machine?,
        room: room?,
        bot: bot?,
        auth: auth?,
        capture,
        when,
        most_bytes: usize::try_from(most_bytes).unwrap_or(usize::MAX),
        most_a_minute: u32::try_from(most_a_minute).unwrap_or(u32::MAX),
    })
}

/// Reads the authentication of a hook: `token` with `header` and `delivery`, or `secret` with `sign` and `tolerance`.
fn auth(table: &mut Table) -> Option<HookAuth> {
    const BOTH: &str = "token = { env = \"HOOK_TOKEN\" }   or   secret = { env = \"HOOK_SECRET\" }";
    let at = table.at().clone();
    // 1. Read all keys, so that all configuration problems are reported.
    let ways = (table.has("token"), table.has("secret"));
    let (token, secret) = (table.secret("token"), table.secret("secret"));
    let places = ["header", "delivery", "sign", "tolerance"].map(|key| (key, table.at_key(key), table.has(key)));
    let (header, delivery) = (header(table, "header"), header(table, "delivery"));
    let sign = table.has("sign");
    let signs = table.choice("sign").map(|sign| sign.value);
    let tolerance = table.duration_or_default("tolerance");
    // 2. Require exactly one of `token` and `secret`, and report keys that are only for the other method.
    let other = |keys: &[&str], wanted: &str| {
        for (key, at, _) in places.iter().filter(|(key, _, there)| *there && keys.contains(key)) {
            let message = format!("`{key}` is only for hooks with `{wanted}`");
            table.problem(at, message, "nothing; remove the line".to_owned());
        }
    };
    match ways {
        (true, false) => {
            other(&["sign", "tolerance"], "secret");
            let delivery = delivery.unwrap_or_else(|| DELIVERY.to_owned());
            Some(HookAuth::Token { token: token?.value, header, delivery })
        }
        (false, true) => {
            other(&["header", "delivery"], "token");
            let secret = secret?.value;
            match signs {
                None if sign => None,
                None | Some("standard") => Some(HookAuth::Standard { secret, tolerance }),
                Some(_) => {
                    other(&["tolerance"], "secret` and `sign = \"standard\"");
                    Some(HookAuth::Hub { secret })
                }
            }
        }
        (both, _) => {
            let message = if both {
                "[[hook]] has both `token` and `secret`; exactly one is required"
            } else {
                "[[hook]] has neither `token` nor `secret`; exactly one is required"
            };
            table.problem(&at, message, BOTH.to_owned());
            None
        }
    }
}

/// Reads a key whose value is the name of an HTTP header.
fn header(table: &mut Table, key: &str) -> Option<String> {
    let text = table.string(key)?;
    let known = |letter: u8| letter.is_ascii_alphanumeric() || letter == b'-' || letter == b'_';
    if text.value.is_empty() || !text.value.bytes().all(known) {
        let message = format!("the value of `{key}` is not a valid name of an HTTP header");
        table.problem(&text.at, message, format!("{key} = \"X-Gitlab-Token\""));
        return None;
    }
    Some(text.value)
}

/// Reads the subtable `capture`. Returns, for each placeholder, the JSON pointer to its value.
fn captures(table: &mut Table) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let Some(mut part) = table.table("capture") else { return all };
    for name in part.keys() {
        let Some(pointer) = part.string(&name.value) else { continue };
        if check_pointer(&part, &pointer, format!("{0} = \"/build/{0}\"", name.value)) {
            all.insert(name.value, pointer.value);
        }
    }
    part.finish();
    all
}

/// Reads the subtable `when`. Returns, for each JSON pointer, the values that the hook accepts at this position of the
/// body.
fn conditions(table: &mut Table) -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::new();
    let Some(mut part) = table.table("when") else { return all };
    for pointer in part.keys() {
        let Some(values) = part.strings(&pointer.value) else { continue };
        if check_pointer(&part, &pointer, "\"/build/status\" = \"SUCCESS\"".to_owned()) {
            all.insert(pointer.value, values.value.into_iter().map(|value| value.value).collect());
        }
    }
    part.finish();
    all
}

/// Returns whether a text is a JSON pointer. If it is not, reports a configuration problem that suggests `fix`.
fn check_pointer(table: &Table, text: &Located<String>, fix: String) -> bool {
    let valid = text.value.starts_with('/');
    if !valid {
        let shown = crate::base::clean(&text.value);
        let message = format!("`{shown}` is not a JSON pointer, because it does not begin with `/`");
        table.problem(&text.at, message, fix);
    }
    valid
}
