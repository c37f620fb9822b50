//! The parameters of an opened pipeline, which a person types as text.
//!
//! The text is one of: words `NAME=VALUE`, the lines of a TOML document, a JSON object. A value is taken as it was written,
//! so that `1.10` stays `1.10`.
//!
//! Invariant: a plugin passes on the typed text as a whole, or single parameters. The host parses the text, so that a
//! plugin cannot change a value that the person typed.

use std::{collections::BTreeMap, fmt};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{
    base::check_visible,
    command::words,
    hostcall::host_call::problem,
    plugin::bindings::types::{self, Entry},
};

/// The name of an entry whose value is a text with assignments.
pub(super) const TEXT: &str = "*";
/// The maximum length of a name, in bytes.
const MAX_NAME: usize = 256;
/// The maximum number of parameters.
const MAX_PARAMETERS: usize = 200;

/// Returns the parameters that a plugin passes to an opened pipeline, in their order.
///
/// # Errors
/// A text is not a list of assignments: the reason for people.
pub(super) fn given(entries: &[Entry]) -> Result<Vec<(String, String)>, String> {
    let mut all = Vec::new();
    for entry in entries {
        if entry.name == TEXT {
            all.extend(parse(&entry.value)?);
        } else {
            all.push((entry.name.clone(), entry.value.clone()));
        }
    }
    Ok(all)
}

/// Returns the assignments in a text; none if the text is not a list of assignments.
pub(crate) fn assignments(text: &str) -> Vec<(String, String)> {
    parse(text).unwrap_or_default()
}

/// Returns the values of an opened pipeline by their names.
///
/// # Errors
/// `invalid` if a text cannot be parsed, if a parameter is given twice, or if people could not read a value.
pub(super) fn checked(pipeline: &str, entries: &[Entry]) -> Result<BTreeMap<String, String>, types::Error> {
    let invalid = |message: String| Err(problem("invalid", message));
    let given = match given(entries) {
        Ok(given) => given,
        Err(reason) => return invalid(reason),
    };
    if given.len() > MAX_PARAMETERS {
        return invalid(format!("a run of `{pipeline}` can have at most {MAX_PARAMETERS} parameters"));
    }
    let mut values = BTreeMap::new();
    for (name, value) in given {
        let shown = crate::base::clean(&name);
        if name.is_empty() || name.len() > MAX_NAME || check_visible(&name).is_err() {
            return invalid(format!("`{shown}` is not a valid name of a parameter"));
        }
        // A person must be able to read the value that the pipeline receives.
        if let Err(reason) = check_visible(&value) {
            return invalid(format!("the value of the parameter `{shown}` is not valid: {reason}"));
        }
        if values.insert(name, value).is_some() {
            return invalid(format!("the parameter `{shown}` is given twice"));
        }
    }
    Ok(values)
}

/// Parses a text with assignments.
fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    let text = text.trim();
    if text.starts_with('{') {
        return json(text);
    }
    match of_words(text) {
        Some(assignments) => Ok(assignments),
        None => of_toml(text).ok_or_else(|| {
            "the parameters cannot be read; write `NAME=VALUE` for each, lines such as `NAME = \"VALUE\"`, or a JSON object"
                .to_owned()
        }),
    }
}

/// Parses words of the form `NAME=VALUE`. A value with blanks is in quotation marks: `NAME="a b"`.
fn of_words(text: &str) -> Option<Vec<(String, String)>> {
    let split = |word: String| {
        let (name, value) = word.split_once('=')?;
        (!name.is_empty()).then(|| (name.to_owned(), value.to_owned()))
    };
    words(text)?.into_iter().map(split).collect()
}

fn of_toml(text: &str) -> Option<Vec<(String, String)>> {
    let table = DeTable::parse(text).ok()?;
    let assignment = |(name, value): (&Spanned<std::borrow::Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
        let value_text = match value.get_ref() {
            DeValue::String(value) => value.to_string(),
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) => text.get(value.span())?.to_owned(),
            DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => return None,
        };
        Some((name.get_ref().to_string(), value_text))
    };
    table.get_ref().iter().map(assignment).collect()
}

/// The fields of a JSON object in their order, also those that occur twice.
struct Fields<'j>(Vec<(String, &'j RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Collect)
    }
}

fn json(text: &str) -> Result<Vec<(String, String)>, String> {
    let Fields(object) = serde_json::from_str(text)
        .map_err(|error| format!("the JSON object of the parameters cannot be read: {error}"))?;
    let assignment = |(name, raw): (String, &RawValue)| {
        let written = raw.get();
        let value = match written.as_bytes().first() {
            Some(b'"') => serde_json::from_str(written).ok(),
            Some(b'{' | b'[' | b'n') | None => None,
            Some(_) => Some(written.to_owned()),
        };
        let value = value.ok_or_else(|| {
            format!("the parameter `{}` must be a text, a number, or true or false", crate::base::clean(&name))
        });
        value.map(|value| (name, value))
    };
    object.into_iter().map(assignment).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<(String, String)>, String> {
        parse(text)
    }

    fn pairs(expected: &[(&str, &str)]) -> Result<Vec<(String, String)>, String> {
        Ok(expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn each_form_keeps_the_values_as_written() {
        let expected = pairs(&[("DRY", "true"), ("TAG", "1.10")]);
        assert_eq!(parsed("DRY=true TAG=1.10"), expected);
        assert_eq!(parsed("DRY = true\nTAG = 1.10\n"), expected);
        assert_eq!(parsed("DRY = true\nTAG = \"1.10\""), expected);
        assert_eq!(parsed("{\"DRY\": true, \"TAG\": 1.10}"), expected);
        assert_eq!(parsed("NOTE=\"two words\" EMPTY="), pairs(&[("NOTE", "two words"), ("EMPTY", "")]));
        assert_eq!(parsed("URL=https://a/?b=c"), pairs(&[("URL", "https://a/?b=c")]));
        assert_eq!(parsed(""), pairs(&[]));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["1.0.2", "TAG", "=x", "[table]\na = 1", "a = [1]", "a = {b = 1}"] {
            assert!(parsed(text).unwrap_err().starts_with("the parameters cannot be read"), "{text}");
        }
        assert!(parsed("{\"a\": [1]}").unwrap_err().starts_with("the parameter `a` must be a text"));
        assert!(parsed("{\"a\"").unwrap_err().starts_with("the JSON object"));
    }

    #[test]
    fn names_and_values_must_be_readable_and_unique() {
        let checked = |text: &str| {
            let entries = [Entry { name: TEXT.to_owned(), value: text.to_owned() }];
            checked("ci:web", &entries).map_err(|error| match error {
                types::Error::Other(problem) => problem.message,
                types::Error::Denied(denial) => denial.message,
            })
        };
        assert_eq!(checked("A=1 B=2").unwrap().len(), 2);
        for twice in ["A=1 A=2", "{\"A\": 1, \"A\": 2}"] {
            assert_eq!(checked(twice).unwrap_err(), "the parameter `A` is given twice");
        }
        let message = checked("{\"A\": \"1\\n2\"}").unwrap_err();
        assert!(message.starts_with("the value of the parameter `A` is not valid"), "{message}");
    }
}
