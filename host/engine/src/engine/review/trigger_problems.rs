//! Triggers whose commands do not exist, may not run, or are hidden by a command of the same name.

use std::sync::Arc;

use super::reviewed::Reviewed;
use crate::{
    base::{At, Problem},
    command::{Asker, Builtin, CommandKind, Spec, Target},
    model::{Person, RoomName},
    trigger::CommandTemplate,
};

impl Reviewed {
    /// The problems of all triggers.
    pub(super) fn trigger_problems(&self) -> Vec<Problem> {
        let triggers = &self.config.triggers;
        let mut problems = Vec::new();
        for alias in &triggers.aliases {
            self.look(&alias.at, &alias.command, &mut problems);
            self.hidden(&alias.at, &alias.typed, &mut problems);
        }
        for said in &triggers.said {
            self.hidden(&said.at, &said.typed, &mut problems);
        }
        for listen in &triggers.listens {
            let Some(spec) = self.look(&listen.at, &listen.command, &mut problems) else { continue };
            if !only_answers(&spec) {
                let message = format!("`{}` acts, and what is only heard sets off queries alone", spec.name);
                problems.push(Problem { at: listen.at.clone(), message, fix: Some("[[alias]]".to_owned()) });
            }
        }
        for schedule in &triggers.schedules {
            let spec = self.look(&schedule.at, &schedule.command, &mut problems);
            self.powerless(&schedule.at, spec, &schedule.machine, &schedule.room, &mut problems);
        }
        for hook in &triggers.hooks {
            let spec = self.look(&hook.at, &hook.command, &mut problems);
            self.powerless(&hook.at, spec, &hook.machine, &hook.room, &mut problems);
        }
        problems
    }

    /// The command of a trigger; what is wrong with it goes to the problems.
    fn look(&self, at: &At, command: &CommandTemplate, problems: &mut Vec<Problem>) -> Option<Arc<Spec>> {
        let vocabulary = self.vocabulary();
        let named = command.placeholders().map(|name| (name.to_owned(), format!("{{{name}}}"))).collect();
        match self.plugins.table().check_words(&command.fill(&named), &vocabulary) {
            Ok(spec) => Some(spec),
            Err(misparse) => {
                let message = format!("`{}` is no command: {}", command.as_str(), misparse.message);
                problems.push(Problem { at: at.clone(), message, fix: misparse.hint });
                None
            }
        }
    }

    /// Reports words that are a command already: nobody could type it any more.
    fn hidden(&self, at: &At, typed: &[String], problems: &mut Vec<Problem>) {
        let two = typed.get(1).map(|second| format!("{} {second}", typed[0]));
        let known = two
            .as_deref()
            .and_then(|two| self.plugins.table().get(two))
            .or_else(|| self.plugins.table().get(&typed[0]));
        if let Some(spec) = known {
            let message = format!("`{}` is typed like the command `{}`", typed.join(" "), spec.name);
            problems.push(Problem { at: at.clone(), message, fix: None });
        }
    }

    /// Reports a machine that may not run what it is to run, wherever.
    fn powerless(
        &self,
        at: &At,
        spec: Option<Arc<Spec>>,
        machine: &Person,
        room: &RoomName,
        problems: &mut Vec<Problem>,
    ) {
        let Some(spec) = spec else { return };
        let asker = Asker { room: Some(self.access.room_of(room)), ..Asker::from(machine) };
        if !self.access.may_run(asker, &spec.name, spec.target.clone()) {
            let message = format!("machine {} has no role that lets it run `{}`", machine.name, spec.name);
            let fix = format!("members = [\"{}\"]   in a role with commands = [\"{}\"]", machine.name, spec.name);
            problems.push(Problem { at: at.clone(), message, fix: Some(fix) });
        }
    }
}

/// Whether a command changes nothing, whatever is typed behind it.
fn only_answers(spec: &Spec) -> bool {
    match &spec.target {
        Target::Plugin(_) => spec.kind == CommandKind::Query,
        Target::Host(builtin) => {
            matches!(
                builtin,
                Builtin::Help
                    | Builtin::Whoami
                    | Builtin::Can
                    | Builtin::Plugins
                    | Builtin::Status
                    | Builtin::Stats
                    | Builtin::Jobs
                    | Builtin::Logs
            )
        }
    }
}
