//! The JSON text in the body of a delivery.
//!
//! A body is JSON, or a form whose field `payload` contains the JSON: the default of GitHub's page for webhooks.
//! Invariant: a body that begins like JSON is not read as a form. A signature covers the body and not the content type,
//! so a client could otherwise send signed JSON as a form and choose the JSON by a text in it.
//! Not here: the JSON itself (`host/engine`).

use std::borrow::Cow;

use axum::http::{HeaderMap, header};

use crate::signature::single_header;

/// The field of a form that contains the JSON.
const FIELD: &str = "payload";

/// The reason why a body has no JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ContentError {
    /// The content type or encoding is not supported; the text is the reason.
    Unsupported(&'static str),
    Malformed(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Json,
    Form,
}

/// Returns the JSON text of a body.
pub(crate) fn json_text<'b>(headers: &HeaderMap, body: &'b [u8]) -> Result<Cow<'b, str>, ContentError> {
    let text = match kind(headers)? {
        Kind::Json => {
            let text = std::str::from_utf8(body).map_err(|_| ContentError::Malformed("the body is not UTF-8"))?;
            Cow::Borrowed(text)
        }
        Kind::Form => {
            let missing = ContentError::Malformed("the form must have the field `payload` with the JSON exactly once");
            Cow::Owned(form_payload(body).ok_or(missing)?)
        }
    };
    // Some senders put a byte order mark in front of the text. It is not part of the JSON.
    Ok(match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Cow::Owned(text) => Cow::Owned(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)),
    })
}

/// Returns the JSON text in a form; `None` if the body is not a form with one such field. Gitea signs this text, and
/// not the form.
pub(crate) fn signed_form_text(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    (kind(headers) == Ok(Kind::Form)).then(|| form_payload(body)).flatten()
}

fn form_payload(body: &[u8]) -> Option<String> {
    if begins_like_json(body) {
        return None;
    }
    let mut fields = form_urlencoded::parse(body).filter(|(name, _)| name == FIELD);
    match (fields.next(), fields.next()) {
        (Some((_, text)), None) => Some(text.into_owned()),
        _ => None,
    }
}

/// Returns whether a body begins like a JSON object, array or string, after byte order marks and blanks. A sender of
/// forms percent-encodes these characters.
fn begins_like_json(mut body: &[u8]) -> bool {
    loop {
        body = body.trim_ascii_start();
        match body.strip_prefix("\u{feff}".as_bytes()) {
            Some(rest) => body = rest,
            None => return matches!(body.first(), Some(b'{' | b'[' | b'"')),
        }
    }
}

/// Returns the kind of the content. A missing content type stands for JSON.
fn kind(headers: &HeaderMap) -> Result<Kind, ContentError> {
    if headers.contains_key(header::CONTENT_ENCODING) {
        let encoding = single_header(headers, "content-encoding").unwrap_or_default();
        if !encoding.trim().eq_ignore_ascii_case("identity") {
            return Err(ContentError::Unsupported(
                "the body must not be compressed: send it without `Content-Encoding`",
            ));
        }
    }
    if !headers.contains_key(header::CONTENT_TYPE) {
        return Ok(Kind::Json);
    }
    let text = single_header(headers, "content-type").unwrap_or_default().to_ascii_lowercase();
    let mut parts = text.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default();
    let charset = parts.find_map(|part| part.strip_prefix("charset=")).map(|charset| charset.trim_matches('"'));
    if charset.is_some_and(|charset| !matches!(charset, "utf-8" | "utf8" | "us-ascii")) {
        return Err(ContentError::Unsupported("the body must be UTF-8, for example `application/json; charset=utf-8`"));
    }
    match media {
        "application/json" => Ok(Kind::Json),
        "application/x-www-form-urlencoded" => Ok(Kind::Form),
        media if media.starts_with("application/") && media.ends_with("+json") => Ok(Kind::Json),
        _ => Err(ContentError::Unsupported("the content type must be JSON, for example `application/json`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(headers: &[(&'static str, &str)], body: &[u8]) -> Result<String, ContentError> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        json_text(&map, body).map(Cow::into_owned)
    }

    #[test]
    fn a_json_content_type_may_have_parameters() {
        for kind in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/json;charset=\"utf-8\"; x=y",
            "application/cloudevents+json; charset=us-ascii",
        ] {
            assert_eq!(text(&[("content-type", kind)], b"{}").as_deref(), Ok("{}"), "{kind}");
        }
        for kind in ["text/plain", "application/json; charset=utf-16", "multipart/form-data; boundary=x", "json", ""] {
            let wrong = text(&[("content-type", kind)], b"{}");
            assert!(matches!(wrong, Err(ContentError::Unsupported(_))), "{kind}: {wrong:?}");
        }
        // Two content types are ambiguous.
        let two = [("content-type", "application/json"), ("content-type", "application/x-www-form-urlencoded")];
        assert!(matches!(text(&two, b"{}"), Err(ContentError::Unsupported(_))));
        assert_eq!(text(&[], b"{}").as_deref(), Ok("{}"));
    }

    #[test]
    fn a_compressed_body_is_refused_and_a_byte_order_mark_is_not_part_of_the_json() {
        for encoding in ["gzip", "br", "gzip, identity", ""] {
            let wrong = text(&[("content-encoding", encoding)], b"{}");
            assert!(matches!(wrong, Err(ContentError::Unsupported(why)) if why.contains("compressed")), "{encoding}");
        }
        assert_eq!(text(&[("content-encoding", "identity")], b"{}").as_deref(), Ok("{}"));
        assert_eq!(text(&[], "\u{feff}{}".as_bytes()).as_deref(), Ok("{}"));
        assert_eq!(text(&[], b"\xff\xfe{\0}\0"), Err(ContentError::Malformed("the body is not UTF-8")));
    }

    #[test]
    fn a_form_contains_the_json_in_one_field() {
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let json = text(&form, b"a=b&payload=%7B%22v%22%3A+%221.0%2B2%20%C3%A9%22%7D");
        assert_eq!(json.as_deref(), Ok("{\"v\": \"1.0+2 \u{e9}\"}"));
        let forged = "payload=%7B%7D&";
        for body in [
            "",
            "a=b",
            "{}",
            "payload={}&payload={}",
            &format!("{{\"x\":\"&{forged}\"}}"),
            &format!("[\"&{forged}\"]"),
            &format!("\"&{forged}\""),
            &format!("\u{feff} \r\n\t\u{feff}{{\"x\":\"&{forged}\"}}"),
        ] {
            assert!(matches!(text(&form, body.as_bytes()), Err(ContentError::Malformed(_))), "{body}");
        }
    }
}
