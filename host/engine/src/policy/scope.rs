//! The scope of a rule: the attribute values that the rule matches.

use std::collections::BTreeMap;

use crate::base::Pattern;
use crate::model::Attribute;

/// The attributes of a host call that a rule limits, such as the app, each with the patterns that its values must
/// match. The rule does not limit other attributes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope(BTreeMap<Attribute, Vec<Pattern>>);

/// The reason why an allow rule does not match a host call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mismatch {
    /// The first attribute that does not match.
    pub attribute: Attribute,
    /// The value that does not match; `None` if the host call has no value for the attribute.
    pub value: Option<String>,
    /// The rule's patterns for the attribute, as text: `["staging", "test"]`.
    pub allowed: String,
}

impl Scope {
    /// Limits an attribute to values that match one of the patterns. An empty list matches nothing.
    pub(crate) fn set(&mut self, attribute: Attribute, patterns: Vec<Pattern>) {
        self.0.insert(attribute, patterns);
    }

    /// Returns whether the scope limits no attribute.
    pub(crate) fn is_any(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Attribute, &[Pattern])> {
        self.0.iter().map(|(attribute, patterns)| (*attribute, patterns.as_slice()))
    }

    /// Checks whether an allow rule matches a host call: *all* values of each limited attribute must match. A limited
    /// attribute for which the host call has no value does not match.
    ///
    /// # Errors
    /// The first attribute that does not match.
    pub(crate) fn permit(&self, attributes: &BTreeMap<Attribute, Vec<String>>) -> Result<(), Mismatch> {
        for (attribute, patterns) in &self.0 {
            let values = attributes.get(attribute).map(Vec::as_slice).unwrap_or_default();
            let value = values.iter().find(|value| !patterns.iter().any(|pattern| pattern.matches(value)));
            if values.is_empty() || value.is_some() {
                return Err(Mismatch { attribute: *attribute, value: value.cloned(), allowed: allowed(patterns) });
            }
        }
        Ok(())
    }

    /// Returns whether an approval rule matches a host call: *any* value of each limited attribute must match. A
    /// limited attribute for which the host call has no value matches, because an unknown value could be any value.
    pub(crate) fn matches_any(&self, attributes: &BTreeMap<Attribute, Vec<String>>) -> bool {
        self.0.iter().all(|(attribute, patterns)| {
            let values = attributes.get(attribute).map(Vec::as_slice).unwrap_or_default();
            values.is_empty() || values.iter().any(|value| patterns.iter().any(|pattern| pattern.matches(value)))
        })
    }
}

/// Returns a list of patterns in the notation of `plugins.toml`: `["staging", "test"]`.
pub(crate) fn allowed(patterns: &[Pattern]) -> String {
    let texts: Vec<String> = patterns.iter().map(|pattern| format!("\"{}\"", pattern.as_str())).collect();
    format!("[{}]", texts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(attribute: Attribute, texts: &[&str]) -> Scope {
        let mut limits = Scope::default();
        limits.set(attribute, texts.iter().map(|text| Pattern::new(*text).unwrap()).collect());
        limits
    }

    fn call(attribute: Attribute, values: &[&str]) -> BTreeMap<Attribute, Vec<String>> {
        BTreeMap::from([(attribute, values.iter().map(|value| (*value).to_owned()).collect())])
    }

    #[test]
    fn an_allow_rule_must_match_all_values() {
        let rule = limits(Attribute::Environment, &["staging", "test"]);
        assert!(rule.permit(&call(Attribute::Environment, &["staging"])).is_ok());
        assert!(rule.permit(&call(Attribute::Environment, &["staging", "test"])).is_ok());
        let miss = rule.permit(&call(Attribute::Environment, &["staging", "production"])).unwrap_err();
        assert_eq!(miss.value.as_deref(), Some("production"));
    }

    #[test]
    fn a_limited_attribute_without_a_value_never_matches() {
        let rule = limits(Attribute::Environment, &["**"]);
        assert!(rule.permit(&BTreeMap::new()).is_err());
        assert!(rule.permit(&call(Attribute::Environment, &[])).is_err());
    }

    #[test]
    fn an_approval_rule_matches_any_value() {
        let rule = limits(Attribute::Environment, &["production"]);
        assert!(rule.matches_any(&call(Attribute::Environment, &["staging", "production"])));
        assert!(rule.matches_any(&BTreeMap::new()), "an unknown value matches");
        assert!(!rule.matches_any(&call(Attribute::Environment, &["staging"])));
        assert!(Scope::default().matches_any(&BTreeMap::new()));
    }

    #[test]
    fn an_empty_list_matches_nothing_and_a_missing_key_sets_no_limit() {
        assert!(limits(Attribute::App, &[]).permit(&call(Attribute::App, &["cms"])).is_err());
        assert!(Scope::default().permit(&BTreeMap::new()).is_ok());
    }
}
