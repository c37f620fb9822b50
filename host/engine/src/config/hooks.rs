//! `[[hook]]`: the authentication, the conditions and the captured values of webhook deliveries.

use std::collections::BTreeMap;

use super::{
    bots::BotConfig,
    members::Members,
    triggers::{AS, BOT, ROOM, check_placeholders, machine_room_and_bot, name, template},
};
use crate::{
    base::{Key, KeyKind, Table, TableKeys},
    trigger::{Hook, HookAuth},
};

/// The default of `delivery`: the header with the idempotency key.
const DELIVERY: &str = "Idempotency-Key";

/// The keys of `[[hook]]`.
pub(crate) static HOOK_KEYS: TableKeys = TableKeys {
    path: "hook",
    about: "A webhook: `POST /hooks/NAME` starts a command. It needs `[http]`, and exactly one of `token` and `secret`.",
    keys: &[
        Key::string(
            "name",
            "The last part of the URL: up to 64 lower-case letters, digits, `-` and `_`. Each hook has its own.",
        )
        .required(),
        Key::string(
            "command",
            "The command. A placeholder such as `{version}` is a whole argument that `capture` fills.",
        )
        .required(),
        AS,
        ROOM,
        BOT,
        Key::secret("token", "The token that the sender sends, as `Authorization: Bearer TOKEN` or bare in `header`.")
            .required_unless("with `secret`"),
        Key::string("header", "The header that holds the bare `token`. Without it, the token is a bearer token."),
        Key::string("delivery", "The header that names the delivery, for hooks with a `token`. A name is taken once.")
            .default(DELIVERY),
        Key::secret("secret", "The secret of the sender's signatures.").required_unless("with `token`"),
        Key::choice(
            "sign",
            &["standard", "hub"],
            "The scheme of the signatures: Standard Webhooks, or the header `X-Hub-Signature-256`.",
        )
        .default("standard"),
        Key::duration(
            "tolerance",
            "The difference between the sender's clock and the host's up to which a delivery with \
             `sign = \"standard\"` is taken.",
        )
        .default("5m"),
        Key::table("capture", &CAPTURE_KEYS, "The placeholders of `command` and where their values stand in the body."),
        Key::table(
            "when",
            &WHEN_KEYS,
            "What the body must hold. Other deliveries are taken and start nothing. Without it, all \
             deliveries start the command.",
        ),
        Key::integer("max_bytes", 1, 16 << 20, "The size of the body up to which a delivery is taken, in bytes.")
            .default("262144"),
        Key::integer("max_per_minute", 1, 100_000, "The number of deliveries that are taken in a minute.")
            .default("60"),
    ],
};

static CAPTURE_KEYS: TableKeys = TableKeys {
    path: "hook.capture",
    about: "The values that are taken out of the body.",
    keys: &[Key::any(
        "PLACEHOLDER",
        KeyKind::String,
        "A JSON pointer to the value that fills the placeholder, for example `/build/version`.",
    )],
};

static WHEN_KEYS: TableKeys = TableKeys {
    path: "hook.when",
    about: "What the body must hold; all keys must match.",
    keys: &[Key::any(
        "POINTER",
        KeyKind::Strings,
        "The key is a JSON pointer, for example `\"/build/status\"`. The value there must be one of these strings.",
    )],
};

/// Reads one hook. `others` are the hooks before it, whose names are taken.
pub(crate) fn read(mut table: Table, members: &Members<'_>, bots: &[BotConfig], others: &[Hook]) -> Option<Hook> {
    let at = table.at().clone();
    let name = name(&mut table, "build", others.iter().map(|other| other.name.as_str()));
    let command = template(&mut table, "\"deploy cms staging {version}\"");
    let capture = pointers(&mut table, "capture");
    let capture: BTreeMap<String, String> =
        capture.into_iter().filter_map(|(name, mut at)| Some((name, at.pop()?))).collect();
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

/// Reads the authentication of a hook: `token` or `secret`, and the keys that go with it.
fn auth(table: &mut Table) -> Option<HookAuth> {
    const BOTH: &str = "token = { env = \"HOOK_TOKEN\" }   or   secret = { env = \"HOOK_SECRET\" }";
    let at = table.at().clone();
    // 1. Read all keys, so that each problem is reported.
    let ways = (table.has("token"), table.has("secret"));
    let (token, secret) = (table.secret("token"), table.secret("secret"));
    let places: Vec<_> =
        ["header", "delivery", "sign", "tolerance"].map(|key| (key, table.at_key(key), table.has(key))).into();
    let (header, delivery) = (header(table, "header"), header(table, "delivery"));
    let sign = table.has("sign");
    let signs = table.choice("sign").map(|sign| sign.value);
    let tolerance = table.duration_or_default("tolerance");
    // 2. Exactly one of `token` and `secret` must be set. Keys that belong to the other one are reported.
    let other = |keys: &[&str], wanted: &str| {
        for (key, at, _) in places.iter().filter(|(key, _, there)| *there && keys.contains(key)) {
            table.problem(at, format!("`{key}` is for a hook with a `{wanted}`"), "leave out this line".to_owned());
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
                "[[hook]] has both `token` and `secret`, and needs exactly one"
            } else {
                "[[hook]] says nothing of how its sender proves itself"
            };
            table.problem(&at, message, BOTH.to_owned());
            None
        }
    }
}

/// Reads the name of an HTTP header.
fn header(table: &mut Table, key: &str) -> Option<String> {
    let text = table.string(key)?;
    let known = |letter: u8| letter.is_ascii_alphanumeric() || letter == b'-' || letter == b'_';
    if text.value.is_empty() || !text.value.bytes().all(known) {
        table.problem(&text.at, format!("`{key}` is no name of a header"), format!("{key} = \"X-Gitlab-Token\""));
        return None;
    }
    Some(text.value)
}

/// Reads a table of JSON pointers by name.
fn pointers(table: &mut Table, key: &str) -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::new();
    let Some(mut part) = table.table(key) else { return all };
    for name in part.keys() {
        let Some(text) = part.string(&name.value) else { continue };
        match text.value.starts_with('/') {
            true => drop(all.insert(name.value, vec![text.value])),
            false => {
                let message = format!("`{}` is no JSON pointer", crate::base::clean(&text.value));
                part.problem(&text.at, message, format!("{} = \"/build/{}\"", name.value, name.value));
            }
        }
    }
    part.finish();
    all
}

/// Reads `when`: the values that the body must have, by JSON pointer.
fn conditions(table: &mut Table) -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::new();
    let Some(mut part) = table.table("when") else { return all };
    for pointer in part.keys() {
        let Some(values) = part.strings(&pointer.value) else { continue };
        if !pointer.value.starts_with('/') {
            let message = format!("`{}` is no JSON pointer", crate::base::clean(&pointer.value));
            part.problem(&pointer.at, message, "\"/build/status\" = \"SUCCESS\"".to_owned());
        } else {
            all.insert(pointer.value, values.value.into_iter().map(|value| value.value).collect());
        }
    }
    part.finish();
    all
}
