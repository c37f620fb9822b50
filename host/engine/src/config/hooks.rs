//! `[[hook]]`: what a delivery is made of, and how its sender proves itself.

use std::{collections::BTreeMap, time::Duration};

use super::{
    bots::BotConfig,
    members::Members,
    triggers::{check_placeholders, name, place, template},
};
use crate::{
    base::Table,
    trigger::{Hook, HookAuth},
};

/// The longest body of a hook if nothing is said, in bytes.
const MOST_BYTES: i64 = 256 << 10;
/// The most deliveries of a hook in a minute if nothing is said.
const MOST_A_MINUTE: i64 = 60;
/// How far the clock of a hook's sender may be off if nothing is said.
const TOLERANCE: Duration = Duration::from_secs(5 * 60);
/// The header that names a delivery if nothing is said.
const DELIVERY: &str = "Idempotency-Key";

/// Reads one; `others` stand before it.
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
    let when = wanted(&mut table);
    let auth = auth(&mut table);
    let most_bytes = table.integer("max_bytes", 1, 16 << 20).map_or(MOST_BYTES, |bytes| bytes.value);
    let most_a_minute = table.integer("max_per_minute", 1, 100_000).map_or(MOST_A_MINUTE, |most| most.value);
    let (machine, room, bot) = place(&mut table, members, bots);
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

/// How a hook's sender proves itself.
fn auth(table: &mut Table) -> Option<HookAuth> {
    const BOTH: &str = "token = { env = \"HOOK_TOKEN\" }   or   secret = { env = \"HOOK_SECRET\" }";
    let at = table.at().clone();
    let ways = (table.has("token"), table.has("secret"));
    let (token, secret) = (table.secret("token"), table.secret("secret"));
    let places: Vec<_> =
        ["header", "delivery", "sign", "tolerance"].map(|key| (key, table.at_key(key), table.has(key))).into();
    let (header, delivery) = (header(table, "header"), header(table, "delivery"));
    let sign = table.string("sign");
    let tolerance = table.duration("tolerance").map_or(TOLERANCE, |span| span.value);
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
            match sign.as_ref().map(|sign| sign.value.as_str()) {
                None | Some("standard") => Some(HookAuth::Standard { secret, tolerance }),
                Some("hub") => {
                    other(&["tolerance"], "secret` and `sign = \"standard\"");
                    Some(HookAuth::Hub { secret })
                }
                Some(_) => {
                    let place = sign.map_or(at, |sign| sign.at);
                    table.problem(&place, "`sign` is \"standard\" or \"hub\"", "sign = \"hub\"".to_owned());
                    None
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

/// The name of a header.
fn header(table: &mut Table, key: &str) -> Option<String> {
    let text = table.string(key)?;
    let known = |letter: u8| letter.is_ascii_alphanumeric() || letter == b'-' || letter == b'_';
    if text.value.is_empty() || !text.value.bytes().all(known) {
        table.problem(&text.at, format!("`{key}` is no name of a header"), format!("{key} = \"X-Gitlab-Token\""));
        return None;
    }
    Some(text.value)
}

/// A table of JSON pointers by name.
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

/// `when`: what the body must have, by JSON pointers.
fn wanted(table: &mut Table) -> BTreeMap<String, Vec<String>> {
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
