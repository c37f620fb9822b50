//! Reads single fields of the server's JSON, and leaves all others unparsed.
//!
//! Invariant: if a value that a member of a channel chose, for example a post's `props`, cannot be parsed, at most the
//! object that holds it is lost. An unparsed field can be nested to any depth, and takes no more memory than its text.
//! Invariant: a field that is missing, null or of another type is read as its default value, because servers of many
//! versions are in use.

use std::collections::BTreeMap;

use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

/// The fields of a JSON object, each with its unparsed value.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct Object<'j> {
    #[serde(borrow)]
    fields: BTreeMap<String, &'j RawValue>,
}

impl<'j> Object<'j> {
    /// Parses an object. Any other value, and a text that is not JSON, is read as an object without fields.
    pub(crate) fn read(json: &'j str) -> Self {
        serde_json::from_str(json).unwrap_or_default()
    }

    /// Returns the JSON of a field; `null` if the field is missing.
    pub(crate) fn json(&self, key: &str) -> &'j str {
        self.fields.get(key).map_or("null", |value| value.get())
    }

    pub(crate) fn object(&self, key: &str) -> Self {
        Self::read(self.json(key))
    }

    pub(crate) fn text(&self, key: &str) -> String {
        text(self.json(key)).unwrap_or_default()
    }

    /// Returns a text; `None` if it is empty.
    pub(crate) fn non_empty(&self, key: &str) -> Option<String> {
        text(self.json(key)).filter(|text| !text.is_empty())
    }

    /// Returns a whole number; `None` if the field is not a number.
    pub(crate) fn integer(&self, key: &str) -> Option<i64> {
        let json = self.json(key);
        // A proxy may have changed the number to a floating-point number.
        #[expect(clippy::cast_possible_truncation, reason = "milliseconds fit")]
        let rounded = || serde_json::from_str::<f64>(json).ok().map(|number| number as i64);
        serde_json::from_str(json).ok().or_else(rounded)
    }

    pub(crate) fn number(&self, key: &str) -> i64 {
        self.integer(key).unwrap_or_default()
    }

    pub(crate) fn boolean(&self, key: &str) -> bool {
        self.json(key) == "true"
    }

    /// Parses a JSON text within the JSON. A value that is not a text is read as it is.
    pub(crate) fn inner_json(&self, key: &str) -> String {
        text(self.json(key)).unwrap_or_else(|| self.json(key).to_owned())
    }
}

/// Returns a JSON string; `None` for any other value.
pub(crate) fn text(json: &str) -> Option<String> {
    serde_json::from_str(json).ok()
}

/// Returns the unparsed entries of a list; `None` if the value is not a list.
pub(crate) fn list(json: &str) -> Option<Vec<&str>> {
    let entries: Vec<&RawValue> = serde_json::from_str(json).ok()?;
    Some(entries.into_iter().map(RawValue::get).collect())
}

pub(crate) fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deeply_nested_field_does_not_hide_the_others() {
        let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
        let json =
            format!(r#"{{"props": {{"x": {deep}, "y": "z"}}, "id": "p", "at": 1.7e12, "is": true, "no": null}}"#);
        assert!(is_json(&json) && !is_json("<html>") && !is_json("{} x"));
        let object = Object::read(&json);
        assert_eq!(
            (object.text("id"), object.number("at"), object.boolean("is")),
            ("p".into(), 1_700_000_000_000, true)
        );
        assert_eq!((object.non_empty("no"), object.integer("id"), object.boolean("missing")), (None, None, false));
        assert_eq!(object.object("props").text("y"), "z");
        assert_eq!(list(&format!("[{deep}, 7]")).map(|entries| entries.len()), Some(2));
        assert!(list("{}").is_none() && Object::read(&deep).fields.is_empty());
    }

    #[test]
    fn json_within_a_text_is_read() {
        let object = Object::read(r#"{"a": "{\"id\": \"p\"}", "b": {"id": "q"}}"#);
        let id = |key: &str| Object::read(&object.inner_json(key)).text("id");
        assert_eq!([id("a"), id("b"), id("c")], ["p", "q", ""]);
    }
}
