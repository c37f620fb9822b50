//! What a rule says about attributes, and the one matcher for rules that permit.

use std::collections::BTreeMap;

use super::pattern::Pattern;
use crate::model::Attribute;

/// The attributes that a rule names, each with the values it takes. One that it does not name sets no limit.
#[derive(Debug, Clone, Default)]
pub struct Scope(BTreeMap<Attribute, Vec<Pattern>>);

/// Why a rule that permits does not match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The first attribute that does not match.
    pub attribute: Attribute,
    /// The value that does not; `None` where the call has none.
    pub value: Option<String>,
    /// What the rule takes.
    pub takes: String,
}

impl Scope {
    /// Sets what one attribute takes. An empty list matches nothing.
    pub fn set(&mut self, attribute: Attribute, patterns: Vec<Pattern>) {
        self.0.insert(attribute, patterns);
    }

    /// Whether no attribute is limited.
    pub fn is_any(&self) -> bool {
        self.0.is_empty()
    }

    /// The limited attributes.
    pub fn iter(&self) -> impl Iterator<Item = (Attribute, &[Pattern])> {
        self.0.iter().map(|(attribute, patterns)| (*attribute, patterns.as_slice()))
    }

    /// A rule that permits matches when *all* values of each attribute it names match. An attribute
    /// that the rule names and the call lacks never matches.
    ///
    /// # Errors
    /// The first attribute that keeps it from matching.
    pub fn permit(&self, attributes: &BTreeMap<Attribute, Vec<String>>) -> Result<(), Mismatch> {
        for (attribute, patterns) in &self.0 {
            let miss = |value: Option<&String>| Mismatch {
                attribute: *attribute,
                value: value.cloned(),
                takes: takes(patterns),
            };
            let values = attributes.get(attribute).map(Vec::as_slice).unwrap_or_default();
            if values.is_empty() {
                return Err(miss(None));
            }
            if let Some(value) = values.iter().find(|value| !patterns.iter().any(|pattern| pattern.matches(value))) {
                return Err(miss(Some(value)));
            }
        }
        Ok(())
    }
}

impl Scope {
    /// A rule that obliges or forbids matches when *any* value of each attribute it names matches, and also where the call
    /// has none: what is not known counts as everything.
    pub fn oblige(&self, attributes: &BTreeMap<Attribute, Vec<String>>) -> bool {
        self.0.iter().all(|(attribute, patterns)| {
            let values = attributes.get(attribute).map(Vec::as_slice).unwrap_or_default();
            values.is_empty() || values.iter().any(|value| patterns.iter().any(|pattern| pattern.matches(value)))
        })
    }
}

/// A list of patterns as the file has it.
pub(crate) fn takes(patterns: &[Pattern]) -> String {
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
    fn all_values_must_match() {
        let rule = limits(Attribute::Environment, &["staging", "test"]);
        assert!(rule.permit(&call(Attribute::Environment, &["staging"])).is_ok());
        assert!(rule.permit(&call(Attribute::Environment, &["staging", "test"])).is_ok());
        let miss = rule.permit(&call(Attribute::Environment, &["staging", "production"])).unwrap_err();
        assert_eq!(miss.value.as_deref(), Some("production"));
    }

    #[test]
    fn a_named_attribute_that_is_absent_never_matches() {
        let rule = limits(Attribute::Environment, &["**"]);
        assert!(rule.permit(&BTreeMap::new()).is_err());
        assert!(rule.permit(&call(Attribute::Environment, &[])).is_err());
    }

    #[test]
    fn a_rule_that_obliges_is_wide_where_one_that_permits_is_narrow() {
        let rule = limits(Attribute::Environment, &["production"]);
        assert!(rule.oblige(&call(Attribute::Environment, &["staging", "production"])));
        assert!(rule.oblige(&BTreeMap::new()), "what is not known counts as everything");
        assert!(!rule.oblige(&call(Attribute::Environment, &["staging"])));
        assert!(Scope::default().oblige(&BTreeMap::new()));
    }

    #[test]
    fn an_empty_list_matches_nothing_and_a_missing_key_sets_no_limit() {
        assert!(limits(Attribute::App, &[]).permit(&call(Attribute::App, &["cms"])).is_err());
        assert!(Scope::default().permit(&BTreeMap::new()).is_ok());
    }
}
