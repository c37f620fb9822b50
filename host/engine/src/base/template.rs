//! A text with placeholders such as `{version}`; `{{` and `}}` are literal braces.
//!
//! Invariant: [`Template::fill`] inserts values unchanged. They are not split, quoted or parsed again.

use std::collections::BTreeMap;

/// A text with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<TemplatePart>);

/// A part of a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplatePart {
    /// Literal text; never empty, and never next to another one.
    Text(String),
    /// The name of a placeholder. Callers check which names are valid; the empty name is possible.
    Placeholder(String),
}

/// Why a text is not a template, or why a template cannot be filled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A brace in this text neither encloses a name nor is written twice.
    #[error("`{0}` has an unmatched brace")]
    UnmatchedBrace(String),
    /// The placeholder of this name has no value.
    #[error("the placeholder `{{{0}}}` has no value")]
    MissingValue(String),
}

impl Template {
    /// A template without placeholders; braces in `text` are literal.
    pub fn literal(text: impl Into<String>) -> Self {
        let text = text.into();
        Self(if text.is_empty() { Vec::new() } else { vec![TemplatePart::Text(text)] })
    }

    /// Parses literal text and placeholders.
    ///
    /// # Errors
    /// [`TemplateError::UnmatchedBrace`].
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let unmatched = || TemplateError::UnmatchedBrace(text.to_owned());
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let tail = &rest[at..];
            if let Some(after) = tail.strip_prefix("{{").or_else(|| tail.strip_prefix("}}")) {
                plain.push_str(&tail[..1]);
                rest = after;
                continue;
            }
            let (name, after) = tail.strip_prefix('{').and_then(|tail| tail.split_once('}')).ok_or_else(unmatched)?;
            if name.contains('{') {
                return Err(unmatched());
            }
            if !plain.is_empty() {
                parts.push(TemplatePart::Text(std::mem::take(&mut plain)));
            }
            parts.push(TemplatePart::Placeholder(name.to_owned()));
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(TemplatePart::Text(plain));
        }
        Ok(Self(parts))
    }

    /// Doubles the braces of a text, so that it parses as literal text.
    pub fn escape(text: &str) -> String {
        text.replace('{', "{{").replace('}', "}}")
    }

    /// Its parts in their order.
    pub fn parts(&self) -> &[TemplatePart] {
        &self.0
    }

    /// The names of the placeholders, in their order; a name that is used twice comes twice.
    pub fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            TemplatePart::Text(_) => None,
            TemplatePart::Placeholder(name) => Some(name.as_str()),
        })
    }

    /// Replaces the placeholders by their values.
    ///
    /// # Errors
    /// [`TemplateError::MissingValue`].
    pub fn fill(&self, values: &BTreeMap<String, String>) -> Result<String, TemplateError> {
        let mut filled = String::new();
        for part in &self.0 {
            filled.push_str(match part {
                TemplatePart::Text(text) => text,
                TemplatePart::Placeholder(name) => {
                    values.get(name).ok_or_else(|| TemplateError::MissingValue(name.clone()))?
                }
            });
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(text: &str) -> String {
        let values = [("version".to_owned(), "1 {region}; $(x)".to_owned()), ("region".to_owned(), "eu".to_owned())];
        Template::parse(text).unwrap().fill(&values.into()).unwrap()
    }

    #[test]
    fn values_are_inserted_unchanged() {
        assert_eq!(fill("a-{version}-{region}"), "a-1 {region}; $(x)-eu");
        assert_eq!(fill("{{version}} {{{region}}}"), "{version} {eu}");
        assert_eq!(fill(&Template::escape("{version}")), "{version}");
        assert_eq!(fill(""), "");
    }

    #[test]
    fn an_unmatched_brace_is_an_error() {
        for text in ["{", "}", "a{version", "version}", "{version}}", "{{version}", "{a{b}", "{a{{b}"] {
            assert_eq!(Template::parse(text), Err(TemplateError::UnmatchedBrace(text.to_owned())));
        }
    }

    #[test]
    fn a_placeholder_without_a_value_is_an_error() {
        let template = Template::parse("{version}").unwrap();
        assert_eq!(template.placeholders().collect::<Vec<_>>(), ["version"]);
        assert_eq!(template.fill(&BTreeMap::new()), Err(TemplateError::MissingValue("version".to_owned())));
    }
}
