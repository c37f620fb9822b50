//! The forms in which a program prints a secret: as it is, in base64, percent-encoded, escaped for JSON, HTML or a shell.
//!
//! Invariant: no form contains a line end, because [`Redactor`](super::Redactor) searches text without line ends.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{MARKER, MIN_SECRET_LENGTH};

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The bytes that percent-encoding leaves as they are, besides letters and digits, and whether it writes a blank as `+`.
const PERCENT: [(&str, bool); 7] = [
    // RFC 3986, and Python's `quote_plus` and `quote`.
    ("-._~", false),
    ("-._~", true),
    ("-._~/", false),
    // JavaScript: `encodeURIComponent`, `encodeURI`.
    ("-_.!~*'()", false),
    ("-_.!~*'();/?:@&=+$,#", false),
    // HTML forms.
    ("*-._", true),
    // The user information of a URL.
    ("-._~!$&'()*+,;=", false),
];

/// The minimum length in bytes of a part of a secret that is redacted by itself: a line, the value in a line, or a text
/// in JSON, such as the private key of a service account. Shorter ones are often words such as `service_account`.
const MIN_PART: usize = 16;

/// Returns all forms of a secret, of each of its lines, of the values in these lines, and of the texts in it if it is
/// JSON. Returns no form of a text that is shorter than [`MIN_SECRET_LENGTH`], and of a part shorter than [`MIN_PART`].
pub(super) fn forms(secret: &str) -> BTreeSet<Vec<u8>> {
    let mut texts = vec![secret.to_owned()];
    if let Ok(json @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str(secret) {
        add_texts(json, &mut texts);
    }
    let mut forms = BTreeSet::new();
    for text in &texts {
        let lines = text.lines().filter(|_| text.trim().contains('\n')).map(str::trim);
        let parts = lines.flat_map(|line| [Some(line), line_value(line)]).flatten();
        let whole = [text, text.trim()].into_iter().filter(|text| text.len() >= MIN_SECRET_LENGTH);
        for text in whole.chain(parts.filter(|part| part.len() >= MIN_PART)) {
            add_forms(text, &mut forms);
        }
    }
    // A redacted text must not change when it is redacted again.
    forms.retain(|form| {
        form.len() >= MIN_SECRET_LENGTH && !MARKER.as_bytes().windows(form.len()).any(|part| part == form.as_slice())
    });
    forms
}

/// Returns the value in a line `NAME=VALUE` or `NAME: VALUE`, without the quotation marks around it.
fn line_value(line: &str) -> Option<&str> {
    let [equals, colon] = ["=", ": "].map(|sign| line.split_once(sign));
    // The first of the two signs counts.
    let (_, value) = [equals, colon].into_iter().flatten().min_by_key(|(name, _)| name.len())?;
    let value = value.trim();
    let unquoted = |mark| value.strip_prefix(mark).and_then(|value| value.strip_suffix(mark));
    Some(unquoted('"').or_else(|| unquoted('\'')).unwrap_or(value))
}

/// Adds the texts of a JSON value that have at least [`MIN_PART`] bytes.
fn add_texts(json: Value, texts: &mut Vec<String>) {
    match json {
        Value::String(text) if text.len() >= MIN_PART => texts.push(text),
        Value::Array(values) => values.into_iter().for_each(|value| add_texts(value, texts)),
        Value::Object(fields) => fields.into_iter().for_each(|(_, value)| add_texts(value, texts)),
        _ => {}
    }
}

fn add_forms(text: &str, forms: &mut BTreeSet<Vec<u8>>) {
    let mut add = |form: String| {
        forms.insert(form.into_bytes().into_iter().filter(|byte| !matches!(byte, b'\n' | b'\r')).collect::<Vec<u8>>());
    };
    add(text.to_owned());
    // 1. Escaped for JSON, for JSON inside of JSON, and for Rust's `Debug`.
    let json = |text: &str| serde_json::Value::from(text).to_string();
    let inner = |quoted: String| quoted[1..quoted.len() - 1].to_owned();
    let once = inner(json(text));
    add(inner(json(&once)));
    add(once.replace('/', "\\/"));
    add(ascii_json(&once));
    add(once);
    add(inner(format!("{text:?}")));
    // 2. Escaped for HTML and XML.
    let html = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    for quote in ["&#39;", "&#x27;", "&apos;", "'"] {
        add(html.replace('\'', quote));
        add(html.replace('"', "&quot;").replace('\'', quote));
    }
    // 3. Quoted for a shell, as `set -x` and `printf %q` print it.
    add(text.replace('\'', "'\\''"));
    add(text.chars().fold(String::new(), |escaped, letter| {
        match letter.is_alphanumeric() || "_-./:=@%+,".contains(letter) {
            true => escaped + letter.encode_utf8(&mut [0; 4]),
            false => escaped + "\\" + letter.encode_utf8(&mut [0; 4]),
        }
    }));
    // 4. Percent-encoded.
    for (kept, plus) in PERCENT {
        for upper in [true, false] {
            add(percent(text.as_bytes(), kept, plus, upper));
        }
    }
    // 5. Base64, and percent-encoded base64, in which `+`, `/` and `=` are escaped.
    for alphabet in [BASE64, BASE64_URL] {
        for offset in 0..3 {
            let core = base64_core(text.as_bytes(), offset, alphabet);
            add(percent(core.as_bytes(), "-._~", false, true));
            add(percent(core.as_bytes(), "-._~", false, false));
            add(core);
        }
    }
}

/// Replaces characters outside of ASCII by `\uXXXX` in a JSON text.
fn ascii_json(json: &str) -> String {
    json.chars().fold(String::new(), |mut escaped, letter| {
        match letter.is_ascii() {
            true => escaped.push(letter),
            false => letter.encode_utf16(&mut [0; 2]).iter().for_each(|unit| escaped += &format!("\\u{unit:04x}")),
        }
        escaped
    })
}

fn percent(text: &[u8], kept: &str, plus: bool, upper: bool) -> String {
    text.iter().fold(String::new(), |mut encoded, byte| {
        match byte {
            b' ' if plus => encoded.push('+'),
            byte if byte.is_ascii_alphanumeric() || kept.as_bytes().contains(byte) => encoded.push(char::from(*byte)),
            byte if upper => encoded += &format!("%{byte:02X}"),
            byte => encoded += &format!("%{byte:02x}"),
        }
        encoded
    })
}

/// Returns the part of a base64 text that depends only on `secret`, if `secret` begins `offset` bytes after the start of
/// a group of three bytes. The digits at both ends that also depend on the bytes around the secret are left out; each of
/// them holds at most four bits of the secret.
fn base64_core(secret: &[u8], offset: usize, alphabet: &[u8; 64]) -> String {
    let bit = |index: usize| match index.checked_sub(offset * 8) {
        Some(index) => secret[index / 8] >> (7 - index % 8) & 1,
        None => 0,
    };
    let (first, end) = ((offset * 8).div_ceil(6), (offset + secret.len()) * 8 / 6);
    let digit = |index: usize| (index * 6..index * 6 + 6).fold(0, |value, index| value << 1 | bit(index));
    (first..end).map(|index| char::from(alphabet[usize::from(digit(index))])).collect()
}
