//! Regular expressions that the values of pipeline parameters and plugin settings must match.

use regex::Regex;

/// A regular expression that must match the whole value of a pipeline parameter or plugin setting.
#[derive(Debug, Clone)]
pub(crate) struct ValuePattern {
    text: String,
    whole: Regex,
    dash: bool,
}

impl ValuePattern {
    /// # Errors
    /// The reason why the expression is invalid, in one line.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let whole = Regex::new(&format!(r"\A(?:{text})\z")).map_err(|error| match error {
            regex::Error::Syntax(message) => {
                message.lines().last().unwrap_or("").trim_start_matches("error: ").to_owned()
            }
            other => other.to_string(),
        })?;
        // A program could read a value such as `-rf` as a flag. A value that begins with a dash is therefore valid only
        // if the expression itself begins with a dash.
        let bare = text.trim_start_matches(['^', '(', '?', ':']);
        let dash = bare.starts_with('-') || bare.starts_with("\\-") || bare.starts_with("[-");
        Ok(Self { text: text.to_owned(), whole, dash })
    }

    /// Returns whether a value is valid: the expression matches the whole value. A value with a zero byte is never
    /// valid. A value that begins with a dash is valid only if the expression also begins with a dash.
    pub(crate) fn matches(&self, value: &str) -> bool {
        (self.dash || !value.starts_with('-')) && !value.contains('\0') && self.whole.is_match(value)
    }

    /// Returns the requirement that an invalid value violates, as text for messages, for example `the value must not
    /// begin with a dash`.
    pub(crate) fn requirement(&self, value: &str) -> String {
        match value.starts_with('-') && !self.dash {
            true => "the value must not begin with a dash".to_owned(),
            false => format!("the value must match `{}`", self.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_the_whole_value() {
        let version = ValuePattern::new(r"[0-9]+\.[0-9]+|latest").unwrap();
        assert!(version.matches("1.2") && version.matches("latest"));
        for value in ["1.2.3", "x1.2", "latest ", "1.2\n", "latest\nx"] {
            assert!(!version.matches(value), "{value:?}");
        }
    }

    #[test]
    fn a_leading_dash_needs_an_expression_that_begins_with_one() {
        assert!(!ValuePattern::new(".*").unwrap().matches("-rf"));
        assert!(ValuePattern::new("-?[0-9]+").unwrap().matches("-5"));
        assert!(ValuePattern::new(".*").unwrap().matches("a-rf"));
    }
}
