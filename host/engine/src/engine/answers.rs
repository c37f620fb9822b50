//! What the host's own commands answer. Each shows only what the asker may see.

use std::fmt::Write as _;

use super::{Host, handle::Verdict};
use crate::{
    access::{Authorized, Rights},
    command::{Builtin, Spec, Value, help_all, help_one},
    config::nearest,
    message::Person,
    reply::Text,
};

impl Host {
    /// One of the host's own commands.
    pub(super) async fn host(&self, builtin: Builtin, authorized: &Authorized) -> Verdict {
        let (person, message) = (authorized.caller(), authorized.message());
        let words = match builtin {
            Builtin::Help => match authorized.command().arguments().next() {
                Some((_, Value::Text(word))) => Ok(self.help_for(person, word)),
                _ => Ok(help_all(self.visible(person), &self.prefix)),
            },
            Builtin::Whoami => Ok(self.whoami(person)),
            Builtin::Plugins => Ok(self.list_plugins(person)),
            Builtin::Jobs => self.list_jobs(person).await,
            Builtin::Job => return self.one_job(authorized).await.unwrap_or_else(Verdict::Refused),
            Builtin::Logs => return self.logs(authorized).await,
            Builtin::Cancel => return self.cancel(authorized).await.unwrap_or_else(Verdict::Refused),
            Builtin::Release => return self.record(authorized).await.unwrap_or_else(Verdict::Refused),
            Builtin::Freeze => return self.freeze(authorized).await.unwrap_or_else(Verdict::Refused),
            Builtin::Unfreeze => return self.unfreeze(authorized).await.unwrap_or_else(Verdict::Refused),
        };
        match words {
            Ok(words) => self.said(message, Text::lines(words)),
            Err(refused) => Verdict::Refused(refused),
        }
    }

    /// The commands that a person may run somewhere.
    fn visible(&self, person: &Person) -> impl Iterator<Item = &Spec> {
        let may = |spec: &&Spec| self.shared.access.may_run(&person.id, &spec.name, spec.target.clone());
        self.plugins.table().specs().iter().map(AsRef::as_ref).filter(may)
    }

    fn help_for(&self, person: &Person, word: &str) -> String {
        match self.plugins.table().get(word) {
            Some(spec) => self.explain(person, spec),
            None => {
                let names = self.visible(person).map(|spec| spec.name.as_str());
                let meant = nearest(word, names).map(|meant| format!(" Did you mean `{meant}`?")).unwrap_or_default();
                format!("Unknown command `{}`.{meant}", crate::reply::clean(word))
            }
        }
    }

    /// All there is to say about a command, and whether this person may run it.
    pub(super) fn explain(&self, person: &Person, spec: &Spec) -> String {
        help_one(spec, &self.who(person, spec))
    }

    fn who(&self, person: &Person, spec: &Spec) -> String {
        match self.shared.access.rights(&person.id, &spec.name, spec.target.clone()) {
            Rights::Open => "Everybody may run it.".to_owned(),
            Rights::Admin => "You may run it as an admin.".to_owned(),
            Rights::Roles(roles) if roles.is_empty() => match self.shared.access.admins.as_slice() {
                [] => "You may not run it.".to_owned(),
                admins => format!("You may not run it: ask {}.", admins.join(" or ")),
            },
            Rights::Roles(roles) => {
                let roles: Vec<String> = roles.iter().map(|role| format!("{} ({})", role.name, reach(role))).collect();
                format!("You may run it as {}.", roles.join(" and as "))
            }
        }
    }

    fn whoami(&self, person: &Person) -> String {
        let access = &self.shared.access;
        let mut text = format!(
            "You are {} ({}) to {}.",
            crate::reply::clean(&person.name),
            crate::reply::clean(&person.id),
            access.bot
        );
        if access.is_admin(&person.id) {
            let _ = write!(
                text,
                "\nYou are an admin: every command, app and environment; grants of plugins hold all the same."
            );
        }
        for role in access.roles.iter().filter(|role| role.has(&person.id)) {
            let commands: Vec<&str> = role.commands.iter().map(crate::access::Pattern::as_str).collect();
            let _ = write!(text, "\nRole {}: {} ({})", role.name, commands.join(", "), reach(role));
        }
        let commands: Vec<&str> = self.visible(person).map(|spec| spec.name.as_str()).collect();
        let _ = write!(text, "\nYou may type: {}", commands.join(", "));
        text
    }

    fn list_plugins(&self, person: &Person) -> String {
        let mut text = String::new();
        for plugin in self.plugins.loaded() {
            let may =
                |spec: &&std::sync::Arc<Spec>| self.shared.access.may_run(&person.id, &spec.name, spec.target.clone());
            let commands: Vec<&str> =
                plugin.description.commands.iter().filter(may).map(|spec| spec.name.as_str()).collect();
            if commands.is_empty() {
                continue;
            }
            let short: String = plugin.digest.chars().take("sha256:".len() + 12).collect();
            let _ = writeln!(text, "{}: {} ({short})", plugin.name, commands.join(", "));
        }
        for plugin in self.plugins.not_loaded() {
            // Why may name files and rules: that is for those who can mend it.
            let why =
                if self.shared.access.is_admin(&person.id) { format!(": {}", plugin.error) } else { String::new() };
            let _ = writeln!(text, "{}: not loaded{why}", plugin.name);
        }
        if text.is_empty() {
            text.push_str("There are no plugins for you here.");
        }
        text
    }
}

fn reach(role: &crate::access::Role) -> String {
    let list = |patterns: &[crate::access::Pattern]| {
        patterns.iter().map(crate::access::Pattern::as_str).collect::<Vec<_>>().join(", ")
    };
    format!("apps {}, environments {}", list(&role.apps), list(&role.environments))
}
