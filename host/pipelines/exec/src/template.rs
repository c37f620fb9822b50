//! A text with placeholders such as `{version}`.
//!
//! Invariant: filling a template gives one text, whatever the values hold. Values are not split, quoted or parsed again.

use std::collections::BTreeMap;

use wardroom::base::nearest;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Parameter(String),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TemplateError {
    pub(crate) message: String,
    /// The line to write instead.
    pub(crate) fix: String,
}

impl Template {
    /// A template without placeholders; braces in `text` are literal.
    pub(crate) fn literal(text: impl Into<String>) -> Self {
        Self(vec![Part::Text(text.into())])
    }

    /// Parses a template whose placeholders must be among `known`.
    pub(crate) fn parse(text: &str, known: &[String]) -> Result<Self, TemplateError> {
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
            let Some((name, after)) = tail.strip_prefix('{').and_then(|tail| tail.split_once('}')) else {
                return Err(TemplateError {
                    message: format!("`{text}` has an unmatched brace"),
                    fix: format!(
                        "{:?}   (a literal brace is written twice)",
                        text.replace('{', "{{").replace('}', "}}")
                    ),
                });
            };
            if !known.iter().any(|known| known == name) {
                return Err(unknown(text, name, known));
            }
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Parameter(name.to_owned()));
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self(parts))
    }

    /// The names of the placeholders.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Parameter(name) => Some(name.as_str()),
        })
    }

    /// Replaces the placeholders.
    ///
    /// # Errors
    /// The name of a placeholder without a value.
    pub(crate) fn fill(&self, values: &BTreeMap<String, String>) -> Result<String, String> {
        let mut filled = String::new();
        for part in &self.0 {
            filled.push_str(match part {
                Part::Text(text) => text,
                Part::Parameter(name) => values.get(name).ok_or_else(|| name.clone())?,
            });
        }
        Ok(filled)
    }
}

fn unknown(text: &str, name: &str, known: &[String]) -> TemplateError {
    let message = if known.is_empty() {
        format!("`{text}` names the parameter `{name}`, but the pipeline has no parameters")
    } else {
        let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
        format!("`{text}` names the parameter `{name}`; the pipeline has {}", known.join(", "))
    };
    let fix = match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("{:?}", text.replace(&format!("{{{name}}}"), &format!("{{{near}}}"))),
        None => format!("parameters = {{ {name} = '...' }}   (or `{{{{{name}}}}}` for a literal brace)"),
    };
    TemplateError { message, fix }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Template, TemplateError> {
        Template::parse(text, &["version".to_owned(), "region".to_owned()])
    }

    fn fill(text: &str) -> String {
        let values = [("version".to_owned(), "1 {region}; $(x)".to_owned()), ("region".to_owned(), "eu".to_owned())];
        parse(text).unwrap().fill(&values.into()).unwrap()
    }

    #[test]
    fn values_are_inserted_unchanged() {
        assert_eq!(fill("a-{version}-{region}"), "a-1 {region}; $(x)-eu");
        assert_eq!(fill("{{version}} {{{region}}}"), "{version} {eu}");
        assert_eq!(fill(""), "");
    }

    #[test]
    fn an_invalid_template_is_reported_with_its_fix() {
        assert_eq!(parse("{versoin}").unwrap_err().fix, "\"{version}\"");
        assert_eq!(
            parse("{x}").unwrap_err().message,
            "`{x}` names the parameter `x`; the pipeline has `version`, `region`"
        );
        for text in ["{", "}", "a{version", "version}", "{version}}"] {
            assert_eq!(parse(text).unwrap_err().message, format!("`{text}` has an unmatched brace"));
        }
    }

    #[test]
    fn a_placeholder_without_a_value_is_named() {
        assert_eq!(parse("{version}").unwrap().fill(&BTreeMap::new()), Err("version".to_owned()));
    }
}
