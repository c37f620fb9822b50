//! Reads the triggers of commands: `[[alias]]`, `[[say]]`, `[[listen]]`, `[[schedule]]` and `[[hook]]`.
//!
//! Not here: the authentication and the captured values of hooks (`hooks`), and the check that the commands exist,
//! which needs the loaded plugins ([`crate::engine::Review::problems`]).

use std::{collections::BTreeSet, sync::Arc};

use jiff::tz::TimeZone;
use regex::{Regex, RegexBuilder};

use super::{
    bots::BotConfig,
    freezes::{cron, time_zone},
    hooks,
    members::Members,
};
use crate::{
    base::{Key, Located, Table, TableKeys, nearest},
    command::words,
    model::{MAX_PATTERN_SIZE, RoomName, check_pattern_length},
    trigger::{Alias, CommandTemplate, FixedAnswer, Listen, MissedPolicy, Schedule, Triggers, is_placeholder},
};

// Keys of both `[[schedule]]` and `[[hook]]`.
pub(crate) const AS: Key = Key::string(
    "as",
    "The machine, that is the `NAME` of a `[machine.NAME]`. The command runs with the rights of the machine.",
)
.required();
pub(crate) const ROOM: Key = Key::string("room", "The room that shows the command and its answer.").required();
pub(crate) const BOT: Key = Key::string(
    "bot",
    "The bot that runs the command. Without this key, the bot whose account table names the room. It is required only if \
     there are several bots and no account table names the room.",
);

pub(crate) static ALIAS_KEYS: TableKeys = TableKeys {
    path: "alias",
    about: "A short form of a command. It runs with the rights of the person who types it.",
    keys: &[
        Key::string(
            "typed",
            "The short form, for example `ship VERSION`. Words in capitals are placeholders. The first word cannot be \
             a placeholder.",
        )
        .required(),
        Key::string(
            "command",
            "The command. A placeholder such as `{VERSION}` stands for a whole argument. Each placeholder of `typed` \
             is used once.",
        )
        .required(),
    ],
};

pub(crate) static SAY_KEYS: TableKeys = TableKeys {
    path: "say",
    about: "A fixed answer that the bot gives when a person types a certain line.",
    keys: &[
        Key::string("typed", "The line that a person types, for example `oncall`.").required(),
        Key::string("text", "The answer.").required(),
    ],
};

pub(crate) static LISTEN_KEYS: TableKeys = TableKeys {
    path: "listen",
    about: "A pattern that starts a query when a message matches it. Messages that are addressed to the bot do not \
            count. The query runs with the rights of the sender.",
    keys: &[
        Key::string(
            "pattern",
            "A regular expression of at most 1,000 bytes that matches a part of the message. Its named groups provide \
             the values of the placeholders.",
        )
        .required(),
        Key::string("command", "The query. A placeholder such as `{app}` stands for a whole argument.").required(),
        Key::strings("rooms", "The rooms in which the rule applies. Without this key, all rooms."),
    ],
};

pub(crate) static SCHEDULE_KEYS: TableKeys = TableKeys {
    path: "schedule",
    about: "A command that starts at scheduled times, with the rights of a machine. It starts once for each time, \
            also after a restart.",
    keys: &[
        Key::string("name", "The unique name: up to 64 lower-case letters, digits, `-` and `_`.").required(),
        Key::string("cron", "The times, as cron: minute, hour, day of month, month, weekday.").required(),
        Key::string("time_zone", "The time zone of `cron`. Without this key, the time zone of the first bot."),
        Key::string("command", "The command, without placeholders.").required(),
        AS,
        ROOM,
        BOT,
        Key::choice(
            "missed",
            &["skip", "last"],
            "What happens after downtime: `skip` runs only the latest missed time, and only if it is younger than the \
             bot's `max_age`; `last` runs the latest missed time however old it is.",
        )
        .default("skip"),
    ],
};

/// Reads all triggers. `zone` is the time zone of schedules without `time_zone`, and `untrusted` are the files of
/// `include`.
pub(crate) fn read(
    root: &mut Table,
    members: &Members<'_>,
    bots: &[BotConfig],
    zone: &TimeZone,
    untrusted: &BTreeSet<Arc<str>>,
) -> Triggers {
    let mut triggers = Triggers {
        aliases: root.array("alias").into_iter().filter_map(|table| alias(table, untrusted)).collect(),
        fixed_answers: root.array("say").into_iter().filter_map(fixed_answer).collect(),
        listens: root.array("listen").into_iter().filter_map(|table| listen(table, members)).collect(),
        ..Triggers::default()
    };
    for table in root.array("schedule") {
        triggers.schedules.extend(schedule(table, members, bots, zone, &triggers.schedules));
    }
    for table in root.array("hook") {
        triggers.hooks.extend(hooks::read(table, members, bots, &triggers.hooks));
    }
    check_duplicates(root, &triggers);
    triggers
}

/// Reports each alias or fixed answer whose `typed` is the same as in an earlier alias or fixed answer.
fn check_duplicates(root: &Table, triggers: &Triggers) {
    let aliases = triggers.aliases.iter().map(|alias| (&alias.typed, &alias.at));
    let answers = triggers.fixed_answers.iter().map(|answer| (&answer.typed, &answer.at));
    let all: Vec<_> = aliases.chain(answers).collect();
    for (index, (typed, at)) in all.iter().enumerate() {
        // A placeholder matches any word, so two values of `typed` that differ only in placeholders are equal.
        let form_of_word = |word: &String| if is_placeholder(word) { "_".into() } else { word.to_lowercase() };
        let form = |typed: &[String]| typed.iter().map(form_of_word).collect::<Vec<String>>();
        if let Some((_, other)) = all[..index].iter().find(|(other, _)| form(other) == form(typed)) {
            let line = typed.join(" ");
            root.problem(at, format!("the alias or fixed answer in {other} also has the `typed` line `{line}`"), None);
        }
    }
}

fn alias(mut table: Table, untrusted: &BTreeSet<Arc<str>>) -> Option<Alias> {
    let at = table.at().clone();
    let trusted = !untrusted.contains(&at.file);
    let text = table.required_string("typed", "\"restart HOST\"");
    let command = template(&mut table, "\"deploy cms staging {HOST}\"");
    let typed = text.and_then(|text| typed(&table, &text));
    if let (Some(typed), Some(command)) = (&typed, &command) {
        check_placeholders(&table, command, typed.iter().filter(|word| is_placeholder(word)).map(String::as_str));
        for word in typed.iter().filter(|word| is_placeholder(word)) {
            if typed.iter().filter(|other| *other == word).count() > 1 {
                table.problem(&at, format!("the placeholder `{word}` is twice in `typed`"), None);
            } else if !command.placeholders().any(|name| name == word) {
                let fix = format!("command = \"{} {{{word}}}\"", command.as_str());
                table.problem(&at, format!("the placeholder `{word}` is not used in `command`"), fix);
            }
        }
    }
    table.finish();
    Some(Alias { at, trusted, typed: typed?, command: command? })
}

fn fixed_answer(mut table: Table) -> Option<FixedAnswer> {
    let at = table.at().clone();
    let text = table.required_string("typed", "\"oncall\"");
    let answer = table.required_string("text", "\"Call 123.\"");
    let typed = text.and_then(|text| typed(&table, &text));
    table.finish();
    Some(FixedAnswer { at, typed: typed?, text: answer?.value })
}

/// Splits the value of `typed` into words. Reports a configuration problem and returns `None` if the value has no
/// words, has an unclosed quote, or begins with a placeholder.
fn typed(table: &Table, text: &Located<String>) -> Option<Vec<String>> {
    let words = words(&text.value).filter(|words| words.first().is_some_and(|first| !is_placeholder(first)));
    if words.is_none() {
        let message = format!(
            "`typed` must begin with a word that is not a placeholder, and have no open quote, but is `{}`",
            crate::base::clean(&text.value)
        );
        table.problem(&text.at, message, "typed = \"restart HOST\"".to_owned());
    }
    words
}

/// Compiles an expression that is searched in messages. Its size is bounded.
///
/// # Errors
/// The reason why the expression is invalid, in one line.
fn searched(text: &str) -> Result<Regex, String> {
    check_pattern_length(text)?;
    RegexBuilder::new(text).size_limit(MAX_PATTERN_SIZE).build().map_err(|error| {
        let error = error.to_string();
        error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
    })
}

fn listen(mut table: Table, members: &Members<'_>) -> Option<Listen> {
    const PATTERN: &str = "'is (?P<app>[a-z]+) up\\?'";
    let at = table.at().clone();
    let pattern = table.required_string("pattern", PATTERN);
    let command = template(&mut table, "\"where {app}\"");
    let rooms = members.rooms(&mut table, "rooms");
    let pattern = pattern.and_then(|text| {
        let report = |why: &String| {
            let fix = format!("pattern = {PATTERN}");
            table.problem(&text.at, format!("`pattern` is not a valid regular expression: {why}"), fix);
        };
        searched(&text.value).inspect_err(report).ok()
    });
    if let (Some(pattern), Some(command)) = (&pattern, &command) {
        check_placeholders(&table, command, pattern.capture_names().flatten());
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
    let cron = text.and_then(|text| cron(&table, "cron", text, zone.as_ref(), CRON));
    let command = template(&mut table, "\"where\"");
    if let Some(command) = &command {
        check_placeholders(&table, command, std::iter::empty());
    }
    let missed = match table.choice("missed").map(|word| word.value) {
        Some("last") => MissedPolicy::RunLatest,
        _ => MissedPolicy::SkipOld,
    };
    let (machine, room, bot) = machine_room_and_bot(&mut table, members, bots);
    table.finish();
    Some(Schedule {
        name: name?,
        at,
        cron: cron?,
        command: command?,
        machine: machine?,
        room: room?,
        bot: bot?,
        missed,
    })
}

/// Reads the keys `as`, `room` and `bot` of a schedule or hook. Returns the machine account (`[machine.NAME]`) for
/// which the command runs, the room and the bot. The bot is `Some(None)` if the table has no `bot`, and `None` if the
/// value of `bot` is invalid.
pub(crate) fn machine_room_and_bot(
    table: &mut Table,
    members: &Members<'_>,
    bots: &[BotConfig],
) -> (Option<crate::model::Person>, Option<RoomName>, Option<Option<String>>) {
    let machine = members.machine(table);
    table.require("room", "\"#ops:example.org\"");
    let room = RoomName::read(table, "room", members.networks);
    let bot = match table.string("bot") {
        None => Some(None),
        Some(text) if bots.iter().any(|bot| bot.identity.name == text.value) => Some(Some(text.value)),
        Some(text) => {
            let meant = nearest(&text.value, bots.iter().map(|bot| bot.identity.name.as_str()));
            let fix = meant.map(|meant| format!("bot = \"{meant}\""));
            table.problem(&text.at, format!("there is no [bot.{}]", text.value), fix);
            None
        }
    };
    if let (Some(room), Some(None), [first, _, ..]) = (&room, &bot, bots)
        && !bots.iter().any(|bot| bot.names(room))
    {
        let message =
            format!("no bot's account table names the room `{room}`, so the bot that runs the command is unknown");
        table.problem(table.at(), message, format!("bot = \"{}\"", first.identity.name));
    }
    (machine, room, bot)
}

/// Reads the required key `name` of a schedule or hook. The name becomes part of event ids or of a URL, so it must be
/// unique: a name that is also in `others` is reported as a configuration problem.
pub(crate) fn name<'a>(table: &mut Table, example: &str, mut others: impl Iterator<Item = &'a str>) -> Option<String> {
    let text = table.required_string("name", &format!("\"{example}\""))?;
    let known = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'-' || letter == b'_';
    if text.value.is_empty() || text.value.len() > 64 || !text.value.bytes().all(known) {
        let message = "`name` must have 1 to 64 lower-case letters, digits, `-` and `_`";
        table.problem(&text.at, message, format!("name = \"{example}\""));
        return None;
    }
    if others.any(|other| other == text.value) {
        let message = format!("another [[{}]] already has the name `{}`", table.path(), text.value);
        table.problem(&text.at, message, None);
        return None;
    }
    Some(text.value)
}

pub(crate) fn template(table: &mut Table, example: &str) -> Option<CommandTemplate> {
    let text = table.required_string("command", example)?;
    CommandTemplate::new(&text.value)
        .inspect_err(|error| table.problem(&text.at, error.to_string(), format!("command = {example}")))
        .ok()
}

/// Reports each placeholder of a command whose name is not in `values`.
pub(crate) fn check_placeholders<'a>(table: &Table, command: &CommandTemplate, values: impl Iterator<Item = &'a str>) {
    let values: Vec<&str> = values.collect();
    for name in command.placeholders().filter(|name| !values.contains(name)) {
        let message = format!("the placeholder `{{{name}}}` in the command `{}` has no value", command.as_str());
        let fix = (!values.is_empty()).then(|| format!("one of: {}", values.join(", ")));
        table.problem(table.at(), message, fix);
    }
}

#[cfg(test)]
mod tests {
    use super::searched;

    #[test]
    fn the_expression_of_a_listen_rule_is_bounded() {
        assert!(searched("is (?P<app>[a-z]+) up").is_ok());
        let long = searched(&r"\w".repeat(5_000)).unwrap_err();
        assert_eq!(long, "it is longer than 1000 bytes; use a shorter expression");
        assert!(searched(&r"\w".repeat(500)).is_err(), "it is too large");
    }
}
