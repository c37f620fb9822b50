//! Redaction: replaces the secrets in a text by [`MARKER`].
//!
//! Invariant: a text that went through a [`Redactor`] contains no secret of it in any of the forms in
//! [`forms`](forms::forms). Line ends and colours inside a form do not hide it.
//! Not here: where the secrets come from (`secret.rs`).

mod forms;
mod resolved;
mod stream;

use std::{borrow::Cow, collections::BTreeSet, fmt, ops::Range, sync::Arc};

use aho_corasick::AhoCorasick;
use serde_json::Value;

pub(crate) use resolved::remember;
pub use resolved::{redactor, remember_secret};
pub use stream::RedactionStream;

use super::Secret;

/// The text that replaces a secret.
pub(crate) const MARKER: &str = "[redacted]";
/// The minimum length in bytes of a secret. Anything shorter is not redacted, because it also occurs in ordinary text.
/// A line of a secret with several lines is redacted by itself if it has at least 16 bytes.
pub const MIN_SECRET_LENGTH: usize = 6;
/// Before a line end, at least this number of bytes of a form must match for a stream to keep them. Without a minimum,
/// a line that happens to end with the first letter of a secret would be delayed.
const MIN_BEFORE_LINE_END: usize = 4;
/// The first character of a sequence that controls a terminal.
const ESCAPE: u8 = 0x1b;

/// Finds a set of secrets in texts and replaces them. A clone is cheap and shares the search automaton.
///
/// ```
/// use wardroom::{base::Redactor, prelude::Secret};
///
/// let redactor = Redactor::new([&Secret::new("hunter2")]);
/// assert_eq!(redactor.redact("password: hunter2!"), "password: [redacted]!");
/// // `marvin:hunter2` in basic authentication.
/// assert_eq!(redactor.redact("Basic bWFydmluOmh1bnRlcjI="), "Basic bWFydmluOm[redacted]I=");
/// ```
#[derive(Clone, Default)]
pub struct Redactor(Option<Arc<Patterns>>);

struct Patterns {
    search: AhoCorasick,
    // The same patterns in byte order, for a search whether the end of a chunk can be the start of a secret.
    sorted: Vec<Vec<u8>>,
    longest: usize,
}

impl Redactor {
    /// Creates a redactor for secrets. Ignores secrets that are shorter than [`MIN_SECRET_LENGTH`].
    pub fn new<'s>(secrets: impl IntoIterator<Item = &'s Secret>) -> Self {
        let all: BTreeSet<Vec<u8>> = secrets.into_iter().flat_map(|secret| forms::forms(secret.expose())).collect();
        let sorted: Vec<Vec<u8>> = all.into_iter().collect();
        let Some(longest) = sorted.iter().map(Vec::len).max() else { return Self(None) };
        match AhoCorasick::new(&sorted) {
            Ok(search) => Self(Some(Arc::new(Patterns { search, sorted, longest }))),
            // The automaton has a limit of 2^31 states, which is gigabytes of secrets.
            Err(error) => panic!("the secrets are too large to be redacted: {error}"),
        }
    }

    /// Returns whether the redactor has no secrets. Then it changes no text.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Returns the length in bytes of the longest form of a secret; 0 without secrets. A caller that cuts a text first
    /// redacts this many bytes more on each side of the cut.
    pub fn longest(&self) -> usize {
        self.0.as_ref().map_or(0, |patterns| patterns.longest)
    }

    /// Replaces each secret in a text.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let Some(patterns) = &self.0 else { return Cow::Borrowed(text) };
        let found = patterns.find(text.as_bytes()).intervals;
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut redacted = Vec::with_capacity(text.len());
        write_redacted(text.as_bytes(), &found, &mut redacted);
        // Each form is UTF-8 text, so an interval begins and ends at a character boundary.
        Cow::Owned(String::from_utf8_lossy(&redacted).into_owned())
    }

    /// Returns whether a text contains a secret.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        self.0.as_ref().is_some_and(|patterns| !patterns.find(text.as_bytes()).intervals.is_empty())
    }

    /// Adds to `texts` each text of a JSON value that contains a secret, and each such number as digits. Ignores the keys
    /// of objects, because they are names of fields.
    pub(crate) fn secret_texts(&self, value: &Value, texts: &mut BTreeSet<String>) {
        let mut add = |text: String| {
            if self.is_in(&text) {
                texts.insert(text);
            }
        };
        match value {
            Value::String(text) => add(text.clone()),
            Value::Number(number) => add(number.to_string()),
            Value::Array(values) => values.iter().for_each(|value| self.secret_texts(value, texts)),
            Value::Object(fields) => fields.values().for_each(|value| self.secret_texts(value, texts)),
            Value::Null | Value::Bool(_) => {}
        }
    }

    /// Replaces each secret in those texts and numbers of a JSON value that `texts` contains. A number becomes 0, so
    /// that it can be decoded as a number.
    pub(crate) fn redact_json(&self, value: &mut Value, texts: &BTreeSet<String>) {
        match value {
            Value::String(text) if texts.contains(text) => *text = self.redact(text).into_owned(),
            Value::Number(number) if texts.contains(&number.to_string()) => *value = 0.into(),
            Value::Array(values) => values.iter_mut().for_each(|value| self.redact_json(value, texts)),
            Value::Object(fields) => fields.values_mut().for_each(|value| self.redact_json(value, texts)),
            _ => {}
        }
    }

    /// Begins a stream of chunks, in which a secret can be cut anywhere.
    pub fn stream(&self) -> RedactionStream {
        RedactionStream::new(self.clone())
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redactor(***)")
    }
}

/// What a search found in a text.
#[derive(Debug, Default)]
struct Found {
    /// The byte ranges of secrets, in order, without overlaps.
    intervals: Vec<Range<usize>>,
    /// The position from which on the text can be the start of a secret that the next chunk completes; the length of
    /// the text if there is no such position.
    keep: usize,
    /// The position up to which a stream writes the text now. Greater than `keep` only before a line end, see
    /// [`MIN_BEFORE_LINE_END`].
    write: usize,
}

impl Patterns {
    fn find(&self, text: &[u8]) -> Found {
        let (searched, origin) = searchable(text);
        let at = |index: usize| match &origin {
            None => index,
            Some(origin) => origin.get(index).copied().unwrap_or(text.len()),
        };
        let mut intervals: Vec<Range<usize>> = Vec::new();
        for found in self.search.find_overlapping_iter(&*searched) {
            let (mut start, end) = (at(found.start()), at(found.end() - 1) + 1);
            // Matches are ordered by their ends. A later and longer match can swallow several earlier ones.
            while let Some(last) = intervals.last().filter(|last| last.end > start) {
                start = start.min(last.start);
                intervals.pop();
            }
            intervals.push(start..end);
        }
        // The end of the text can be the start of a secret.
        let first = searched.len().saturating_sub(self.longest - 1);
        let open = (first..searched.len()).find(|start| self.is_start(&searched[*start..]));
        let keep = open.map_or(text.len(), at);
        let is_short = open.is_some_and(|start| searched.len() - start < MIN_BEFORE_LINE_END);
        let ends_with_line_end = text.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r'));
        Found { intervals, keep, write: if is_short && ends_with_line_end { text.len() } else { keep } }
    }

    /// Returns whether a pattern begins with `text` and is longer.
    fn is_start(&self, text: &[u8]) -> bool {
        let next = self.sorted.partition_point(|pattern| pattern.as_slice() <= text);
        self.sorted.get(next).is_some_and(|pattern| pattern.starts_with(text))
    }
}

/// Returns the text to search, and the position of each of its bytes in `text`; `None` if the text is `text` itself. Line
/// ends are left out, because programs wrap base64 at 64 or 76 columns; and colours, which `grep` sets inside of a line.
fn searchable(text: &[u8]) -> (Cow<'_, [u8]>, Option<Vec<usize>>) {
    if !text.iter().any(|byte| matches!(*byte, b'\n' | b'\r' | ESCAPE)) {
        return (Cow::Borrowed(text), None);
    }
    let (mut searched, mut origin) = (Vec::with_capacity(text.len()), Vec::with_capacity(text.len()));
    let mut index = 0;
    while let Some(byte) = text.get(index) {
        match (*byte, text.get(index + 1)) {
            (b'\n' | b'\r', _) | (ESCAPE, None) => {}
            (ESCAPE, Some(b'[')) => {
                // The last byte of the sequence is the first one in this range.
                let length = text[index + 2..].iter().position(|byte| (0x40..=0x7e).contains(byte));
                index = length.map_or(text.len(), |length| index + 2 + length);
            }
            _ => {
                searched.push(*byte);
                origin.push(index);
            }
        }
        index += 1;
    }
    (Cow::Owned(searched), Some(origin))
}

/// Appends `text` to `out`, with a marker in place of each interval. An interval with a line end leaves one line end.
fn write_redacted(text: &[u8], intervals: &[Range<usize>], out: &mut Vec<u8>) {
    let mut from = 0;
    for interval in intervals {
        out.extend_from_slice(&text[from..interval.start]);
        out.extend_from_slice(MARKER.as_bytes());
        if text[interval.clone()].contains(&b'\n') {
            out.push(b'\n');
        }
        from = interval.end;
    }
    out.extend_from_slice(&text[from..]);
}

#[cfg(test)]
mod tests;
