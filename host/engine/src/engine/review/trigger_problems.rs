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
            self.check_command(&alias.at, &alias.command, &mut problems);
            self.check_not_hidden(&alias.at, &alias.typed, &mut problems);
        }
        for said in &triggers.said {
            self.check_not_hidden(&said.at, &said.typed, &mut problems);
        }
        for listen in &triggers.listens {
            let Some(spec) = self.check_command(&listen.at, &listen.command, &mut problems) else { continue };
            if !only_answers(&spec) {
                let message = format!("`{}` acts, and what is only heard sets off queries alone", spec.name);
                problems.push(Problem { at: listen.at.clone(), message, fix: Some("[[alias]]".to_owned()) });
            }
        }
        for schedule in &triggers.schedules {
            let spec = self.check_command(&schedule.at, &schedule.command, &mut problems);
            self.check_machine(&schedule.at, spec, &schedule.machine, &schedule.room, &mut problems);
        }
        for hook in &triggers.hooks {
            let spec = self.check_command(&hook.at, &hook.command, &mut problems);
            self.check_machine(&hook.at, spec, &hook.machine, &hook.room, &mut problems);
        }
        problems
    }

    /// Resolves the command of a trigger. A command that does not parse is reported, and gives `None`.
    fn check_command(&self, at: &At, command: &CommandTemplate, problems: &mut Vec<Problem>) -> Option<Arc<Spec>> {
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

    /// Reports a short form or fixed answer with the words of a command: it would hide the command.
    fn check_not_hidden(&self, at: &At, typed: &[String], problems: &mut Vec<Problem>) {
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

    /// Reports a machine that may not run its command on any app.
    fn check_machine(
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

/// Whether a command changes nothing with any arguments.
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
