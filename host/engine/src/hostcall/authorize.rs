//! Authorizes a host call: checks the plugin's grants, the caller's roles, and whether the values of an effect are
//! arguments of the command that the person typed.
//!
//! A refusal contains all reasons, not only the first, so that a reviewer sees every missing rule.

use std::sync::{Arc, LazyLock};

use super::{
    deny_rules::{is_unknown, known_or_all, names},
    invocation::Invocation,
    pipelines::assignments,
};
use crate::{
    command::Command,
    job::Reason,
    model::{Attribute, Attributes, CONTRACT, CallKind, CallSpec, EnvironmentFrom, NO_RULE, RoomName},
    policy::Allow,
};

/// The rules that allow a host call. [`Rule::text`] is their text in the journal entry of the call.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    /// The plugin's `allow` rule, as the text that the journal shows.
    pub(crate) grant: Arc<str>,
    /// The name of the caller's role, if the call needs a role.
    pub(crate) role: Option<String>,
    /// The approvers, or the reason why an approval rule was waived. `None` if no approval rule matches the call.
    pub(crate) approval: Option<String>,
    /// The messages that report that the caller overrode an approval rule. Each item is a room and the text for this
    /// room. The host stores the messages in the transaction that stores the effect's intent, before it performs the
    /// effect.
    pub(crate) notify: Vec<(RoomName, String)>,
}

impl Rule {
    pub(crate) fn text(&self) -> String {
        let role = self.role.as_ref().map(|role| format!(", role {role}")).unwrap_or_default();
        let approval = self.approval.as_ref().map(|approval| format!(", {approval}")).unwrap_or_default();
        format!("{}{role}{approval}", self.grant)
    }
}

/// The name of a command's parameter for the name of a pipeline.
const PIPELINE: &str = "pipeline";
/// The refusal of an effect whose app or environment is unknown.
const UNKNOWN_TARGET: &str =
    "the app or the environment of this effect is unknown, so it needs a role and a bot for every app and environment";

static NO_GRANT: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from(NO_RULE));

impl Invocation {
    /// Checks a host call against grants, roles and the arguments of the command that the person typed. Returns the
    /// rules that allow the call, or all reasons to refuse the call. `parameters` contains the parameters of the call
    /// by name ([`HostCall::parameters`](super::HostCall::parameters)).
    pub(crate) fn authorize(
        &self,
        row: &CallSpec,
        attributes: &Attributes,
        parameters: &[(String, String)],
    ) -> Result<Rule, Vec<Reason>> {
        if self.replay_state().is_none() && !row.kind.in_query() {
            let command = &self.request().command().spec().name;
            let text =
                format!("`{command}` is a query, and a query cannot call {} (kind `{}`)", row.name, row.kind.as_str());
            return Err(vec![Reason { kind: "query".to_owned(), text, add: None }]);
        }
        if !row.kind.needs_rule() {
            return Ok(Rule { grant: NO_GRANT.clone(), role: None, approval: None, notify: Vec::new() });
        }
        let mut reasons = Vec::new();
        let grant = self.check_grant(row, attributes, parameters, &mut reasons);
        let role = self.check_role(row, attributes, &mut reasons);
        match grant {
            Some(grant) if reasons.is_empty() => Ok(Rule { grant, role, approval: None, notify: Vec::new() }),
            _ => Err(reasons),
        }
    }

    /// Returns the text of the `allow` rule that permits a call. If an effect has a value that is not in the command
    /// that the person typed, the rule must list the value's attribute in `beyond`. If no rule permits the call, adds
    /// the reasons to `reasons` and returns `None`.
    fn check_grant(
        &self,
        row: &CallSpec,
        attributes: &Attributes,
        parameters: &[(String, String)],
        reasons: &mut Vec<Reason>,
    ) -> Option<Arc<str>> {
        // 1. The values that the command does not contain, and the rule to suggest.
        let untyped = if row.kind == CallKind::Acts { self.untyped(row, attributes, parameters) } else { Vec::new() };
        let (plugin, grants) = (self.plugin(), &self.loaded().grants);
        // No rule is suggested for an effect with an unknown environment, because that rule would allow every
        // environment.
        let unknown = row.kind == CallKind::Acts && !attributes.contains_key(&Attribute::Environment);
        let suggestion = || (!unknown).then(|| suggest(plugin, row, attributes, &untyped));
        let command = self.request().command().spec().name.as_str();
        match grants.permitting(row.name, command, attributes) {
            // 2. Rules match. One of them must list the attributes of all values that the command does not contain.
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
            // 3. No rule matches. The reason names the first rule for this call and the attribute that does not match.
            Err(misses) => {
                let text = match misses.first() {
                    None if grants.naming(row.name).next().is_some() => {
                        let call = row.name;
                        format!("no `allow` rule of [plugin.{plugin}] for {call} applies to the command `{command}`")
                    }
                    None => format!("no `allow` rule of [plugin.{plugin}] names {}", row.name),
                    Some((rule, miss)) => {
                        let attribute = miss.attribute.as_str();
                        let value = match &miss.value {
                            Some(value) => format!("{attribute} `{value}`"),
                            None => format!("no {attribute}"),
                        };
                        format!("{} allows {attribute} = {}, but the call has {value}", rule.at, miss.allowed)
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

    /// Returns the name of the caller's role that permits a call. The role must cover every app and environment of the
    /// call; if an effect's app or environment is unknown, every app or environment of the configuration. For a call
    /// with [`EnvironmentFrom::Command`], the role must cover the app and the environment of the command. The bot must
    /// also be configured for these environments. If a check fails, adds the reasons to `reasons` and returns `None`.
    fn check_role(&self, row: &CallSpec, attributes: &Attributes, reasons: &mut Vec<Reason>) -> Option<String> {
        let command = self.request().command();
        let access = &self.context().access;
        // The rights are read for each call, so that a revocation takes effect at once.
        let rights = self.rights();
        let catalog = &self.context().catalog;
        let bot = &self.request().message().bot;
        let values = |attribute: Attribute, typed: Option<&str>, all: Vec<&str>| -> Vec<Option<String>> {
            let known = known_or_all(row, attributes, attribute, || all);
            if row.environment == EnvironmentFrom::Target && !known.is_empty() {
                known.into_iter().map(|name| Some(name.to_owned())).collect()
            } else {
                vec![typed.map(str::to_owned)]
            }
        };
        let apps = values(Attribute::App, command.app(), names(catalog));
        let environments = values(Attribute::Environment, command.environment(), catalog.environments().collect());
        // The refusal of an effect with an unknown target names no app and no environment, because the person may not
        // be permitted to see them.
        let unknown = row.environment == EnvironmentFrom::Target
            && [Attribute::App, Attribute::Environment].iter().any(|part| is_unknown(row, attributes, *part));
        let mut rule = None;
        for environment in environments.iter().flatten() {
            if !access.bots.may_change(bot, environment) {
                let text = match unknown {
                    true => UNKNOWN_TARGET.to_owned(),
                    false => access.not_through(bot, environment),
                };
                reasons.push(Reason { kind: "bot".to_owned(), text, add: None });
                if unknown {
                    return None;
                }
            }
        }
        for app in &apps {
            for environment in &environments {
                let (app, environment) = (app.as_deref(), environment.as_deref());
                rule = rights.rule(app, environment);
                if rule.is_some() {
                    continue;
                }
                if unknown {
                    let text = UNKNOWN_TARGET.to_owned();
                    reasons.push(Reason { kind: "role".to_owned(), text, add: None });
                    return None;
                }
                let target = [app, environment].into_iter().flatten().collect::<Vec<_>>().join("/");
                let on = if target.is_empty() { String::new() } else { format!(" on {target}") };
                let name = &command.spec().name;
                let help = access.help();
                let text = format!("no role lets {} run `{name}`{on}: {help}", self.request().caller().id);
                reasons.push(Reason { kind: "role".to_owned(), text, add: None });
            }
        }
        rule
    }

    /// Returns the values of an effect that differ from the command that the person typed: an app, environment or
    /// version that is not the command's target, and a parameter that is not the argument of the same name.
    fn untyped(
        &self,
        row: &CallSpec,
        attributes: &Attributes,
        parameters: &[(String, String)],
    ) -> Vec<(Attribute, String)> {
        let command = self.request().command();
        let mut untyped = Vec::new();
        // Whoever names a pipeline names its app and its environment.
        let pipelines = attributes.get(&Attribute::Pipeline);
        let is_typed =
            |names: &Vec<String>| !names.is_empty() && names.iter().all(|name| command.has_argument(PIPELINE, name));
        let names_target = row.package == CONTRACT && pipelines.is_some_and(is_typed);
        let compared: &[Attribute] = match names_target {
            true => &[Attribute::Version],
            false => &[Attribute::App, Attribute::Environment, Attribute::Version],
        };
        for &attribute in compared {
            let values = attributes.get(&attribute).into_iter().flatten();
            let unknown = values.filter(|value| !command.has_typed(attribute, value));
            untyped.extend(unknown.map(|value| (attribute, value.clone())));
        }
        // A capability can also return values of the attribute `parameter` without names. No argument matches them.
        let mut values: Vec<&String> = attributes.get(&Attribute::Parameter).into_iter().flatten().collect();
        for (name, value) in parameters {
            if let Some(at) = values.iter().position(|other| *other == value)
                && (command.has_argument(name, value) || has_assignment(command, name, value))
            {
                values.swap_remove(at);
            }
        }
        untyped.extend(values.into_iter().map(|value| (Attribute::Parameter, value.clone())));
        untyped
    }

    /// Returns the reason to refuse an effect with values that are not in the command. `untyped` contains these values.
    /// The reason suggests a value of the key `beyond` that would allow them. `place` is the file and line of the
    /// `allow` rule, or empty if the line is unknown.
    fn not_typed(&self, untyped: &[(Attribute, String)], place: &str) -> Reason {
        let values: Vec<String> = untyped
            .iter()
            .map(|(attribute, value)| format!("{} `{}`", attribute.as_str(), value.replace('`', "'")))
            .collect();
        let beyond = beyond(untyped);
        let rule = if place.is_empty() { "the `allow` rule" } else { place };
        let text = format!(
            "the command `{}` does not contain {}; to allow this, an operator can add {beyond} to {rule}",
            self.request().command().line(),
            values.join(", ")
        );
        Reason { kind: "typed".to_owned(), text, add: Some(beyond) }
    }
}

/// Returns whether the person typed an assignment in an argument for the rest of the message: `TAG=1.0`.
fn has_assignment(command: &Command, name: &str, value: &str) -> bool {
    command.rest().is_some_and(|text| assignments(text).iter().any(|(typed, given)| typed == name && given == value))
}

fn beyond(untyped: &[(Attribute, String)]) -> String {
    let names: std::collections::BTreeSet<&str> = untyped.iter().map(|(attribute, _)| attribute.as_str()).collect();
    let names: Vec<String> = names.into_iter().map(|name| format!("\"{name}\"")).collect();
    format!("beyond = [{}]", names.join(", "))
}

/// Returns an `allow` rule as TOML that would permit a refused call.
fn suggest(plugin: &str, row: &CallSpec, attributes: &Attributes, untyped: &[(Attribute, String)]) -> String {
    let mut lines = vec![format!("[[plugin.{plugin}.allow]]"), format!("call = \"{}\"", row.name)];
    for (attribute, values) in attributes {
        // A rule that names a version would match only this deployment.
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
