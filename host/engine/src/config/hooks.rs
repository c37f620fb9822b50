//! Reads `[[hook]]`: webhooks that start commands.
//!
//! Not here: the authentication (`hook_auth`), and the captured values and conditions (`hook_values`).

use std::time::Duration;

use super::{
    bots::BotConfig,
    hook_auth,
    hook_values::{CAPTURE_KEYS, WHEN_KEYS, captures, conditions},
    members::Members,
    triggers::{AS, BOT, ROOM, check_placeholders, machine_room_and_bot, name, template},
};
use crate::{
    base::{Key, Table, TableKeys},
    trigger::{Hook, HookAuth},
};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

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
        Key::secret("secret", "The secret with which the sender signs each delivery.").required_unless("with `token`"),
        Key::secret(
            "previous",
            "The token or secret that was in use before a rotation. The host accepts it besides the new one, until the \
             line is removed.",
        ),
        Key::string(
            "header",
            "The HTTP header that holds `token` alone, or the signature of `sign = \"hub\"`. Without this key, the token \
             is a bearer token, and the signature is in the header of a code host.",
        ),
        Key::choice(
            "sign",
            &["standard", "hub"],
            "The signature scheme: `standard` for Standard Webhooks; `hub` for a hexadecimal HMAC-SHA-256 of the body, \
             as in `X-Hub-Signature-256`, `X-Hub-Signature`, `X-Gitea-Signature` and `X-Forgejo-Signature`.",
        )
        .default("standard"),
        Key::duration(
            "tolerance",
            "The maximum difference between the signed time and the host's clock, for `sign = \"standard\"`.",
        )
        .between(Duration::from_secs(1), DAY)
        .default("5m"),
        Key::strings(
            "delivery",
            "The idempotency key: the name of a header, or a JSON pointer into the body such as `/groupKey`. Several \
             of them together are one key. With `sign = \"hub\"` only pointers are accepted, and without this key \
             the body is the key.",
        )
        .default(hook_auth::DELIVERY),
        Key::choice(
            "deliveries",
            &["once", "each"],
            "`once`: the host accepts each idempotency key once. `each`: each delivery starts the command, also a \
             repeated one; only for hooks with `token`.",
        )
        .default("once"),
        Key::duration(
            "window",
            "The time after which a known idempotency key starts the command again; only for hooks with `token`. \
             Without this key, never.",
        )
        .between(MINUTE, DAY.saturating_mul(366)),
        Key::table(
            "capture",
            &CAPTURE_KEYS,
            "The placeholders of `command`, each with the place of its value in the delivery.",
        ),
        Key::table(
            "when",
            &WHEN_KEYS,
            "The values that the delivery must have. The host accepts other deliveries without starting the command. \
             Without this key, every delivery starts the command.",
        ),
        Key::integer("max_bytes", 1, 25 << 20, "The maximum size of the body, in bytes.").default("262144"),
        Key::integer("max_per_minute", 1, 100_000, "The maximum number of deliveries per minute.").default("60"),
    ],
};

/// Reads one hook. `others` are the hooks that were read before; the new hook must have another name.
pub(crate) fn read(mut table: Table, members: &Members<'_>, bots: &[BotConfig], others: &[Hook]) -> Option<Hook> {
    let at = table.at().clone();
    let name = name(&mut table, "build", others.iter().map(|other| other.name.as_str()));
    let command = template(&mut table, "\"deploy cms staging {version}\"");
    let authentication = hook_auth::read(&mut table);
    let token_header = match authentication.as_ref().map(|authentication| &authentication.auth) {
        Some(HookAuth::Token { header, .. }) => header.clone(),
        _ => None,
    };
    let capture = captures(&mut table, token_header.as_deref());
    if let Some(command) = &command {
        check_placeholders(&table, command, capture.keys().map(String::as_str));
    }
    let when = conditions(&mut table, token_header.as_deref());
    let most_bytes = table.integer_or_default("max_bytes");
    let most_a_minute = table.integer_or_default("max_per_minute");
    let (machine, room, bot) = machine_room_and_bot(&mut table, members, bots);
    table.finish();
    let hook_auth::Authentication { auth, previous, key, window } = authentication?;
    Some(Hook {
        name: name?,
        at,
        command: command?,
        machine: machine?,
        room: room?,
        bot: bot?,
        auth,
        previous,
        key,
        window,
        capture,
        when,
        most_bytes: usize::try_from(most_bytes).unwrap_or(usize::MAX),
        most_a_minute: u32::try_from(most_a_minute).unwrap_or(u32::MAX),
    })
}
