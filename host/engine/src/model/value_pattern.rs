//! Regular expressions that the values of pipeline parameters and plugin settings must match.

use regex_automata::meta::{BuildError, Config, Regex};
use regex_syntax::{
    ParserBuilder,
    hir::{Class, ClassUnicode, ClassUnicodeRange, Hir, HirKind, Look, Repetition},
};

/// The maximum length of an expression's text, in bytes. A parsed set such as `\w` needs about 6 KiB, so that the parsed
/// expression of a text of this length needs at most a few MiB.
const MAX_PATTERN_LENGTH: usize = 1_000;
/// The maximum size of a compiled expression, in bytes. A short text such as `\pL{150}` can have a large expression, which
/// takes seconds to compile.
pub(crate) const MAX_PATTERN_SIZE: usize = 1 << 20;
/// The maximum depth of groups and repetitions. [`without_dash`] copies the inner expression at each nested repetition,
/// so its result is at most this many times larger than the expression.
const MAX_DEPTH: u32 = 10;
/// A set of at most this many characters, such as `[-+]`, counts as a written dash if it contains a dash.
const MAX_WRITTEN: u32 = 3;

/// A regular expression that must match the whole value of a pipeline parameter or plugin setting.
///
/// A program could read a value such as `-rf` as a flag. A value that begins with a dash therefore matches only if the
/// expression matches this dash with a written dash, as in `-?[0-9]+`, and not with a set such as `.` or `[a-z-]`.
#[derive(Debug, Clone)]
pub(crate) struct ValuePattern {
    text: String,
    whole: Regex,
    /// Matches the values that begin with a written dash.
    dashed: Regex,
}

impl ValuePattern {
    /// # Errors
    /// The reason why the expression is invalid, in one line.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        check_pattern_length(text)?;
        // Parse the text alone, before it becomes a part of another expression: `a)|(?:.*` is not valid.
        let hir = ParserBuilder::new().nest_limit(MAX_DEPTH).build().parse(text);
        let hir = hir.map_err(|error| last_line(&error.to_string()))?;
        // Compile the expression itself first, so that only an expression of a valid size is changed and compiled again.
        let whole = anchored(hir.clone())?;
        Ok(Self { text: text.to_owned(), whole, dashed: anchored(without_dash(&hir))? })
    }

    /// Returns whether a value is valid: the expression matches the whole value. A value with a zero byte is never
    /// valid. A value that begins with a dash is valid only if the expression begins with a written dash.
    pub(crate) fn matches(&self, value: &str) -> bool {
        let pattern = if value.starts_with('-') { &self.dashed } else { &self.whole };
        !value.contains('\0') && pattern.is_match(value)
    }

    /// Returns the requirement that an invalid value violates, as text for messages, for example `the value must not
    /// begin with a dash`.
    pub(crate) fn requirement(&self, value: &str) -> String {
        match value.starts_with('-') && self.whole.is_match(value) {
            true => "the value must not begin with a dash".to_owned(),
            false => format!("the value must match `{}`", self.text),
        }
    }
}

/// Checks the length of an expression's text.
///
/// # Errors
/// The text is longer than [`MAX_PATTERN_LENGTH`]. The error is the reason, in one line.
pub(crate) fn check_pattern_length(text: &str) -> Result<(), String> {
    match text.len() > MAX_PATTERN_LENGTH {
        true => Err(format!("it is longer than {MAX_PATTERN_LENGTH} bytes; use a shorter expression")),
        false => Ok(()),
    }
}

/// Compiles an expression that must match the whole text. Compiles the parsed expression, because its text can be much
/// larger: each set is written with all its ranges.
fn anchored(hir: Hir) -> Result<Regex, String> {
    let whole = Hir::concat(vec![Hir::look(Look::Start), hir, Hir::look(Look::End)]);
    let config = Config::new().nfa_size_limit(Some(MAX_PATTERN_SIZE));
    let built = Regex::builder().configure(config).build_from_hir(&whole);
    built.map_err(|error: BuildError| match error.size_limit() {
        Some(_) => "it is too large; use fewer or shorter repetitions, or smaller sets of characters".to_owned(),
        None => last_line(&error.to_string()),
    })
}

fn last_line(error: &str) -> String {
    error.lines().last().unwrap_or("").trim_start_matches("error: ").to_owned()
}

/// Removes the dash from each large set of characters that can match the first character of a text.
fn without_dash(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) | HirKind::Literal(_) => hir.clone(),
        HirKind::Class(class) => Hir::class(without_dash_in(class)),
        HirKind::Capture(capture) => without_dash(&capture.sub),
        HirKind::Alternation(parts) => Hir::alternation(parts.iter().map(without_dash).collect()),
        HirKind::Concat(parts) => {
            // The first character can be in every part before the first part that matches no empty text.
            let mut first = true;
            let part = |part: &Hir| {
                let changed = if first { without_dash(part) } else { part.clone() };
                first &= is_nullable(part);
                changed
            };
            Hir::concat(parts.iter().map(part).collect())
        }
        HirKind::Repetition(repetition) => {
            let sub = &repetition.sub;
            if repetition.max == Some(0) {
                return Hir::empty();
            }
            // The first character can be in every repetition of an expression that matches an empty text, so one copy
            // is enough. Two copies would double the size at each nested repetition.
            if is_nullable(sub) {
                return Hir::repetition(Repetition { sub: Box::new(without_dash(sub)), ..repetition.clone() });
            }
            let rest = Repetition {
                min: repetition.min.saturating_sub(1),
                max: repetition.max.map(|max| max.saturating_sub(1)),
                ..repetition.clone()
            };
            let once = Hir::concat(vec![without_dash(sub), Hir::repetition(rest)]);
            if repetition.min == 0 { Hir::alternation(vec![once, Hir::empty()]) } else { once }
        }
    }
}

fn is_nullable(hir: &Hir) -> bool {
    hir.properties().minimum_len() == Some(0)
}

fn without_dash_in(class: &Class) -> Class {
    let mut set = match class {
        Class::Unicode(set) => set.clone(),
        // The parser accepts only sets of ASCII bytes.
        Class::Bytes(set) => set.to_unicode_class().unwrap_or_else(ClassUnicode::empty),
    };
    let size: u32 = set.iter().map(|range| u32::from(range.end()) - u32::from(range.start()) + 1).sum();
    if size > MAX_WRITTEN {
        set.difference(&ClassUnicode::new([ClassUnicodeRange::new('-', '-')]));
    }
    Class::Unicode(set)
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
    fn a_leading_dash_needs_an_expression_that_begins_with_a_written_one() {
        for (pattern, value, matches) in [
            (".*", "-rf", false),
            (".*", "a-rf", true),
            ("-?[0-9]+", "-5", true),
            (r"\-[0-9]", "-5", true),
            ("[-+]?[0-9]+", "-5", true),
            ("(-rc)?[a-z0-9-]+", "-rf", false),
            ("(-rc)?[a-z0-9-]+", "-rc1", true),
            ("(-rc)?[a-z0-9-]+", "rc-1", true),
            ("[a-z-]+", "-x", false),
            ("(?:a|[^b])*", "-x", false),
            ("(?:x?){3}.+", "-x", false),
            ("(?:)(.)", "-", false),
            ("(-|x).+", "-x", true),
            ("(-|x).+", "--x", true),
            ("a{0}.+", "-x", false),
        ] {
            assert_eq!(ValuePattern::new(pattern).unwrap().matches(value), matches, "{pattern} {value}");
        }
        let requirement = |pattern: &str| ValuePattern::new(pattern).unwrap().requirement("-rf");
        assert_eq!(requirement("[a-z-]+"), "the value must not begin with a dash");
        assert_eq!(requirement("[0-9]+"), "the value must match `[0-9]+`");
    }

    #[test]
    fn a_pattern_cannot_end_the_group_around_it_and_is_not_large() {
        let nested = format!("a{}", "*".repeat(60));
        for text in [r"1\.0)|(?:.*", "(?x)a #", "a(", r"\pL{150}", &nested] {
            if text == "(?x)a #" {
                assert!(!ValuePattern::new(text).unwrap().matches("ab"));
            } else {
                ValuePattern::new(text).unwrap_err();
            }
        }
        ValuePattern::new("[0-9a-f]{40}").unwrap();
        ValuePattern::new(&"a".repeat(MAX_PATTERN_LENGTH)).unwrap();
        let long = ValuePattern::new(&"a".repeat(MAX_PATTERN_LENGTH + 1)).unwrap_err();
        assert_eq!(long, "it is longer than 1000 bytes; use a shorter expression");
        ValuePattern::new(r"[\p{L}0-9._-]{1,20}").unwrap();
    }

    /// Returns the number of nodes of a parsed expression, which measures the memory and time that it needs.
    fn nodes(hir: &Hir) -> usize {
        1 + hir.kind().subs().iter().map(nodes).sum::<usize>()
    }

    #[test]
    fn nested_repetitions_do_not_multiply_the_size_of_the_expression() {
        let parse = |text: &str| ParserBuilder::new().nest_limit(MAX_DEPTH).build().parse(text).unwrap();
        let depth = usize::try_from(MAX_DEPTH).unwrap();
        for text in [
            format!("(?:{})*****", r"\w*".repeat(330)),
            format!("(?:{})*****", "[a-z-]*".repeat(140)),
            format!("(?:{})+++++", "[a-z-]?".repeat(140)),
            "(?:(?:(?:(?:a+)+)+)+)+".to_owned(),
        ] {
            let (whole, changed) = (parse(&text), without_dash(&parse(&text)));
            let (before, after) = (nodes(&whole), nodes(&changed));
            assert!(after <= before * depth, "{text}: {before} nodes became {after}");
        }
    }

    #[test]
    fn a_text_of_large_sets_is_refused() {
        let nested = format!("(?:{})*****", r"\w*".repeat(330));
        for text in [nested, r"\w".repeat(500), format!("(?i){}", r"\PL".repeat(300))] {
            let reason = ValuePattern::new(&text).unwrap_err();
            assert!(reason.starts_with("it is too large"), "{reason}");
        }
        let reason = ValuePattern::new(&r"\w".repeat(5_000)).unwrap_err();
        assert!(reason.starts_with("it is longer than 1000 bytes"), "{reason}");
    }
}
