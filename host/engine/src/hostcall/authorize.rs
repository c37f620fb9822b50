//! The check of one call: what the plugin is granted, what the caller may do, and what was typed.
//!
//! All reasons are collected, not only the first: a reviewer wants to see every rule that stands in the way.

use std::sync::Arc;

use super::invocation::Invocation;
use crate::{
    job::Reason,
    model::{Attribute, Attributes, CallKind, CallSpec, EnvironmentFrom, NO_RULE, RoomName},
    policy::Allow,
};

/// The rule that lets a call pass.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    /// The `allow`.
    pub(crate) grant: Arc<str>,
    /// The role.
    pub(crate) role: Option<String>,
    /// Who approved of it, or why nobody had to.
    pub(crate) approval: Option<String>,
    /// Who hears of it before it is done: a room of the configuration, and the words.
    pub(crate) tell: Vec<(RoomName, String)>,
}

impl Rule {
    pub(crate) fn text(&self) -> String {
        let role = self.role.as_ref().map(|role| format!(", role {role}")).unwrap_or_default();
        let approval = self.approval.as_ref().map(|approval| format!(", {approval}")).unwrap_or_default();
        format!("{}{role}{approval}", self.grant)
    }
}

thread_local! {
    static NONE: Arc<str> = Arc::from(NO_RULE);
}

impl Invocation {
    /// Lets a call pass, or says everything that stands in its way.
    pub(crate) fn judge(&self, row: &CallSpec, attributes: &Attributes) -> Result<Rule, Vec<Reason>> {
        if self.replay_state().is_none() && !row.kind.in_query() {
            let command = &self.request().command().spec().name;
            let text = format!("`{command}` is a query, and {} {}", row.name, row.kind.as_str());
            return Err(vec![Reason { kind: "query".to_owned(), text, add: None }]);
        }
        if !row.kind.needs_rule() {
            return Ok(Rule { grant: NONE.with(Arc::clone), role: None, approval: None, tell: Vec::new() });
        }
        let mut reasons = Vec::new();
        let grant = self.judge_grant(row, attributes, &mut reasons);
        let role = self.judge_role(row, attributes, &mut reasons);
        match grant {
            Some(grant) if reasons.is_empty() => Ok(Rule { grant, role, approval: None, tell: Vec::new() }),
            _ => Err(reasons),
        }
    }

    /// The `allow` that permits this call and, where it acts, all in which it differs from what was typed.
    fn judge_grant(&self, row: &CallSpec, attributes: &Attributes, reasons: &mut Vec<Reason>) -> Option<Arc<str>> {
        let untyped = if row.kind == CallKind::Acts { self.untyped(attributes) } else { Vec::new() };
        let grants = self.grants();
        // For a target that the host does not know there is no rule to suggest: without a limit it would be one for everything.
        let unknown = row.kind == CallKind::Acts && !attributes.contains_key(&Attribute::Environment);
        let suggestion = || (!unknown).then(|| suggest(self.plugin(), row, attributes, &untyped));
        let command = self.request().command().spec().name.as_str();
        match grants.permitting(row.name, command, attributes) {
            Ok(mut rules) => {
                let mut last: Option<&Allow> = None;
                let hit = rules.find(|rule| {
                    last = Some(rule);
                    untyped.iter().all(|(attribute, _)| rule.beyond.contains(attribute))
                });
                if let Some(rule) = hit {
                    return Some(rule.text.clone());
                }
                let place = last.map_or_else(String::new, |rule| rule.at.to_string());
                reasons.push(self.not_typed(&untyped, &place));
                None
            }
            Err(misses) => {
                let text = match misses.first() {
                    None if grants.naming(row.name).next().is_some() => {
                        format!("no rule of [plugin.{}] that names {} is for `{command}`", self.plugin(), row.name)
                    }
                    None => format!("no rule of [plugin.{}] names {}", self.plugin(), row.name),
                    Some((rule, miss)) => {
                        let attribute = miss.attribute.as_str();
                        let value = match &miss.value {
                            Some(value) => format!("{attribute} `{value}`"),
                            None => format!("a call without {attribute}"),
                        };
                        format!("{} allows {attribute} = {}, and not {value}", rule.at, miss.allowed)
                    }
                };
                reasons.push(Reason { kind: "grant".to_owned(), text, add: suggestion() });
                if !untyped.is_empty() {
                    let place = misses.first().map_or_else(String::new, |(rule, _)| rule.at.to_string());
                    reasons.push(self.not_typed(&untyped, &place));
                }
                None
            }
        }
    }

    /// The role that lets the caller do this, on the call's own app and environment where it has them, else on the command's.
    fn judge_role(&self, row: &CallSpec, attributes: &Attributes, reasons: &mut Vec<Reason>) -> Option<String> {
        let command = self.request().command();
        let access = &self.context().access;
        // As they are now: a right that was taken back counts for no call after that.
        let rights = self.rights();
        let values = |attribute: Attribute, typed: Option<&str>| -> Vec<Option<String>> {
            match attributes.get(&attribute) {
                Some(values) if row.environment == EnvironmentFrom::Target && !values.is_empty() => {
                    values.iter().cloned().map(Some).collect()
                }
                _ => vec![typed.map(str::to_owned)],
            }
        };
        let mut rule = None;
        for app in &values(Attribute::App, command.app()) {
            for environment in &values(Attribute::Environment, command.environment()) {
                if let Some(environment) = environment
                    && !access.bots.touches(&self.request().message().bot, environment)
                {
                    let text = access.not_through(&self.request().message().bot, environment);
                    reasons.push(Reason { kind: "bot".to_owned(), text, add: None });
                }
                let (app, environment) = (app.as_deref(), environment.as_deref());
                rule = rights.rule(app, environment);
                if rule.is_none() {
                    let on = [app, environment].into_iter().flatten().collect::<Vec<_>>().join("/");
                    let name = &command.spec().name;
                    let help = access.help();
                    let text = format!("no role lets {} run `{name}` on {on}: {help}", self.request().caller().id);
                    reasons.push(Reason { kind: "role".to_owned(), text, add: None });
                }
            }
        }
        rule
    }

    /// The apps, environments, versions and parameters of an effect that are no argument of the command.
    fn untyped(&self, attributes: &Attributes) -> Vec<(Attribute, String)> {
        let command = self.request().command();
        [Attribute::App, Attribute::Environment, Attribute::Version, Attribute::Parameter]
            .into_iter()
            .filter_map(|attribute| attributes.get(&attribute).map(|values| (attribute, values)))
            .flat_map(|(attribute, values)| values.iter().map(move |value| (attribute, value)))
            .filter(|(attribute, value)| !command.has_typed(*attribute, value))
            .map(|(attribute, value)| (attribute, value.clone()))
            .collect()
    }

    fn not_typed(&self, untyped: &[(Attribute, String)], place: &str) -> Reason {
        let words: Vec<String> =
            untyped.iter().map(|(attribute, value)| format!("{} `{value}`", attribute.as_str())).collect();
        let beyond = beyond(untyped);
        let rule = if place.is_empty() { "a rule".to_owned() } else { place.to_owned() };
        let text = format!(
            "`{}` was typed, and not {}; {rule} would need {beyond}",
            self.request().command().line(),
            words.join(", ")
        );
        Reason { kind: "typed".to_owned(), text, add: Some(beyond) }
    }
}

fn beyond(untyped: &[(Attribute, String)]) -> String {
    let names: std::collections::BTreeSet<&str> = untyped.iter().map(|(attribute, _)| attribute.as_str()).collect();
    let names: Vec<String> = names.into_iter().map(|name| format!("\"{name}\"")).collect();
    format!("beyond = [{}]", names.join(", "))
}

/// The rule that would allow exactly this call.
fn suggest(plugin: &str, row: &CallSpec, attributes: &Attributes, untyped: &[(Attribute, String)]) -> String {
    let mut lines = vec![format!("[[plugin.{plugin}.allow]]"), format!("call = \"{}\"", row.name)];
    for (attribute, values) in attributes {
        // A version changes with every command: a rule that names it would serve once.
        if !matches!(attribute, Attribute::Version | Attribute::Pipeline) && !values.is_empty() {
            let values: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
            lines.push(format!("{} = [{}]", attribute.as_str(), values.join(", ")));
        }
    }
    if !untyped.is_empty() {
        lines.push(beyond(untyped));
    }
    lines.join("\n")
}
