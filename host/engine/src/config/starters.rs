//! `[[alias]]`, `[[say]]`, `[[listen]]`, `[[schedule]]` and `[[hook]]`: what sets commands off besides typing them.
//!
//! Not here: whether there are such commands, which only plugins know ([`crate::engine::Plugins::problems`]).

use std::{collections::BTreeMap, time::Duration};

use jiff::tz::TimeZone;
use regex::RegexBuilder;

use super::{
    bots::BotConfig,
    freezes::time_zone,
    members::Members,
    problem::nearest,
    room::RoomName,
    table::{Located, Table},
};
use crate::{
    command::words,
    schedule::Cron,
    starter::{Alias, Hook, HookAuth, Listen, Missed, Said, Schedule, Starters, Template, is_gap},
};

/// The longest body of a hook if nothing is said, in bytes.
const MOST_BYTES: i64 = 256 << 10;
/// The most deliveries of a hook in a minute if nothing is said.
const MOST_A_MINUTE: i64 = 60;
/// How far the clock of a hook's sender may be off if nothing is said.
const TOLERANCE: Duration = Duration::from_secs(5 * 60);
/// The header that names a delivery if nothing is said.
const DELIVERY: &str = "Idempotency-Key";

/// Reads them all. `zone` is the time zone where nothing is said.
pub(super) fn read(root: &mut Table, members: &Members<'_>, bots: &[BotConfig], zone: &TimeZone) -> Starters {
    let mut starters = Starters {
        aliases: root.array("alias").into_iter().filter_map(alias).collect(),
        said: root.array("say").into_iter().filter_map(said).collect(),
        listens: root.array("listen").into_iter().filter_map(|table| listen(table, members)).collect(),
        ..Starters::default()
    };
    for table in root.array("schedule") {
        starters.schedules.extend(schedule(table, members, bots, zone, &starters.schedules));
    }
    for table in root.array("hook") {
        starters.hooks.extend(hook(table, members, bots, &starters.hooks));
    }
    doubled(root, &starters);
    starters
}

/// Reports short forms and fixed answers that are typed alike.
fn doubled(root: &Table, starters: &Starters) {
    let aliases = starters.aliases.iter().map(|alias| (&alias.typed, &alias.at));
    let said = starters.said.iter().map(|said| (&said.typed, &said.at));
    let all: Vec<_> = aliases.chain(said).collect();
    for (index, (typed, at)) in all.iter().enumerate() {
        // A gap is like any word.
        let form = |typed: &[String]| {
            typed
                .iter()
                .map(|word| if is_gap(word) { "_".into() } else { word.to_lowercase() })
                .collect::<Vec<String>>()
        };
        if let Some((_, other)) = all[..index].iter().find(|(other, _)| form(other) == form(typed)) {
            root.problem(at, format!("`{}` is typed as in {other} already", typed.join(" ")), None);
        }
    }
}

fn alias(mut table: Table) -> Option<Alias> {
    let at = table.at().clone();
    let text = table.required_string("typed", "\"restart HOST\"");
    let command = template(&mut table, "\"deploy cms staging {HOST}\"");
    let typed = text.and_then(|text| typed(&table, &text));
    if let (Some(typed), Some(command)) = (&typed, &command) {
        gaps(&table, command, typed.iter().filter(|word| is_gap(word)).map(String::as_str));
        for word in typed.iter().filter(|word| is_gap(word)) {
            if typed.iter().filter(|other| *other == word).count() > 1 {
                table.problem(&at, format!("`{word}` stands there twice"), None);
            } else if !command.gaps().any(|gap| gap == word) {
                let fix = format!("command = \"{} {{{word}}}\"", command.as_str());
                table.problem(&at, format!("what is typed for `{word}` is not used"), fix);
            }
        }
    }
    table.finish();
    Some(Alias { at, typed: typed?, command: command? })
}

fn said(mut table: Table) -> Option<Said> {
    let at = table.at().clone();
    let text = table.required_string("typed", "\"oncall\"");
    let answer = table.required_string("text", "\"Call 123.\"");
    let typed = text.and_then(|text| typed(&table, &text));
    table.finish();
    Some(Said { at, typed: typed?, text: answer?.value })
}

/// The words of a line that people type.
fn typed(table: &Table, text: &Located<String>) -> Option<Vec<String>> {
    match words(&text.value).filter(|words| words.first().is_some_and(|first| !is_gap(first))) {
        Some(words) => Some(words),
        None => {
            let message = format!("`{}` is nothing that can be typed", crate::reply::clean(&text.value));
            table.problem(&text.at, message, "typed = \"restart HOST\"".to_owned());
            None
        }
    }
}

fn listen(mut table: Table, members: &Members<'_>) -> Option<Listen> {
    const PATTERN: &str = "'is (?P<app>[a-z]+) up\\?'";
    let at = table.at().clone();
    let pattern = table.required_string("pattern", PATTERN);
    let command = template(&mut table, "\"where {app}\"");
    let rooms = table
        .strings("rooms")
        .map(|rooms| rooms.value.iter().filter_map(|room| members.room(&table, room)).collect::<Vec<RoomName>>());
    let pattern = pattern.and_then(|text| match RegexBuilder::new(&text.value).size_limit(1 << 20).build() {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            let error = error.to_string();
            let why = error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            let fix = format!("pattern = {PATTERN}");
            table.problem(&text.at, format!("`pattern` is no regular expression: {why}"), fix);
            None
        }
    });
    if let (Some(pattern), Some(command)) = (&pattern, &command) {
        gaps(&table, command, pattern.capture_names().flatten());
    }
    table.finish();
    Some(Listen { at, pattern: pattern?, command: command?, rooms })
}

fn schedule(
    mut table: Table,
    members: &Members<'_>,
    bots: &[BotConfig],
    here: &TimeZone,
    others: &[Schedule],
) -> Option<Schedule> {
    const CRON: &str = "\"0 9 * * MON-FRI\"";
    let at = table.at().clone();
    let name = name(&mut table, "nightly", others.iter().map(|other| other.name.as_str()));
    let text = table.required_string("cron", CRON);
    let zone = if table.has("time_zone") { time_zone(&mut table) } else { Some(here.clone()) };
    let cron = text.and_then(|text| match Cron::new(&text.value, zone.as_ref().unwrap_or(&TimeZone::UTC)) {
        Ok(cron) => zone.is_some().then_some(cron),
        Err(error) => {
            table.problem(&text.at, error.to_string(), format!("cron = {CRON}"));
            None
        }
    });
    let command = template(&mut table, "\"where\"");
    if let Some(command) = &command {
        gaps(&table, command, std::iter::empty());
    }
    let missed = match table.string("missed") {
        None => Some(Missed::Skip),
        Some(text) => match text.value.as_str() {
            "skip" => Some(Missed::Skip),
            "last" => Some(Missed::Last),
            _ => {
                table.problem(&text.at, "`missed` is \"skip\" or \"last\"", "missed = \"skip\"".to_owned());
                None
            }
        },
    };
    let (machine, room, bot) = place(&mut table, members, bots);
    table.finish();
    Some(Schedule {
        name: name?,
        at,
        cron: cron?,
        command: command?,
        machine: machine?,
        room: room?,
        bot: bot?,
        missed: missed?,
    })
}

fn hook(mut table: Table, members: &Members<'_>, bots: &[BotConfig], others: &[Hook]) -> Option<Hook> {
    let at = table.at().clone();
    let name = name(&mut table, "build", others.iter().map(|other| other.name.as_str()));
    let command = template(&mut table, "\"deploy cms staging {version}\"");
    let capture = pointers(&mut table, "capture");
    let capture: BTreeMap<String, String> =
        capture.into_iter().filter_map(|(name, mut at)| Some((name, at.pop()?))).collect();
    if let Some(command) = &command {
        gaps(&table, command, capture.keys().map(String::as_str));
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

/// `as`, `room` and `bot`.
fn place(
    table: &mut Table,
    members: &Members<'_>,
    bots: &[BotConfig],
) -> (Option<crate::message::Person>, Option<RoomName>, Option<Option<String>>) {
    let machine = members.machine(table, "as");
    if !table.has("room") {
        table.missing("room", "\"#ops:example.org\"");
    }
    let room = RoomName::read(table, "room", members.networks());
    let bot = match table.string("bot") {
        None => Some(None),
        Some(text) if bots.iter().any(|bot| bot.identity.name == text.value) => Some(Some(text.value)),
        Some(text) => {
            let meant = nearest(&text.value, bots.iter().map(|bot| bot.identity.name.as_str()));
            table.problem(
                &text.at,
                format!("there is no [bot.{}]", text.value),
                meant.map(|meant| format!("bot = \"{meant}\"")),
            );
            None
        }
    };
    if let (Some(room), Some(None), [first, _, ..]) = (&room, &bot, bots)
        && !bots.iter().any(|bot| bot.names(room))
    {
        let at = table.at_key("room");
        let message = format!("no identity's table names the room `{room}`, so it is not known which one acts there");
        table.problem(&at, message, format!("bot = \"{}\"", first.identity.name));
    }
    (machine, room, bot)
}

/// A name that is part of a path and of keys.
fn name<'a>(table: &mut Table, example: &str, mut others: impl Iterator<Item = &'a str>) -> Option<String> {
    let text = table.required_string("name", &format!("\"{example}\""))?;
    let known = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'-' || letter == b'_';
    if text.value.is_empty() || text.value.len() > 64 || !text.value.bytes().all(known) {
        let message = "`name` is made of lower case letters, digits, `-` and `_`";
        table.problem(&text.at, message, format!("name = \"{example}\""));
        return None;
    }
    if others.any(|other| other == text.value) {
        let message = format!("[[{}]] `{}` is there already", table.path(), text.value);
        table.problem(&text.at, message, None);
        return None;
    }
    Some(text.value)
}

fn template(table: &mut Table, example: &str) -> Option<Template> {
    let text = table.required_string("command", example)?;
    match Template::new(&text.value) {
        Ok(template) => Some(template),
        Err(error) => {
            table.problem(&text.at, error.to_string(), format!("command = {example}"));
            None
        }
    }
}

/// Reports gaps that nothing fills.
fn gaps<'a>(table: &Table, command: &Template, filled: impl Iterator<Item = &'a str>) {
    let filled: Vec<&str> = filled.collect();
    for gap in command.gaps().filter(|gap| !filled.contains(gap)) {
        let message = format!("nothing fills the gap `{{{gap}}}` of `{}`", command.as_str());
        let fix = (!filled.is_empty()).then(|| format!("one of: {}", filled.join(", ")));
        table.problem(table.at(), message, fix);
    }
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
                let message = format!("`{}` is no JSON pointer", crate::reply::clean(&text.value));
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
            let message = format!("`{}` is no JSON pointer", crate::reply::clean(&pointer.value));
            part.problem(&pointer.at, message, "\"/build/status\" = \"SUCCESS\"".to_owned());
        } else {
            all.insert(pointer.value, values.value.into_iter().map(|value| value.value).collect());
        }
    }
    part.finish();
    all
}
