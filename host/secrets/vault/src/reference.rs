//! A reference to a secret: `SERVER:PATH#FIELD`, or `SERVER:MOUNT/issue/ROLE?common_name=NAME` for a certificate.
//!
//! Invariant: no error contains the text of the reference, because somebody may have written the secret itself.

use std::collections::BTreeMap;

/// The field of a certificate that has the certificate, its chain and the private key as one PEM text.
pub(crate) const PEM: &str = "pem";
/// The fields of a certificate.
const CERTIFICATE_FIELDS: [&str; 5] = [PEM, "certificate", "private_key", "issuing_ca", "ca_chain"];
/// The parameters of a certificate.
const PARAMETERS: [&str; 5] = ["common_name", "alt_names", "ip_sans", "uri_sans", "ttl"];

/// A reference to one field of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    /// The `NAME` of the table `[vault.NAME]`.
    pub(crate) server: String,
    pub(crate) source: Source,
    pub(crate) field: String,
}

/// What is read with one request: the path of a secret, or a certificate to issue.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Source {
    /// The path with its mount, as in `vault kv get`: `secret/ci/jenkins`.
    pub(crate) path: String,
    /// The parameters of a certificate; `None` for other secrets.
    pub(crate) certificate: Option<BTreeMap<String, String>>,
}

impl Reference {
    /// Parses a reference.
    ///
    /// # Errors
    /// The text is not a reference. The error is worded as the end of a sentence: `has no server before a colon`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (server, rest) = text.split_once(':').ok_or("has no server before a colon")?;
        let (rest, field) = match rest.rsplit_once('#') {
            Some((rest, field)) => (rest, Some(field)),
            None => (rest, None),
        };
        let (path, certificate) = match rest.split_once('?') {
            Some((path, parameters)) => (path, Some(parse_parameters(parameters)?)),
            None => (rest, None),
        };
        check_path(path)?;
        let field = match (field, &certificate) {
            (Some(""), _) => return Err("has no field after the `#`".to_owned()),
            (Some(field), Some(_)) if !CERTIFICATE_FIELDS.contains(&field) => {
                return Err(format!(
                    "names a field that a certificate does not have; it has: {}",
                    CERTIFICATE_FIELDS.join(", ")
                ));
            }
            (Some(field), _) => field,
            (None, Some(_)) => PEM,
            (None, None) => return Err("has no field after a `#`".to_owned()),
        };
        if certificate.is_some() && path.rsplit('/').nth(1) != Some("issue") {
            return Err(
                "has parameters after `?`, which only the path `MOUNT/issue/ROLE` of a certificate has".to_owned()
            );
        }
        let source = Source { path: path.to_owned(), certificate };
        Ok(Self { server: server.to_owned(), source, field: field.to_owned() })
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.path)?;
        if let Some(name) = self.certificate.as_ref().and_then(|parameters| parameters.get("common_name")) {
            write!(f, "?common_name={name}")?;
        }
        Ok(())
    }
}

fn parse_parameters(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut parameters = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        if !PARAMETERS.contains(&&*name) {
            return Err(format!("has a parameter that a certificate does not have; it has: {}", PARAMETERS.join(", ")));
        }
        if value.is_empty() || parameters.insert(name.clone().into_owned(), value.into_owned()).is_some() {
            return Err(format!("has no value, or two values, for the parameter `{name}`"));
        }
    }
    if !parameters.contains_key("common_name") {
        return Err("has no parameter `common_name`".to_owned());
    }
    Ok(parameters)
}

fn check_path(path: &str) -> Result<(), String> {
    let segments: Vec<&str> = path.split('/').collect();
    if segments.len() < 2 {
        return Err("has no path of the form `MOUNT/NAME`".to_owned());
    }
    if segments.first() == Some(&"v1") {
        return Err("begins with `v1/`; write the path without it".to_owned());
    }
    // Their answers have tokens and rights, also those of the host itself.
    if segments.first().is_some_and(|first| ["auth", "sys", "cubbyhole", "identity"].contains(first)) {
        return Err("is in `auth`, `sys`, `cubbyhole` or `identity`, which have no secrets for pipelines".to_owned());
    }
    let is_valid = |segment: &&str| {
        !segment.is_empty() && !matches!(*segment, "." | "..") && !segment.chars().any(char::is_control)
    };
    if segments.iter().all(is_valid) { Ok(()) } else { Err("has an empty part, `.` or `..` in its path".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_has_a_server_a_path_and_a_field() {
        let reference = Reference::parse("prod:secret/ci/jenkins#token").unwrap();
        assert_eq!(
            (&*reference.server, &*reference.source.path, &*reference.field),
            ("prod", "secret/ci/jenkins", "token")
        );
        let reference = Reference::parse("prod:secret/a b/c#d#field").unwrap();
        assert_eq!((&*reference.source.path, &*reference.field), ("secret/a b/c#d", "field"));
    }

    #[test]
    fn a_certificate_has_parameters_and_is_one_pem_text() {
        let reference = Reference::parse("prod:pki/issue/gate?common_name=bot.example.org&ttl=24h").unwrap();
        assert_eq!(reference.field, PEM);
        let parameters = reference.source.certificate.unwrap();
        assert_eq!(parameters["ttl"], "24h");
        let key = Reference::parse("prod:pki/issue/gate?common_name=bot.example.org#private_key").unwrap();
        assert_eq!(key.field, "private_key");
    }

    #[test]
    fn an_invalid_reference_says_why_and_is_not_repeated() {
        for (text, why) in [
            ("hunter2", "has no server before a colon"),
            ("prod:hunter2#x", "has no path of the form `MOUNT/NAME`"),
            ("prod:secret/ci", "has no field after a `#`"),
            ("prod:secret/ci#", "has no field after the `#`"),
            ("prod:secret//ci#x", "has an empty part, `.` or `..` in its path"),
            ("prod:secret/../sys#x", "has an empty part, `.` or `..` in its path"),
            ("prod:/secret/ci#x", "has an empty part, `.` or `..` in its path"),
            ("prod:v1/secret/ci#x", "begins with `v1/`; write the path without it"),
            ("prod:pki/issue/x?ttl=1h", "has no parameter `common_name`"),
            ("prod:pki/issue/x?common_name=", "has no value, or two values, for the parameter `common_name`"),
            (
                "prod:pki/issue/x?common_name=a&common_name=b",
                "has no value, or two values, for the parameter `common_name`",
            ),
            (
                "prod:secret/x?common_name=a#x",
                "names a field that a certificate does not have; it has: pem, certificate, private_key, issuing_ca, ca_chain",
            ),
            (
                "prod:secret/x?common_name=a",
                "has parameters after `?`, which only the path `MOUNT/issue/ROLE` of a certificate has",
            ),
            (
                "prod:pki/issue/x?name=a",
                "has a parameter that a certificate does not have; it has: common_name, alt_names, ip_sans, uri_sans, ttl",
            ),
        ] {
            let error = Reference::parse(text).unwrap_err();
            assert_eq!(error, why, "{text}");
            assert!(!error.contains("hunter2"));
        }
    }
}
