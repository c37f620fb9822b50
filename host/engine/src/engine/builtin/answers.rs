//! Runs the host's own commands, and replies to `help`, `whoami`, `plugins` and `can`.
//!
//! Invariant: an answer shows only commands, apps and environments for which the person has rights.

use std::{fmt::Write as _, sync::Arc};

use super::jobs::text;
use crate::{
    base::{Text, nearest},
    command::{Asker, Builtin, Spec, Value, Vocabulary, help_all, help_one},
    engine::{
        host::Host,
        review::{Explainer, pattern_list},
        verdict::{Refusal, Verdict},
    },
    model::Person,
    policy::{Authorized, HeldRole, Rights},
    store::short_digest,
};

impl Host {
    pub(crate) async fn host(&self, builtin: Builtin, authorized: &Authorized) -> Result<Verdict, Refusal> {
        let (person, message, asker) = (authorized.caller(), authorized.message(), authorized.asker());
        let answer = match builtin {
            Builtin::Help => match authorized.command().arguments().next() {
                Some((_, Value::Text(word))) => self.help_for(asker, word),
                _ => self.help_whole(asker),
            },
            Builtin::Whoami => self.whoami(person, asker),
            Builtin::Plugins => self.list_plugins(asker),
            Builtin::Can => self.can(authorized)?,
            Builtin::Status => self.status(person, asker).await?,
            Builtin::Stats => self.stats(authorized).await?,
            Builtin::Jobs => self.list_jobs(person).await?,
            Builtin::Job => return self.one_job(authorized).await,
            Builtin::Logs => return self.logs(authorized).await,
            Builtin::Cancel => return self.cancel(authorized).await,
            Builtin::Approve => return self.approve(authorized).await,
            Builtin::Deny => return self.deny(authorized).await,
            Builtin::Release => return self.record(authorized).await,
            Builtin::Freeze => return self.freeze(authorized).await,
            Builtin::Unfreeze => return self.unfreeze(authorized).await,
            Builtin::Link => return self.link(authorized).await,
            Builtin::Unlink => return self.unlink(authorized).await,
            Builtin::Hook => return self.redeliver(authorized).await,
        };
        Ok(self.answered(message, Text::lines(answer)))
    }

    /// Returns the commands that a person may run on at least one app or environment.
    fn visible<'a>(&'a self, asker: Asker<'a>) -> impl Iterator<Item = &'a Spec> {
        self.context
            .plugins
            .table()
            .specs()
            .iter()
            .map(AsRef::as_ref)
            .filter(move |spec: &&Spec| self.may_run(asker, spec))
    }

    /// Returns whether a person may run a command on at least one app or environment.
    pub(crate) fn may_run(&self, asker: Asker<'_>, spec: &Spec) -> bool {
        self.context.access.may_run(asker, &spec.name, spec.target.clone())
    }

    /// Returns whether a person may run the command of a line on at least one app or environment. Returns `true` if the
    /// line does not begin with a command.
    pub(crate) fn may_run_line(&self, asker: Asker<'_>, line: &str) -> bool {
        self.context.plugins.table().command_of(line).is_none_or(|spec| self.may_run(asker, spec))
    }

    fn help_whole(&self, asker: Asker<'_>) -> String {
        let mut text = String::new();
        let short: Vec<(String, String)> = self.triggers.shown(|line| self.may_run_line(asker, line)).collect();
        let width = short.iter().map(|(typed, _)| typed.chars().count()).max().unwrap_or(0);
        if !short.is_empty() {
            text.push_str("short forms\n");
        }
        for (typed, means) in short {
            let _ = writeln!(text, "  {typed:width$}  {means}");
        }
        text.push_str(&help_all(self.visible(asker)));
        text
    }

    fn help_for(&self, asker: Asker<'_>, word: &str) -> String {
        match self.context.plugins.table().get(word) {
            Some(spec) => self.explain(asker, spec),
            None => {
                let names = self.visible(asker).map(|spec| spec.name.as_str());
                let meant = nearest(word, names).map(|meant| format!(" Did you mean `{meant}`?")).unwrap_or_default();
                format!("Unknown command `{}`.{meant}", crate::base::clean(word))
            }
        }
    }

    /// Returns the help of a command, with the roles through which the asking person may run the command.
    pub(crate) fn explain(&self, asker: Asker<'_>, spec: &Spec) -> String {
        let below = self.context.plugins.table().below(spec);
        let below: Vec<String> = below.map(|spec| format!("\nSee also: {}", spec.usage())).collect();
        format!("{}{}", help_one(spec, &self.right_text(asker, spec)), below.concat())
    }

    fn right_text(&self, asker: Asker<'_>, spec: &Spec) -> String {
        match self.context.access.rights(asker, &spec.name, spec.target.clone()) {
            Rights::Open => "Everybody may run this command.".to_owned(),
            Rights::Admin => "You may run this command as an admin.".to_owned(),
            Rights::Roles(roles) if roles.is_empty() => match self.context.access.admins.as_slice() {
                [] => "You may not run this command.".to_owned(),
                admins => format!("You may not run this command. Ask {}.", admins.join(" or ")),
            },
            Rights::Roles(roles) => {
                let roles: Vec<String> =
                    roles.iter().map(|held| format!("{} ({})", held.rule(), reach(held))).collect();
                format!("You may run this command through the role {}.", roles.join(" and through the role "))
            }
        }
    }

    fn whoami(&self, person: &Person, asker: Asker<'_>) -> String {
        let access = &self.context.access;
        let mut text = format!("You are {} ({}).", crate::base::clean(&person.name), crate::base::clean(&person.id));
        if let Some(bot) = asker.bot.and_then(|bot| access.bots.get(bot)) {
            let _ = write!(text, " The bot is {}.", bot.name);
        }
        if access.is_admin(&person.id) {
            let _ = write!(
                text,
                "\nYou are an admin: you may run every command on every app and environment. The grants of plugins \
                 still apply."
            );
        }
        if let Some(named) = access.persons.of(&person.id).filter(|named| named.ids.len() > 1) {
            let others: Vec<&str> = access.persons.ids(&person.id).skip(1).collect();
            let _ = write!(
                text,
                "\nYour name in the configuration is {}. Your other ids are: {}.",
                named.name,
                others.join(", ")
            );
        }
        text.push_str(&self.linked_accounts(person));
        for held in access.roles_of(asker, true) {
            let commands = pattern_list(&held.role.commands);
            let _ = write!(text, "\nRole {}: {commands} ({})", held.rule(), reach(&held));
        }
        let commands: Vec<&str> = self.visible(asker).map(|spec| spec.name.as_str()).collect();
        let _ = write!(text, "\nYou may type: {}", commands.join(", "));
        text
    }

    fn list_plugins(&self, asker: Asker<'_>) -> String {
        let mut text = String::new();
        for plugin in self.context.plugins.loaded() {
            // A command that belongs to another plugin or to none is not in the table.
            let table = self.context.plugins.table();
            let runs = |spec: &&Arc<Spec>| table.get(&spec.name).is_some_and(|known| Arc::ptr_eq(known, spec));
            let commands = plugin.description.commands.iter().filter(runs).filter(|spec| self.may_run(asker, spec));
            let commands: Vec<&str> = commands.map(|spec| spec.name.as_str()).collect();
            if commands.is_empty() {
                continue;
            }
            let short = short_digest(&plugin.digest);
            let _ = writeln!(text, "{}: {} ({short})", plugin.name, commands.join(", "));
        }
        for plugin in self.context.plugins.not_loaded() {
            // The reason can contain file names and rules, so only admins get it.
            let why =
                if self.context.access.is_admin(asker.id) { format!(": {}", plugin.error) } else { String::new() };
            let _ = writeln!(text, "{}: not loaded{why}", plugin.name);
        }
        for contested in self.context.plugins.contested() {
            let _ = writeln!(
                text,
                "{}: unavailable, because several plugins have it: {}",
                contested.word,
                contested.plugins.join(", ")
            );
        }
        if text.is_empty() {
            text.push_str("No loaded plugin has a command that you may run.");
        }
        text
    }

    /// Runs `can USER COMMAND...`, which answers whether a person may run a command. The reasons contain roles, lines of the
    /// configuration and terms of approvals, so only admins get the reasons for another person.
    fn can(&self, authorized: &Authorized) -> Result<String, Refusal> {
        let argument = |name: &str| text(authorized, name).unwrap_or_default();
        let (who, line) = (argument("user"), argument("command"));
        let (asker, access) = (authorized.asker(), &*self.context.access);
        let explainer = Explainer {
            access,
            catalog: &self.context.catalog,
            plugins: &self.context.plugins,
            approvals: &self.context.approvals,
        };
        // An app that the person may not see is reported as unknown.
        let vocabulary = Vocabulary::of(&self.context.catalog, access, asker);
        let explained = explainer.line(Asker { id: who, ..asker }, line, &vocabulary);
        let explained = explained.map_err(Refusal::Malformed)?;
        if access.is_admin(asker.id) || access.same_person(who, asker.id) {
            return Ok(explained.to_string());
        }
        let (answer, may) = if explained.yes { ("yes", "may") } else { ("no", "may not") };
        Ok(format!("{answer}: {who} {may} run this command"))
    }
}

/// Returns the apps, the environments and the end time of a role that a person has, for example `apps cms, environments
/// staging`.
fn reach(held: &HeldRole) -> String {
    let (grant, role) = (held.grant.as_ref(), &held.role);
    let apps = grant.map_or_else(|| pattern_list(&role.apps), |grant| grant.app.clone());
    let environment = grant.and_then(|grant| grant.environment.clone());
    let environments = environment.unwrap_or_else(|| pattern_list(&role.environments));
    let until = grant.and_then(|grant| grant.until);
    let until = until.map_or_else(String::new, |until| format!(", until {}", crate::base::utc_text(until)));
    format!("apps {apps}, environments {environments}{until}")
}
