//! Reads approval rules: `[environment.*.approval]` and `[[approval]]`. If an approval rule matches an effect, the
//! effect waits until people other than the sender of the command approve it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{
    people::{check_names, check_not_empty, check_patterns, patterns, unknown_name},
    rules,
};
use crate::{
    base::{At, Key, Located, Pattern, Table, TableKeys, nearest},
    model::{Attribute, CallKind, CallTable, Catalog, RoomName},
    policy::{Approval, BreakGlass, Member, Role, Scope},
};

const COUNT: Key =
    Key::integer("count", 1, 20, "The number of people who must approve, not counting the sender of the command.")
        .default("1");
const FROM: Key = Key::strings(
    "from",
    "The roles whose members can approve. The role must cover the app and the environment of the effect.",
)
.required();
const WITHIN: Key = Key::duration(
    "within",
    "The time limit for the approvals. Without enough approvals in time, the job ends without the effect.",
)
.between(Duration::from_secs(1), Duration::from_secs(30 * 24 * 3600))
.default("1h");
const VALID: Key = Key::duration(
    "valid",
    "The time after the approval during which the approved effects may begin. A later effect requests an approval again.",
)
.between(Duration::from_secs(1), Duration::from_secs(30 * 24 * 3600))
.default("1h");
const UNLESS: Key = Key::choice(
    "unless",
    &["known_good"],
    "An exception. `known_good`: a version that was already deployed successfully to the environment needs no approval.",
);
const BREAK_GLASS: Key = Key::table(
    "break_glass",
    &GLASS_KEYS,
    "The role whose members can skip the approval with `--override REASON`. If the table is missing, nobody can skip it.",
);

pub(crate) static TERMS_KEYS: TableKeys = TableKeys {
    path: "environment.NAME.approval",
    about: "The approval that every effect in the environment needs. Without the table, an effect in the environment \
            needs approval only if an `[[approval]]` matches it.",
    keys: &[COUNT, FROM, WITHIN, VALID, UNLESS, BREAK_GLASS],
};

static GLASS_KEYS: TableKeys = TableKeys {
    path: "environment.NAME.approval.break_glass",
    about: "The people who can skip the approval. `[[approval]]` can have the same table.",
    keys: &[
        Key::string("role", "The role that can use `--override REASON`.").required(),
        Key::string("tell", "The room that gets a message about the override before the job's first effect.")
            .required(),
    ],
};

pub(crate) static APPROVAL_KEYS: TableKeys = TableKeys {
    path: "approval",
    about: "A rule that holds effects until other people approve them. A rule matches an effect if every attribute in \
            the rule has a value that matches. An unknown value matches too.",
    keys: &[
        Key::strings(
            "call",
            "Patterns for the host calls that wait for an approval. Without this key, all host calls that have effects.",
        ),
        COUNT,
        FROM,
        WITHIN,
        VALID,
        UNLESS,
        BREAK_GLASS,
    ],
};

/// The keys of an approval rule as the file contains them: who must approve, how soon, and the exceptions. The names of
/// roles are not checked yet, because `[role.*]` is read after `[environment.*]`.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    at: At,
    count: u32,
    from: Vec<Located<String>>,
    within: Duration,
    valid: Duration,
    known_good: bool,
    break_glass: Option<(Located<String>, RoomName)>,
}

impl Terms {
    /// Reads the keys `count`, `from`, `within`, `valid`, `unless` and `break_glass` of an approval rule. `networks`
    /// are the names of the chat networks that this build includes.
    pub(crate) fn read(table: &mut Table, networks: &[&str]) -> Self {
        let at = table.at().clone();
        let count = table.integer_or_default("count");
        let from = table.required_strings("from", "\"deployer\"");
        let within = table.duration_or_default("within");
        let valid = table.duration_or_default("valid");
        let known_good = table.choice("unless").is_some();
        let break_glass = table.table("break_glass").and_then(|mut glass| {
            let role = glass.required_string("role", "\"oncall\"");
            glass.require("tell", "\"#security:example.org\"");
            let tell = RoomName::read(&mut glass, "tell", networks);
            glass.finish();
            role.zip(tell)
        });
        Self { at, count: u32::try_from(count).unwrap_or(1), from, within, valid, known_good, break_glass }
    }

    fn approval(
        &self,
        table: &Table,
        roles: &[Arc<Role>],
        (calls, limits): (Vec<Pattern>, Scope),
        what: &str,
    ) -> Approval {
        for role in self.from.iter().chain(self.break_glass.iter().map(|(role, _)| role)) {
            check_role(table, role, roles);
        }
        let break_glass =
            self.break_glass.as_ref().map(|(role, tell)| BreakGlass { role: role.value.clone(), tell: tell.clone() });
        let joined = |patterns: &[Pattern]| patterns.iter().map(Pattern::as_str).collect::<Vec<_>>().join(",");
        let about = limits.iter().map(|(attribute, patterns)| format!("{}={}", attribute.as_str(), joined(patterns)));
        let about: Vec<String> = about.collect();
        Approval {
            id: format!("{what} {} {}", joined(&calls), about.join(" ")).into(),
            text: format!("{what}, {}", self.at).into(),
            calls,
            limits,
            count: self.count,
            from: self.from.iter().map(|role| role.value.clone()).collect(),
            within: self.within,
            valid: self.valid,
            known_good: self.known_good,
            break_glass,
        }
    }
}

/// Reports a configuration problem if an approval rule names a role that does not exist. Also reports a role that has
/// no member except `everyone`, because nobody can approve through `everyone`.
fn check_role(table: &Table, role: &Located<String>, roles: &[Arc<Role>]) {
    let Some(found) = roles.iter().find(|known| known.name == role.value) else {
        unknown_name(table, "role", role, roles.iter().map(|role| role.name.as_str()));
        return;
    };
    if !found.members.is_empty() && found.members.iter().all(|member| *member == Member::Everyone) {
        let message =
            format!("`everyone` is the only member of the role `{}`, and `everyone` cannot approve", role.value);
        table.problem(&role.at, message, format!("members = [\"@alice:example.org\"]   in [role.{}]", role.value));
    }
}

/// Reads all approval rules: first the rules of the environments, then each `[[approval]]`. `environments` contains the
/// rule of each environment that has one. `networks` are the names of the chat networks that this build includes.
pub(crate) fn read(
    root: &mut Table,
    calls: &CallTable,
    catalog: &Catalog,
    environments: &BTreeMap<String, Terms>,
    roles: &[Arc<Role>],
    networks: &[&str],
) -> Vec<Approval> {
    let mut approvals = Vec::new();
    for environment in catalog.environments() {
        if let Some(terms) = environments.get(environment) {
            let mut limits = Scope::default();
            // The name of an environment contains no wildcards, so as a pattern it matches only itself.
            limits.set(Attribute::Environment, Pattern::new(environment).into_iter().collect());
            let what = format!("environment {environment}");
            approvals.push(terms.approval(root, roles, (Vec::new(), limits), &what));
        }
    }
    for mut table in root.array("approval") {
        table.add_keys(&rules::attribute_keys(calls));
        let terms = Terms::read(&mut table, networks);
        let names: Vec<&str> = roles.iter().map(|role| role.name.as_str()).collect();
        let matched = matched(&mut table, calls, catalog, &names);
        approvals.push(terms.approval(&table, roles, matched, "[[approval]]"));
        table.finish();
    }
    make_ids_unique(&mut approvals);
    approvals
}

/// Adds a number to the id of each rule whose id an earlier rule has: rules with the same calls and attributes are
/// different rules.
fn make_ids_unique(approvals: &mut [Approval]) {
    let mut seen: BTreeMap<Arc<str>, u32> = BTreeMap::new();
    for approval in approvals {
        let count = seen.entry(approval.id.clone()).or_default();
        *count += 1;
        if *count > 1 {
            approval.id = format!("{} #{count}", approval.id).into();
        }
    }
}

/// Reads the key `call` and the attribute keys of an `[[approval]]`. The rule applies only to host calls that match
/// these keys. `roles` are the names of all roles.
fn matched(table: &mut Table, all: &CallTable, catalog: &Catalog, roles: &[&str]) -> (Vec<Pattern>, Scope) {
    // An effect that only revokes rights never needs approval.
    let held = || all.iter().filter(|row| row.kind == CallKind::Acts && !row.only_revokes);
    let texts = table.strings("call");
    if let Some(texts) = &texts {
        check_not_empty(table, ("call", &texts.at), &texts.value);
    }
    let texts = texts.map(|calls| calls.value).unwrap_or_default();
    let calls = patterns(table, &texts);
    for (pattern, text) in calls.iter().zip(&texts) {
        if !held().any(|row| pattern.matches(row.name)) {
            // A call that never needs approval is not misspelled.
            let is_call = all.iter().any(|row| pattern.matches(row.name));
            let meant = nearest(&text.value, held().map(|row| row.name)).filter(|_| !is_call);
            let fix = meant.map(|meant| format!("call = \"{meant}\""));
            let message = format!("the pattern `{}` does not match any host call that can need approval", text.value);
            table.problem(&text.at, message, fix);
        }
    }
    let mut limits = Scope::default();
    let known_attributes: BTreeSet<Attribute> = held()
        .filter(|row| calls.is_empty() || calls.iter().any(|pattern| pattern.matches(row.name)))
        .flat_map(|row| row.attributes.iter().copied())
        .collect();
    for key in table.keys() {
        let Some(attribute) = all.attribute(&key.value) else { continue };
        let Some(values) = table.strings(attribute.as_str()) else { continue };
        if !known_attributes.contains(&attribute) {
            let message =
                format!("the key `{}` has no effect: no host call that the rule matches has this attribute", key.value);
            table.problem(&key.at, message, None);
        }
        check_not_empty(table, (attribute.as_str(), &values.at), &values.value);
        if let Some(exist) = rules::known_values(attribute, catalog, roles) {
            check_names(table, attribute.as_str(), &values.value, exist.iter().copied());
            check_patterns(table, attribute.as_str(), &values.value, exist.iter().copied());
        }
        limits.set(attribute, patterns(table, &values.value));
    }
    (calls, limits)
}
