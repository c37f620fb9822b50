//! What the configuration says about itself: `[[expect]]` against the rules, and roles that nobody has.
//!
//! Invariant: only the file counts here. What was granted in chat changes no expectation, and rooms are not asked.

use super::explain::Explainer;
use crate::{
    base::{Problem, clean},
    command::{Asker, Vocabulary},
    config::{Config, Expect},
    hostcall::Plugins,
    policy::{Member, Role},
};

impl Plugins {
    /// The expectations that the rules do not meet.
    pub(crate) fn unmet(&self, config: &Config) -> Vec<Problem> {
        config.expectations.iter().filter_map(|expect| self.miss(config, expect)).collect()
    }

    fn miss(&self, config: &Config, expect: &Expect) -> Option<Problem> {
        let explainer =
            Explainer { access: &config.access, catalog: &config.catalog, plugins: self, approvals: &config.approvals };
        let room = expect.room.as_ref().map(|room| config.access.room_of(room));
        let vocabulary = Vocabulary::all_with_roles(&config.catalog, &*config.access);
        let wrong = |message: String, fix: Option<String>| Some(Problem { at: expect.at.clone(), message, fix });
        match explainer.line(Asker { room, ..Asker::from(&expect.who) }, &expect.command, &vocabulary) {
            Err(why) => wrong(format!("`{}` is no command to expect anything of: {why}", clean(&expect.command)), None),
            Ok(explained) if explained.yes == expect.answer => None,
            Ok(explained) => {
                let (is, expected) = if explained.yes { ("yes", "no") } else { ("no", "yes") };
                let message = format!(
                    "`can {} {}` is {is}, and {expected} is expected: {}",
                    expect.who,
                    clean(&expect.command),
                    explained.because
                );
                wrong(message, Some(format!("another rule, or: answer = \"{is}\"")))
            }
        }
    }

    /// The roles that nobody has by the file, and that nobody can be added to, one line each.
    pub fn warnings(&self, config: &Config) -> Vec<String> {
        let access = &config.access;
        let empty = |role: &Role| {
            role.members.iter().all(|member| match member {
                Member::Everyone | Member::Person(_) | Member::Room(_) => false,
                Member::Group(group) => access.group(group).map_or(true, |members| members.is_empty()),
            })
        };
        let nobody = access.roles.iter().filter(|role| !role.grant_in_chat && empty(role));
        let roles = nobody.map(|role| format!("nobody has the role {} ({})", role.name, role.at));
        let closed = access.groups().filter_map(|group| {
            let why = access.group(group).err()?;
            Some(format!("nobody is in the group {group}: {why}"))
        });
        roles.chain(closed).collect()
    }
}
