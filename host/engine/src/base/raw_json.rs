//! Reads single values of a JSON text by JSON pointers (RFC 6901). Numbers keep the digits of the text.
//!
//! Invariant: the text is not copied into a tree. The memory for a text of any size is that of the values that are
//! read, and a deeply nested text does not use the stack.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A JSON text that consists of one valid value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawJson<'j>(&'j RawValue);

/// A value in a JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum JsonValue {
    Text(String),
    /// A number with the characters of the text, for example `1.10` or `1e3`.
    Number(String),
    Boolean(bool),
    Null,
    Array,
    Object,
}

/// The reason why a value cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum JsonError {
    /// An object on the way to the value has this key twice. JSON parsers differ in the value that they use.
    DuplicateKey(String),
    /// The value or a key is text with an escape that stands for no character, such as `\ud800`.
    NotText,
}

/// A JSON pointer, for example `/build/version`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JsonPointer {
    text: String,
    keys: Vec<String>,
}

impl JsonPointer {
    /// Parses a JSON pointer. The empty pointer, which stands for the whole text, is not accepted.
    ///
    /// # Errors
    /// The reason why the text is not a pointer, as the end of a sentence.
    pub(crate) fn new(text: &str) -> Result<Self, &'static str> {
        let Some(path) = text.strip_prefix('/') else { return Err("it does not begin with `/`") };
        let escaped = |key: &str| key.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
        if !path.split('/').all(escaped) {
            return Err("a `~` in it is not written as `~0`, and a `/` in a key is written as `~1`");
        }
        let keys = path.split('/').map(|key| key.replace("~1", "/").replace("~0", "~")).collect();
        Ok(Self { text: text.to_owned(), keys })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

impl<'j> RawJson<'j> {
    /// Returns `None` if the text is not one valid JSON value.
    pub(crate) fn parse(text: &'j str) -> Option<Self> {
        serde_json::from_str(text).ok().map(Self)
    }

    /// Returns the value at a pointer; `None` if there is no such value.
    ///
    /// # Errors
    /// [`JsonError`].
    pub(crate) fn at(self, pointer: &JsonPointer) -> Result<Option<JsonValue>, JsonError> {
        let mut raw = self.0;
        for key in &pointer.keys {
            match member(raw, key)? {
                Some(found) => raw = found,
                None => return Ok(None),
            }
        }
        let text = raw.get();
        Ok(Some(match text.as_bytes().first() {
            Some(b'{') => JsonValue::Object,
            Some(b'[') => JsonValue::Array,
            Some(b'"') => JsonValue::Text(serde_json::from_str(text).map_err(|_| JsonError::NotText)?),
            Some(b't') => JsonValue::Boolean(true),
            Some(b'f') => JsonValue::Boolean(false),
            Some(b'n') | None => JsonValue::Null,
            Some(_) => JsonValue::Number(text.to_owned()),
        }))
    }
}

/// Returns the member of an object, or the item of an array, with this key. Other values have no members.
fn member<'j>(raw: &'j RawValue, key: &str) -> Result<Option<&'j RawValue>, JsonError> {
    let mut json = serde_json::Deserializer::from_str(raw.get());
    let found = match raw.get().as_bytes().first() {
        Some(b'{') => json.deserialize_map(Member(key)),
        Some(b'[') => json.deserialize_seq(Member(key)),
        _ => return Ok(None),
    };
    match found.map_err(|_| JsonError::NotText)? {
        Found::None => Ok(None),
        Found::One(value) => Ok(Some(value)),
        Found::Several => Err(JsonError::DuplicateKey(key.to_owned())),
    }
}

struct Member<'k>(&'k str);

enum Found<'j> {
    None,
    One(&'j RawValue),
    Several,
}

impl<'j> Visitor<'j> for Member<'_> {
    type Value = Found<'j>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'j>>(self, mut map: A) -> Result<Found<'j>, A::Error> {
        let mut found = Found::None;
        while let Some(is_key) = map.next_key_seed(IsKey(self.0))? {
            found = match (is_key, found) {
                (false, found) => {
                    map.next_value::<IgnoredAny>()?;
                    found
                }
                (true, Found::None) => Found::One(map.next_value()?),
                (true, _) => {
                    map.next_value::<IgnoredAny>()?;
                    Found::Several
                }
            };
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'j>>(self, mut list: A) -> Result<Found<'j>, A::Error> {
        // An index has no leading zeros.
        let index = self.0.parse::<usize>().ok().filter(|index| index.to_string() == self.0);
        let mut found = Found::None;
        let mut next = 0;
        while index != Some(next) && list.next_element::<IgnoredAny>()?.is_some() {
            next += 1;
        }
        if let Some(value) = list.next_element()? {
            found = Found::One(value);
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(found)
    }
}

/// Compares a key of an object without a copy of the key.
struct IsKey<'k>(&'k str);

impl<'j> DeserializeSeed<'j> for IsKey<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'j>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for IsKey<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str, pointer: &str) -> Result<Option<JsonValue>, JsonError> {
        RawJson::parse(text).expect("valid JSON").at(&JsonPointer::new(pointer).expect("a pointer"))
    }

    fn number(text: &str) -> Result<Option<JsonValue>, JsonError> {
        Ok(Some(JsonValue::Number(text.to_owned())))
    }

    #[test]
    fn a_number_keeps_the_digits_of_the_text() {
        for digits in ["0", "-0", "1.10", "1.0", "1e3", "1E+03", "12345678901234567890", "1e400", "-7.50e-10"] {
            assert_eq!(at(&format!(r#"{{"n":  {digits} }}"#), "/n"), number(digits));
            assert_eq!(at(&format!("[1, {digits}, 2]"), "/1"), number(digits));
        }
    }

    #[test]
    fn a_value_has_the_type_of_the_text() {
        let text = r#" {"a": [true, {"b": "x\u00e9\n"}], "n": null, "": "empty", "x/y": "slash", "m~n": "tilde"} "#;
        assert_eq!(at(text, "/a/0"), Ok(Some(JsonValue::Boolean(true))));
        assert_eq!(at(text, "/a/1/b"), Ok(Some(JsonValue::Text("x\u{e9}\n".into()))));
        assert_eq!(at(text, "/a/1"), Ok(Some(JsonValue::Object)));
        assert_eq!(at(text, "/a"), Ok(Some(JsonValue::Array)));
        assert_eq!(at(text, "/n"), Ok(Some(JsonValue::Null)));
        assert_eq!(at(text, "/"), Ok(Some(JsonValue::Text("empty".into()))));
        assert_eq!(at(text, "/x~1y"), Ok(Some(JsonValue::Text("slash".into()))));
        assert_eq!(at(text, "/m~0n"), Ok(Some(JsonValue::Text("tilde".into()))));
        for missing in ["/b", "/a/2", "/a/01", "/a/-", "/a/x", "/n/x", "/a/1/b/c", "/a/18446744073709551616"] {
            assert_eq!(at(text, missing), Ok(None), "{missing}");
        }
    }

    #[test]
    fn a_key_that_occurs_twice_is_an_error_only_on_the_way_to_the_value() {
        let text = r#"{"a": {"b": 1, "b": 2, "c": 3}, "d": {"e": 1}, "d": {"e": 1}}"#;
        assert_eq!(at(text, "/a/b"), Err(JsonError::DuplicateKey("b".into())));
        assert_eq!(at(text, "/a/c"), number("3"));
        assert_eq!(at(text, "/d/e"), Err(JsonError::DuplicateKey("d".into())));
        // Two spellings of one key are the same key.
        assert_eq!(at(r#"{"b": 1, "\u0062": 2}"#, "/b"), Err(JsonError::DuplicateKey("b".into())));
        assert_eq!(at(r#"{"a": "\ud800"}"#, "/a"), Err(JsonError::NotText));
    }

    #[test]
    fn only_one_whole_value_is_valid() {
        for text in ["", " ", "{", "{}x", "[1,]", "01", "1.", "nul", "{\"a\" 1}", "\u{feff}{}", "\"\\x\"", "[NaN]"] {
            assert!(RawJson::parse(text).is_none(), "{text}");
        }
        // Deep nesting uses no stack.
        let deep = format!("{{\"deep\": {}{}, \"a\": 1}}", "[".repeat(200_000), "]".repeat(200_000));
        assert_eq!(at(&deep, "/a"), number("1"));
        assert!(RawJson::parse(&"[".repeat(200_000)).is_none());
    }

    #[test]
    fn a_pointer_begins_with_a_slash_and_has_valid_escapes() {
        for text in ["", "a", "a/b", "/a~", "/a~2", "/~a/b"] {
            assert!(JsonPointer::new(text).is_err(), "{text}");
        }
        assert_eq!(JsonPointer::new("/~01").expect("a pointer").keys, ["~1"]);
    }

    proptest! {
        #[test]
        fn texts_and_positions_agree_with_the_tree_of_serde_json(key in "[a-z/~\"\\\\é]{0,6}", value in ".{0,20}") {
            let tree = serde_json::json!({ "other": [1], key.clone(): [{ "x": value }] });
            let pointer = format!("/{}/0/x", key.replace('~', "~0").replace('/', "~1"));
            let found = tree.pointer(&pointer).and_then(|value| value.as_str()).map(|text| JsonValue::Text(text.into()));
            prop_assert_eq!(at(&tree.to_string(), &pointer), Ok(found));
        }
    }
}
