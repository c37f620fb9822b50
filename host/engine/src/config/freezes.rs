//! Reads `[[freeze]]`: recurring windows in which jobs cannot begin effects in some environments.

use std::time::Duration;

use jiff::tz::TimeZone;

use super::people::{check_names, check_not_empty, check_patterns, patterns};
use crate::{
    base::{Cron, Key, Located, Table, TableKeys, zone},
    model::Catalog,
    policy::{Window, WindowEnd},
};

/// An example value of the key `from`. A configuration problem about a missing or invalid `from` shows this value.
const FROM: &str = "\"0 17 * * FRI\"";
const UNTIL: &str = "\"0 8 * * MON\"";

pub(crate) static FREEZE_KEYS: TableKeys = TableKeys {
    path: "freeze",
    about: "A recurring window in which jobs cannot begin effects in some environments. Exactly one of `lasts` and \
            `until` is required.",
    keys: &[
        Key::strings("environments", "Patterns for the frozen environments.").required(),
        Key::string("from", "The start of each window, as cron: minute, hour, day of month, month, weekday.")
            .required(),
        Key::string("until", "The end of each window, as cron.").required_unless("with `lasts`"),
        Key::duration("lasts", "The length of each window.")
            .between(Duration::from_secs(60), Duration::MAX)
            .required_unless("with `until`"),
        Key::string(
            "time_zone",
            "The time zone of `from` and `until`. Without this key, the time zone of the first bot.",
        ),
        Key::string(
            "reason",
            "The reason of the freeze, for messages about refused effects. Without this key, the messages state no reason.",
        ),
    ],
};

/// Reads all freeze windows, in the order of the file. `here` is the time zone of windows without `time_zone`.
pub(crate) fn read(root: &mut Table, catalog: &Catalog, here: &TimeZone) -> Vec<Window> {
    root.array("freeze").into_iter().filter_map(|table| window(table, catalog, here)).collect()
}

fn window(mut table: Table, catalog: &Catalog, here: &TimeZone) -> Option<Window> {
    let at = table.at().clone();
    let named = table.has("environments");
    let names = table.required_strings("environments", "[\"production\"]");
    check_names(&table, "environment", &names, catalog.environments());
    check_patterns(&table, "environments", &names, catalog.environments());
    if named {
        check_not_empty(&table, ("environments", &at), &names);
    }
    let environments = patterns(&table, &names);
    let zone = if table.has("time_zone") { time_zone(&mut table) } else { Some(here.clone()) };
    let from = table.required_string("from", FROM);
    let ended = table.has("lasts") || table.has("until");
    let lasts = table.duration("lasts");
    let until = table.string("until");
    let reason = table.string("reason").map_or_else(String::new, |reason| crate::base::clean(&reason.value));
    let ends = match (lasts, until) {
        (Some(lasts), None) => Some(WindowEnd::After(lasts.value)),
        (None, Some(until)) => cron(&table, "until", until, zone.as_ref(), UNTIL).map(WindowEnd::At),
        (Some(_), Some(until)) => {
            let fix = "only one of `lasts` and `until`".to_owned();
            table.problem(&until.at, "[[freeze]] has both `lasts` and `until`", fix);
            None
        }
        (None, None) => {
            if !ended {
                let fix = format!("lasts = \"63h\"   or   until = {UNTIL}");
                table.problem(&at, "[[freeze]] has neither `lasts` nor `until`, so the window has no end", fix);
            }
            None
        }
    };
    let from = from.and_then(|from| cron(&table, "from", from, zone.as_ref(), FROM));
    table.finish();
    Some(Window { at, environments, from: from?, ends: ends?, reason })
}

/// Parses a cron expression in the time zone `zone`. Reports an invalid expression as a configuration problem, and
/// returns `None`. Also returns `None` if `zone` is `None`, which stands for a time zone that was reported as invalid.
pub(crate) fn cron(
    table: &Table,
    key: &str,
    text: Located<String>,
    zone: Option<&TimeZone>,
    example: &str,
) -> Option<Cron> {
    Cron::new(&text.value, zone.unwrap_or(&TimeZone::UTC))
        .inspect_err(|error| table.problem(&text.at, error.to_string(), format!("{key} = {example}")))
        .ok()
        .filter(|_| zone.is_some())
}

/// Reads the key `time_zone`. Returns `None` if the key is missing. For an unknown time zone, reports a configuration
/// problem and returns `None`.
pub(crate) fn time_zone(table: &mut Table) -> Option<TimeZone> {
    let name = table.string("time_zone")?;
    zone(&name.value)
        .inspect_err(|meant| {
            let meant = meant.as_deref().unwrap_or("Europe/Berlin");
            let message = format!("there is no time zone `{}`", crate::base::clean(&name.value));
            table.problem(&name.at, message, format!("time_zone = \"{meant}\""));
        })
        .ok()
}
