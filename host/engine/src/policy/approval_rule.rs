//! Rules that require an approval: `[environment.NAME.approval]` and `[[approval]]` in `plugins.toml`.
//!
//! Invariant: a rule matches an effect if, for each attribute that the rule limits, the effect has a matching value or
//! no value. An unknown value counts as a match, because it could be any value.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::scope::Scope;
use crate::base::Pattern;
use crate::model::{Attributes, CallSpec, RoomName};

/// A rule that requires approvals for effects.
#[derive(Debug, Clone)]
pub(crate) struct Approval {
    /// The name of the rule and its position in the configuration, for messages and the journal: `environment
    /// production, plugins.toml line 34`.
    pub text: Arc<str>,
    /// The id of the rule. The id stays the same if the rule moves to another line of the file.
    pub id: Arc<str>,
    /// The host calls that need approval, as patterns. If empty, all calls with effects need approval.
    pub calls: Vec<Pattern>,
    /// The attribute values of effects that need approval.
    pub limits: Scope,
    /// The number of people who must approve, at least 1. The person who sent the command does not count.
    pub count: u32,
    /// The roles whose members can approve.
    pub from: Vec<String>,
    /// The time after which an approval request expires.
    pub within: Duration,
    /// The time after an approval during which the approved effects may begin.
    pub valid: Duration,
    /// Whether a version needs no approval for its deployment to an environment in which this version has succeeded
    /// before.
    pub known_good: bool,
    /// The rule for overriding the approval; `None` if nobody can override it.
    pub break_glass: Option<BreakGlass>,
}

/// A rule for overriding a required approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BreakGlass {
    /// The role whose members can override the approval.
    pub role: String,
    /// The room that is notified of each override.
    pub tell: RoomName,
}

impl Approval {
    /// Returns whether an effect needs this approval. An effect that only revokes rights never needs approval. `row`
    /// describes the effect's host call.
    pub(crate) fn applies_to(&self, row: &CallSpec, attributes: &Attributes) -> bool {
        let named = self.calls.is_empty() || self.calls.iter().any(|pattern| pattern.matches(row.name));
        named && !row.only_revokes && self.limits.matches_any(attributes)
    }
}

/// An approval that one rule requires for one or more effects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Need {
    /// The id of the rule; see [`Approval::id`].
    pub(crate) id: String,
    /// The name and position of the rule, for messages; see [`Approval::text`].
    pub(crate) rule: String,
    /// The number of people who must approve. The person who sent the command does not count.
    pub(crate) count: u32,
    /// The roles whose members can approve.
    pub(crate) from: Vec<String>,
    /// The time after which the approval request expires, in milliseconds.
    pub(crate) within: u64,
    /// The time after the approval during which the effects may begin, in milliseconds. Old journals have no value.
    #[serde(default = "default_valid")]
    pub(crate) valid: u64,
    /// The apps and environments of the effects. An approver must have a role on all of them.
    #[serde(rename = "places")]
    pub(crate) targets: BTreeSet<(Option<String>, Option<String>)>,
}

fn default_valid() -> u64 {
    3_600_000
}

impl Need {
    /// Merges `more`, the approvals that another effect requires, into `needs`. If `needs` already has an entry of the
    /// same rule, adds the targets to this entry, and updates the entry to the newer version of the rule.
    pub(crate) fn join(needs: &mut Vec<Self>, more: &[Self]) {
        for need in more {
            match needs.iter_mut().find(|known| known.id == need.id) {
                Some(known) => {
                    known.targets.extend(need.targets.iter().cloned());
                    // If the rule has changed, its newer version applies, but the count never decreases.
                    known.count = known.count.max(need.count);
                    known.rule.clone_from(&need.rule);
                    known.from.clone_from(&need.from);
                    known.within = need.within;
                    known.valid = need.valid;
                }
                None => needs.push(need.clone()),
            }
        }
    }

    /// Returns whether the approvals `requested`, which people were already asked for, also meet this requirement. One
    /// entry of `requested` must fulfill all of these conditions:
    /// - It comes from the same rule.
    /// - It has all targets of this requirement.
    /// - It requires at least as many people.
    /// - It accepts only roles that this requirement accepts.
    pub(crate) fn is_met_by(&self, requested: &[Self]) -> bool {
        requested.iter().any(|other| {
            other.id == self.id
                && other.count >= self.count
                && other.from.iter().all(|role| self.from.contains(role))
                && self.targets.is_subset(&other.targets)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Attribute, CONTRACT, CallKind};

    fn rule(calls: &[&str], environment: Option<&str>) -> Approval {
        let mut limits = Scope::default();
        if let Some(name) = environment {
            limits.set(Attribute::Environment, vec![Pattern::new(name).unwrap()]);
        }
        Approval {
            text: "approval".into(),
            id: "approval".into(),
            calls: calls.iter().map(|call| Pattern::new(*call).unwrap()).collect(),
            limits,
            count: 1,
            from: vec!["deployer".to_owned()],
            within: Duration::from_secs(60),
            valid: Duration::from_secs(60),
            known_good: false,
            break_glass: None,
        }
    }

    #[test]
    fn an_unknown_value_matches_every_approval_rule() {
        let production = |names: &[&str]| {
            Attributes::from([(Attribute::Environment, names.iter().map(|name| (*name).to_owned()).collect())])
        };
        let act = |name| CallSpec::new(CONTRACT, name, CallKind::Acts, "acts");
        let rule_of = rule(&[], Some("production"));
        assert!(rule_of.applies_to(&act("pipelines.trigger"), &production(&["production"])));
        assert!(rule_of.applies_to(&act("jobs.cancel"), &production(&[])));
        assert!(rule_of.applies_to(&act("jobs.cancel"), &Attributes::new()));
        assert!(!rule_of.applies_to(&act("pipelines.trigger"), &production(&["staging"])));
        assert!(!rule_of.applies_to(&act("access.revoke").only_revokes(), &production(&["production"])));
        assert!(!rule(&["jobs.*"], None).applies_to(&act("pipelines.trigger"), &production(&["staging"])));
    }

    fn need(rule: &str, count: u32, from: &[&str], environment: &str) -> Need {
        let from = from.iter().map(|role| (*role).to_owned()).collect();
        let targets = BTreeSet::from([(Some("cms".to_owned()), Some(environment.to_owned()))]);
        Need { id: rule.to_owned(), rule: rule.to_owned(), count, from, within: 1, valid: 1, targets }
    }

    #[test]
    fn an_earlier_request_must_be_as_strong_as_the_current_need() {
        let asked = [need("one", 2, &["deployer"], "production")];
        assert!(need("one", 2, &["deployer", "oncall"], "production").is_met_by(&asked));
        assert!(need("one", 1, &["deployer"], "production").is_met_by(&asked));
        assert!(!need("one", 3, &["deployer"], "production").is_met_by(&asked));
        assert!(!need("one", 2, &["oncall"], "production").is_met_by(&asked));
        assert!(!need("one", 2, &["deployer"], "staging").is_met_by(&asked));
        assert!(!need("two", 1, &["deployer"], "production").is_met_by(&asked));
    }

    #[test]
    fn one_rule_asks_once_for_all_its_effects() {
        let mut needs = vec![need("one", 1, &["deployer"], "staging")];
        Need::join(&mut needs, &[need("one", 1, &["deployer"], "production"), need("two", 1, &["oncall"], "staging")]);
        assert_eq!((needs.len(), needs[0].targets.len()), (2, 2));
    }
}
