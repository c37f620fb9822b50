//! The query `tree`, which selects the fields of a JSON answer: `a,b[c,d],e[f]{0,5}`.
//!
//! Source: Jenkins' `hudson/model/Api.java` and stapler's `export/TreePruner`, `NamedPathPruner` (names, nesting, and the
//! range `{M,N}` of a list, without its end). `_class` is always in an answer.

use std::collections::BTreeMap;

use serde_json::Value;

/// The selected fields of an object.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tree(BTreeMap<String, (Tree, Option<(usize, usize)>)>);

impl Tree {
    /// Parses a query. Returns `None` if it is malformed; Jenkins then answers with an error.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut rest = text;
        let tree = Self::fields(&mut rest)?;
        rest.is_empty().then_some(tree)
    }

    fn fields(rest: &mut &str) -> Option<Self> {
        let mut fields = BTreeMap::new();
        loop {
            let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(rest.len());
            if end == 0 {
                return None;
            }
            let (name, after) = rest.split_at(end);
            *rest = after;
            let mut below = Self::default();
            if let Some(after) = rest.strip_prefix('[') {
                *rest = after;
                below = Self::fields(rest)?;
                *rest = rest.strip_prefix(']')?;
            }
            let mut range = None;
            if let Some(after) = rest.strip_prefix('{') {
                let (text, after) = after.split_once('}')?;
                *rest = after;
                let (from, to) = text.split_once(',')?;
                range = Some((from.trim().parse().unwrap_or(0), to.trim().parse().unwrap_or(usize::MAX)));
            }
            fields.insert(name.to_owned(), (below, range));
            match rest.strip_prefix(',') {
                Some(after) => *rest = after,
                None => return Some(Self(fields)),
            }
        }
    }

    /// Returns a value with the selected fields only.
    pub(crate) fn prune(&self, value: Value) -> Value {
        match value {
            Value::Object(fields) => {
                let kept = fields.into_iter().filter_map(|(name, value)| {
                    if name == "_class" {
                        return Some((name, value));
                    }
                    let (below, range) = self.0.get(&name)?;
                    Some((name, below.prune(slice(value, *range))))
                });
                Value::Object(kept.collect())
            }
            Value::Array(list) => Value::Array(list.into_iter().map(|value| self.prune(value)).collect()),
            // A nested object without selected fields has only its class.
            other => other,
        }
    }
}

fn slice(value: Value, range: Option<(usize, usize)>) -> Value {
    match (value, range) {
        (Value::Array(list), Some((from, to))) => Value::Array(list.into_iter().take(to).skip(from).collect()),
        (value, _) => value,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_selected_fields_are_kept() {
        let value = json!({
            "_class": "x", "a": 1, "b": {"_class": "y", "c": 2, "d": 3}, "e": [{"f": 1, "g": 1}, {"f": 2}, {"f": 3}],
        });
        let tree = Tree::parse("a,b[c],e[f]{1,3}").expect("a tree");
        let expected = json!({"_class": "x", "a": 1, "b": {"_class": "y", "c": 2}, "e": [{"f": 2}, {"f": 3}]});
        assert_eq!(tree.prune(value), expected);
    }

    #[test]
    fn a_malformed_query_is_rejected() {
        for text in ["", "a,", "a[", "a[]", "a[b]]", "a{1", "a b"] {
            assert_eq!(Tree::parse(text), None, "{text}");
        }
    }
}
