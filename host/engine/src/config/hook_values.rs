//! Reads `[hook.capture]` and `[hook.when]`: the values and the conditions of a hook, each with its place in a delivery.
//!
//! Invariant: a header with a secret is no value and no condition, because values are shown in the room.

use std::collections::BTreeMap;

use regex::{Regex, RegexBuilder};

use crate::{
    base::{JsonPointer, Key, KeyKind, Located, Table, TableKeys},
    model::{MAX_PATTERN_SIZE, check_pattern_length},
    trigger::{Capture, ValueSource},
};

pub(super) static CAPTURE_KEYS: TableKeys = TableKeys {
    path: "hook.capture",
    about: "The values that the command takes from the delivery.",
    keys: &[Key::any(
        "PLACEHOLDER",
        KeyKind::StringOrTable(&PLACE_KEYS),
        "The place of the value that fills the placeholder: a JSON pointer such as `/build/version`, a header such as \
         `header:X-GitHub-Event`, or a table with a place and a pattern.",
    )],
};

static PLACE_KEYS: TableKeys = TableKeys {
    path: "hook.capture.PLACEHOLDER",
    about: "The place of a value, and a pattern for it. Exactly one of `pointer` and `header` is required.",
    keys: &[
        Key::string("pointer", "A JSON pointer into the body, for example `/ref`."),
        Key::string("header", "The name of a header, for example `X-GitHub-Event`."),
        Key::string(
            "pattern",
            "A regular expression of at most 1,000 bytes with one group. It must match the whole value, and the group \
             is the value of the placeholder. The host accepts a delivery that does not match without starting the \
             command. Without this key, the whole value is taken.",
        ),
    ],
};

pub(super) static WHEN_KEYS: TableKeys = TableKeys {
    path: "hook.when",
    about: "The values that the delivery must have. All keys must match.",
    keys: &[Key::any(
        "PLACE",
        KeyKind::Strings,
        "The accepted values at a place. The place is the key: a JSON pointer such as `\"/build/status\"`, or a header \
         such as `\"header:X-GitHub-Event\"`. Numbers are compared with the digits that the sender wrote.",
    )],
};

const CAPTURE_EXAMPLE: &str = "{ pointer = \"/ref\", pattern = 'refs/tags/v(.+)' }";

/// Reads the subtable `capture`. `token_header` is the header with the hook's token.
pub(super) fn captures(table: &mut Table, token_header: Option<&str>) -> BTreeMap<String, Capture> {
    let mut all = BTreeMap::new();
    let Some(mut part) = table.table("capture") else { return all };
    for name in part.keys() {
        let fix = format!("{0} = \"/build/{0}\"", name.value);
        let capture = match part.is_table(&name.value) {
            true => part.table(&name.value).and_then(|place| capture(place, &name.value)),
            false => part.string(&name.value).and_then(|text| {
                let source = source(&part, &text, fix.clone())?;
                Some(Capture { source, pattern: None })
            }),
        };
        let Some(capture) = capture else { continue };
        if !refuse_secret(&part, &name, &capture.source, token_header) {
            all.insert(name.value, capture);
        }
    }
    part.finish();
    all
}

/// Reads a table with a place and a pattern.
fn capture(mut table: Table, name: &str) -> Option<Capture> {
    let at = table.at().clone();
    let (pointer, header, pattern) = (table.string("pointer"), table.string("header"), table.string("pattern"));
    let fix = format!("{name} = {CAPTURE_EXAMPLE}");
    let source = match (pointer, header) {
        (Some(pointer), None) => json_pointer(&table, &pointer, fix.clone()).map(ValueSource::Body),
        (None, Some(name)) => header_name(&table, &name, fix.clone()).map(ValueSource::Header),
        _ => {
            table.problem(&at, format!("`{}` needs exactly one of `pointer` and `header`", table.path()), fix.clone());
            None
        }
    };
    let pattern = match pattern {
        None => Some(None),
        Some(text) => whole_value(&text.value)
            .inspect_err(|why| table.problem(&text.at, format!("`pattern` {why}"), fix))
            .ok()
            .map(Some),
    };
    table.finish();
    Some(Capture { source: source?, pattern: pattern? })
}

/// Compiles an expression that must match a whole value and has one group.
///
/// # Errors
/// The reason why the expression cannot be used, as the end of a sentence.
fn whole_value(text: &str) -> Result<Regex, String> {
    let invalid = |error: regex::Error| {
        let error = error.to_string();
        let line = error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        format!("is not a valid regular expression: {line}")
    };
    check_pattern_length(text).map_err(|why| format!("is not a valid regular expression: {why}"))?;
    let build = |text: &str| RegexBuilder::new(text).size_limit(MAX_PATTERN_SIZE).build().map_err(invalid);
    // Compile the text alone first: `a)|(?:.*` is not valid, but would be valid between the anchors.
    let groups = build(text)?.captures_len() - 1;
    if groups != 1 {
        return Err(format!("has {groups} groups; it needs exactly one, and `(?:...)` groups without a value"));
    }
    build(&format!("^(?:{text})$"))
}

/// Reads the subtable `when`. Returns the places with the values that the hook accepts there.
pub(super) fn conditions(table: &mut Table, token_header: Option<&str>) -> Vec<(ValueSource, Vec<String>)> {
    let mut all = Vec::new();
    let Some(mut part) = table.table("when") else { return all };
    for place in part.keys() {
        let Some(values) = part.strings(&place.value) else { continue };
        let fix = "\"/build/status\" = \"SUCCESS\"   or   \"header:X-GitHub-Event\" = \"push\"".to_owned();
        let Some(source) = source(&part, &place, fix) else { continue };
        if values.value.is_empty() {
            let message =
                format!("the list of values at `{}` is empty, so no delivery starts the command", place.value);
            part.problem(&values.at, message, format!("{:?} = \"SUCCESS\"", place.value));
        }
        if !refuse_secret(&part, &place, &source, token_header) {
            all.push((source, values.value.into_iter().map(|value| value.value).collect()));
        }
    }
    part.finish();
    all
}

/// Reads a place: a JSON pointer, or `header:` and the name of a header. Reports another text as a configuration
/// problem that suggests `fix`.
pub(super) fn source(table: &Table, text: &Located<String>, fix: String) -> Option<ValueSource> {
    match text.value.strip_prefix("header:") {
        Some(name) => {
            let name = Located { value: name.to_owned(), at: text.at.clone() };
            header_name(table, &name, fix).map(ValueSource::Header)
        }
        None => json_pointer(table, text, fix).map(ValueSource::Body),
    }
}

fn json_pointer(table: &Table, text: &Located<String>, fix: String) -> Option<JsonPointer> {
    let report = |why: &&str| {
        let shown = crate::base::clean(&text.value);
        table.problem(&text.at, format!("`{shown}` is not a JSON pointer, because {why}"), fix);
    };
    JsonPointer::new(&text.value).inspect_err(report).ok()
}

fn header_name(table: &Table, text: &Located<String>, fix: String) -> Option<String> {
    if !is_header_name(&text.value) {
        let shown = crate::base::clean(&text.value);
        table.problem(&text.at, format!("`{shown}` is not a valid name of an HTTP header"), fix);
        return None;
    }
    Some(text.value.clone())
}

pub(super) fn is_header_name(name: &str) -> bool {
    let known = |letter: u8| letter.is_ascii_alphanumeric() || letter == b'-' || letter == b'_';
    !name.is_empty() && name.bytes().all(known)
}

/// Returns whether a header contains a secret or a signature in every request that has it.
pub(super) fn is_secret_header(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let known = ["authorization", "proxy-authorization", "cookie", "x-gitlab-token"];
    known.contains(&lower.as_str()) || lower.contains("signature")
}

/// Reports a header with a secret. Returns whether it has one.
fn refuse_secret(table: &Table, key: &Located<String>, source: &ValueSource, token_header: Option<&str>) -> bool {
    let ValueSource::Header(name) = source else { return false };
    let is_token = token_header.is_some_and(|token| token.eq_ignore_ascii_case(name));
    if !is_token && !is_secret_header(name) {
        return false;
    }
    let message = format!("{source} contains a secret or a signature, which must not become a value");
    table.problem(&key.at, message, "nothing; remove the line".to_owned());
    true
}

#[cfg(test)]
mod tests {
    use super::whole_value;

    #[test]
    fn a_pattern_has_one_group_and_matches_the_whole_value() {
        let pattern = whole_value("refs/tags/v(.+)").unwrap();
        assert_eq!(&pattern.captures("refs/tags/v1.0").unwrap()[1], "1.0");
        assert!(pattern.captures("refs/tags/v1.0\nx").is_none() && pattern.captures("x refs/tags/v1").is_none());
        // The alternatives are inside the anchors.
        let either = whole_value("(?:v|release-)([0-9]+)|x").unwrap();
        assert!(either.captures("release-7 ").is_none());
        for (text, why) in [
            ("refs/tags/v.+", "has 0 groups; it needs exactly one"),
            ("(a)(b)", "has 2 groups"),
            ("a)|(?:(.*)", "is not a valid regular expression: "),
            ("(a", "is not a valid regular expression: unclosed group"),
        ] {
            let error = whole_value(text).unwrap_err();
            assert!(error.starts_with(why), "{text}: {error}");
        }
        assert!(whole_value(&format!("({})", "a".repeat(1_000))).unwrap_err().contains("1000 bytes"));
    }
}
