//! Names of Kubernetes objects.
//!
//! Invariant: only names that these functions accept become a part of the path of a request.

use wardroom::model::RunKey;

/// The maximum length of a label value, of a namespace, and of the name of a PipelineRun, because Tekton uses the name as
/// a label value.
const MAX_LABEL: usize = 63;

/// Returns whether a text is a DNS label: the name of a namespace or of a container.
pub(crate) fn is_label(text: &str) -> bool {
    text.len() <= MAX_LABEL && !text.contains('.') && is_name(text)
}

/// Returns whether a text is a DNS subdomain: the name of an object.
pub(crate) fn is_name(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    let is_edge = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let bytes = text.as_bytes();
    bytes.len() <= 253 && bytes.iter().all(|byte| is_inner(*byte)) && is_edge(bytes.first()) && is_edge(bytes.last())
}

/// Returns whether a text can be the value of a label.
pub(crate) fn is_label_value(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let is_edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= MAX_LABEL
        && bytes.iter().all(|byte| is_inner(*byte))
        && is_edge(bytes.first())
        && is_edge(bytes.last())
}

/// Returns the name of the PipelineRun of a run. The same key always has the same name.
///
/// # Errors
/// The name would be too long, or would end with a dash. The error is the reason for people.
pub(crate) fn run_name(key: &RunKey) -> Result<String, String> {
    let name = format!("wardroom-{key}");
    if is_label(&name) {
        Ok(name)
    } else {
        Err(format!("the key `{key}` cannot be a part of the name of a PipelineRun"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_kubernetes_are_accepted() {
        for name in ["ci", "a", "team-a", "step-build", "1a"] {
            assert!(is_label(name) && is_name(name), "{name}");
        }
        assert!(is_name("deploy.v2") && !is_label("deploy.v2"));
        for name in ["", "-a", "a-", "A", "a/b", "a b", "..", "ü", "a?b", &"x".repeat(254)] {
            assert!(!is_name(name) && !is_label(name), "{name}");
        }
        assert!(!is_label(&"x".repeat(64)));
        assert!(is_label_value("Cms_1.x") && !is_label_value("cms/staging") && !is_label_value("_x"));
    }

    #[test]
    fn a_key_becomes_a_name() {
        let name = |key: &str| run_name(&RunKey::parse(key).unwrap());
        assert_eq!(name("7f3ak-2").unwrap(), "wardroom-7f3ak-2");
        assert!(name(&"x".repeat(60)).unwrap_err().contains("cannot be a part of the name"));
        assert!(name("x-").is_err());
    }
}
