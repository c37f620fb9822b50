//! Patterns in rules: `*` matches any text without `/`, and `**` matches any text.

use globset::{GlobBuilder, GlobMatcher};

/// A pattern that matches whole values.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    text: String,
    shape: Shape,
}

/// The way in which a pattern is compared with a value. [`Shape::Glob`] is the general way. The other ways are for the
/// most common patterns, and are much cheaper.
#[derive(Debug, Clone)]
enum Shape {
    /// Matches only the text itself, for example `staging`.
    Literal,
    /// Matches any text without `/`: the pattern `*`.
    Part,
    /// Matches any text: the pattern `**`.
    Anything,
    /// Any other pattern, for example `cms/*`.
    Glob(GlobMatcher),
}

#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not a valid pattern: {reason}")]
pub(crate) struct PatternError {
    text: String,
    reason: String,
}

impl Pattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// [`PatternError`] if the text is not a valid pattern.
    pub(crate) fn new(text: impl Into<String>) -> Result<Self, PatternError> {
        let text = text.into();
        let invalid = |text: &str, reason: &str| PatternError { text: text.to_owned(), reason: reason.to_owned() };
        if text.is_empty() {
            return Err(invalid(&text, "a pattern cannot be empty"));
        }
        if !text.contains(['*', '?', '[', ']', '{', '}', '\\']) {
            return Ok(Self { text, shape: Shape::Literal });
        }
        if text.contains(['?', '[', ']', '{', '}', '\\']) {
            return Err(invalid(&text, "the only wildcards are `*` and `**`"));
        }
        let shape = match text.as_str() {
            "*" => Shape::Part,
            "**" => Shape::Anything,
            _ => Shape::Glob(
                GlobBuilder::new(&text)
                    .literal_separator(true)
                    .backslash_escape(false)
                    .build()
                    .map_err(|error| invalid(&text, &error.kind().to_string()))?
                    .compile_matcher(),
            ),
        };
        Ok(Self { text, shape })
    }

    /// Returns whether the pattern matches the whole value.
    pub(crate) fn matches(&self, value: &str) -> bool {
        match &self.shape {
            Shape::Literal => self.text == value,
            // `*` alone does not match `/`, as in any other pattern.
            Shape::Part => !value.is_empty() && !value.contains('/'),
            Shape::Anything => !value.is_empty(),
            Shape::Glob(glob) => !value.is_empty() && glob.is_match(value),
        }
    }

    /// Returns the pattern as the operator wrote it.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns whether the pattern has no wildcards, and so matches only one value.
    pub(crate) fn is_literal(&self) -> bool {
        matches!(self.shape, Shape::Literal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_does_not_match_a_slash() {
        let pattern = Pattern::new("cms/*").unwrap();
        assert!(pattern.matches("cms/staging"));
        assert!(!pattern.matches("cms/eu/staging"));
        assert!(!pattern.matches("xcms/staging"));
        assert!(Pattern::new("cms/**").unwrap().matches("cms/eu/staging"));
        assert!(!Pattern::new("*").unwrap().matches("a/b"));
        assert!(Pattern::new("**").unwrap().matches("a/b"));
    }

    #[test]
    fn a_pattern_of_only_stars_matches_as_in_a_glob() {
        let glob = |text| GlobBuilder::new(text).literal_separator(true).build().unwrap().compile_matcher();
        for text in ["*", "**"] {
            let (pattern, glob) = (Pattern::new(text).unwrap(), glob(text));
            for value in ["a", "a/b", "/", ".hidden", "a\nb", "\u{e9}", "a b"] {
                assert_eq!(pattern.matches(value), glob.is_match(value), "{text} {value:?}");
            }
            assert!(!pattern.matches(""));
        }
    }

    #[test]
    fn a_literal_matches_only_the_whole_value() {
        let pattern = Pattern::new("staging").unwrap();
        assert!(pattern.matches("staging"));
        assert!(!pattern.matches("staging2"));
        assert!(!pattern.matches(""));
    }

    #[test]
    fn other_wildcards_are_rejected() {
        for text in ["", "a?", "[ab]", "{a,b}", "a\\b"] {
            assert!(Pattern::new(text).is_err(), "{text}");
        }
    }

    #[test]
    fn dots_have_no_special_meaning() {
        assert!(!Pattern::new("v1.*").unwrap().matches("v1x2"));
        assert!(Pattern::new("*").unwrap().matches(".hidden"));
    }
}
