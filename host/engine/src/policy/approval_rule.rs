//! Rules that oblige: `approval` of an environment, and `[[approval]]`.
//!
//! Invariant: a rule that obliges matches when any value matches, also when the value is absent: what the host does not know
//! of an effect counts as everything.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{pattern::Pattern, scope::Scope};
use crate::{
    base::At,
    model::{Attributes, RoomName},
};

/// A rule that effects need other people's word.
#[derive(Debug, Clone)]
pub struct Approval {
    /// Where it stands.
    pub at: At,
    /// `environment production, plugins.toml line 34`: for room and journal.
    pub text: Arc<str>,
    /// What it is known by, wherever it stands in the file: what it is about.
    pub id: Arc<str>,
    /// The calls that it is about; all that act where it names none.
    pub calls: Vec<Pattern>,
    /// Which effects, beside that.
    pub limits: Scope,
    /// How many other people, at least 1.
    pub count: u32,
    /// The roles that they are in.
    pub from: Vec<String>,
    /// How long they have.
    pub within: Duration,
    /// Whether a version that succeeded there before needs nobody.
    pub known_good: bool,
    /// Who may go without.
    pub break_glass: Option<BreakGlass>,
}

/// Who may act without approval, and who hears of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakGlass {
    /// The role.
    pub role: String,
    /// The room that is told.
    pub tell: RoomName,
}

impl Approval {
    /// Whether an effect needs it.
    pub(crate) fn obliges(&self, call: &str, attributes: &Attributes) -> bool {
        let named = self.calls.is_empty() || self.calls.iter().any(|pattern| pattern.matches(call));
        named && self.limits.oblige(attributes)
    }
}

/// What one rule wants of one effect or of more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Need {
    /// What the rule is known by, wherever it stands in the file.
    pub(crate) id: String,
    /// The rule's text.
    pub(crate) rule: String,
    /// How many other people.
    pub(crate) count: u32,
    /// The roles that they are in.
    pub(crate) from: Vec<String>,
    /// How long they have, in milliseconds.
    pub(crate) within: u64,
    /// The apps and environments of the effects; whoever approves stands for all of them.
    pub(crate) places: BTreeSet<(Option<String>, Option<String>)>,
}

impl Need {
    /// Adds what another effect wants: one rule is asked for once.
    pub(crate) fn join(needs: &mut Vec<Self>, more: &[Self]) {
        for need in more {
            match needs.iter_mut().find(|known| known.id == need.id) {
                Some(known) => {
                    known.places.extend(need.places.iter().cloned());
                    // As it stands in the file today, and never less than was asked for before.
                    known.count = known.count.max(need.count);
                    known.rule.clone_from(&need.rule);
                    known.from.clone_from(&need.from);
                    known.within = need.within;
                }
                None => needs.push(need.clone()),
            }
        }
    }

    /// Whether this was asked for in at least the same strength.
    pub(crate) fn is_met_by(&self, asked: &[Self]) -> bool {
        let as_strong = |other: &&Self| {
            other.id == self.id
                && other.count >= self.count
                && other.from.iter().all(|role| self.from.contains(role))
                && self.places.is_subset(&other.places)
        };
        asked.iter().any(|other| as_strong(&other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Attribute;

    fn rule(calls: &[&str], environment: Option<&str>) -> Approval {
        let mut limits = Scope::default();
        if let Some(name) = environment {
            limits.set(Attribute::Environment, vec![Pattern::new(name).unwrap()]);
        }
        Approval {
            at: At { file: "plugins.toml".into(), line: 1 },
            text: "approval".into(),
            id: "approval".into(),
            calls: calls.iter().map(|call| Pattern::new(*call).unwrap()).collect(),
            limits,
            count: 1,
            from: vec!["deployer".to_owned()],
            within: Duration::from_secs(60),
            known_good: false,
            break_glass: None,
        }
    }

    #[test]
    fn what_is_not_known_of_an_effect_counts_as_everything() {
        let production = |names: &[&str]| {
            Attributes::from([(Attribute::Environment, names.iter().map(|name| (*name).to_owned()).collect())])
        };
        let rule_of = rule(&[], Some("production"));
        assert!(rule_of.obliges("pipelines.trigger", &production(&["production"])));
        assert!(rule_of.obliges("jobs.cancel", &production(&[])));
        assert!(rule_of.obliges("jobs.cancel", &Attributes::new()));
        assert!(!rule_of.obliges("pipelines.trigger", &production(&["staging"])));
        assert!(!rule(&["jobs.*"], None).obliges("pipelines.trigger", &production(&["staging"])));
    }

    fn need(rule: &str, count: u32, from: &[&str], environment: &str) -> Need {
        let from = from.iter().map(|role| (*role).to_owned()).collect();
        let places = BTreeSet::from([(Some("cms".to_owned()), Some(environment.to_owned()))]);
        Need { id: rule.to_owned(), rule: rule.to_owned(), count, from, within: 1, places }
    }

    #[test]
    fn what_was_asked_for_must_be_as_strong_as_what_is_wanted_now() {
        let asked = [need("one", 2, &["deployer"], "production")];
        assert!(need("one", 2, &["deployer", "oncall"], "production").is_met_by(&asked));
        assert!(need("one", 1, &["deployer"], "production").is_met_by(&asked));
        assert!(!need("one", 3, &["deployer"], "production").is_met_by(&asked));
        assert!(!need("one", 2, &["oncall"], "production").is_met_by(&asked));
        assert!(!need("one", 2, &["deployer"], "staging").is_met_by(&asked));
        assert!(!need("two", 1, &["deployer"], "production").is_met_by(&asked));
    }

    #[test]
    fn one_rule_is_asked_for_once_for_all_its_places() {
        let mut needs = vec![need("one", 1, &["deployer"], "staging")];
        Need::join(&mut needs, &[need("one", 1, &["deployer"], "production"), need("two", 1, &["oncall"], "staging")]);
        assert_eq!((needs.len(), needs[0].places.len()), (2, 2));
    }
}
