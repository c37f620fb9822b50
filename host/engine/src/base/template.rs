//! Templates: texts with placeholders such as `{version}`. A literal brace is doubled: `{{` or `}}`.
//!
//! Invariant: [`Template::fill`] inserts values unchanged. Values are not split, quoted or parsed again.

use std::collections::BTreeMap;

use super::{
    table::{Located, Table},
    text::nearest,
};

/// A text with placeholders, for example `release-{version}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<TemplatePart>);

/// A part of a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TemplatePart {
    /// Literal text. The text is never empty, and two literal parts are never adjacent.
    Text(String),
    /// The name of a placeholder. The name can be empty; the caller checks that the name is valid.
    Placeholder(String),
}

impl Template {
    /// Creates a template without placeholders. Braces in `text` are literal.
    pub fn literal(text: impl Into<String>) -> Self {
        let text = text.into();
        Self(if text.is_empty() { Vec::new() } else { vec![TemplatePart::Text(text)] })
    }

    /// Parses a text with placeholders.
    ///
    /// # Errors
    /// A message of one line if a brace in the text is neither doubled nor part of a placeholder.
    pub fn parse(text: &str) -> Result<Self, String> {
        let unmatched = || format!("`{text}` has an unmatched brace");
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

    /// Doubles the braces of a text, so that [`Template::parse`] reads the text as literal text.
    pub fn escape(text: &str) -> String {
        text.replace('{', "{{").replace('}', "}}")
    }

    /// Returns the parts of the template in the order of the text.
    pub(crate) fn parts(&self) -> &[TemplatePart] {
        &self.0
    }

    /// Returns the names of the placeholders in the order of the text, once for each use.
    pub fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            TemplatePart::Text(_) => None,
            TemplatePart::Placeholder(name) => Some(name.as_str()),
        })
    }

    /// Returns the text with each placeholder replaced by its value. `values` maps the names of placeholders to values.
    ///
    /// # Errors
    /// The name of the first placeholder without a value.
    pub fn fill(&self, values: &BTreeMap<String, String>) -> Result<String, String> {
        let mut filled = String::new();
        for part in &self.0 {
            filled.push_str(match part {
                TemplatePart::Text(text) => text,
                TemplatePart::Placeholder(name) => values.get(name).ok_or_else(|| name.clone())?,
            });
        }
        Ok(filled)
    }
}

impl Table {
    /// Parses a text of this table as a template, for example `cms-{version}`. A placeholder names one of the
    /// `parameters` of a pipeline. For an unmatched brace or an unknown parameter, adds a configuration problem and
    /// returns `None`.
    pub fn template(&self, text: &Located<String>, parameters: &[String]) -> Option<Template> {
        let problem = |message: String, fix: String| self.problem(&text.at, message, fix);
        let text = &text.value;
        let template = Template::parse(text)
            .map_err(|error| {
                problem(error, format!("{:?}   (a literal brace is written twice)", Template::escape(text)))
            })
            .ok()?;
        let Some(name) = template.placeholders().find(|name| !parameters.iter().any(|known| known == name)) else {
            return Some(template);
        };
        let message = if parameters.is_empty() {
            format!("`{text}` names the parameter `{name}`, but the pipeline has no parameters")
        } else {
            let listed: Vec<String> = parameters.iter().map(|name| format!("`{name}`")).collect();
            format!("`{text}` names the parameter `{name}`; the pipeline's parameters are {}", listed.join(", "))
        };
        let fix = match nearest(name, parameters.iter().map(String::as_str)) {
            Some(near) => format!("{:?}", text.replace(&format!("{{{name}}}"), &format!("{{{near}}}"))),
            None => format!("parameters = {{ {name} = '...' }}   (or `{{{{{name}}}}}` for a literal brace)"),
        };
        problem(message, fix);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Problem, TableKeys};

    /// Parses `text` as a template of a pipeline with the parameters `version` and `region`.
    fn parse(text: &str) -> Result<Template, Problem> {
        let (table, problems) = Table::parse("app.cms.deploy.staging", "", &TableKeys::NONE, "/");
        let located = Located { value: text.to_owned(), at: table.at().clone() };
        table
            .template(&located, &["version".to_owned(), "region".to_owned()])
            .ok_or_else(|| problems.sorted().remove(0))
    }

    #[test]
    fn an_invalid_template_is_reported_with_its_fix() {
        let fix = |text: &str| parse(text).unwrap_err().fix.expect("a fix");
        assert!(parse("a-{version}-{region}-{{x}}").is_ok());
        assert_eq!(fix("{versoin}"), "\"{version}\"");
        assert_eq!(
            parse("{x}").unwrap_err().message,
            "`{x}` names the parameter `x`; the pipeline's parameters are `version`, `region`"
        );
        for text in ["{", "}", "a{version", "version}", "{version}}"] {
            assert_eq!(parse(text).unwrap_err().message, format!("`{text}` has an unmatched brace"));
        }
        assert_eq!(fix("a}"), "\"a}}\"   (a literal brace is written twice)");
    }

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
            assert_eq!(Template::parse(text), Err(format!("`{text}` has an unmatched brace")));
        }
    }

    #[test]
    fn a_placeholder_without_a_value_is_an_error() {
        let template = Template::parse("{version}").unwrap();
        assert_eq!(template.placeholders().collect::<Vec<_>>(), ["version"]);
        assert_eq!(template.fill(&BTreeMap::new()), Err("version".to_owned()));
    }
}
