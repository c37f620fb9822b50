//! Finds triggers whose commands do not exist, are not permitted, or have the same words as another command.

use std::sync::Arc;

use super::{super::refused_triggers, Review};
use crate::{
    base::{At, Problem},
    command::{Asker, CommandKind, Spec, Target},
    model::{Person, RoomName},
    trigger::CommandTemplate,
};

impl Review {
    pub(super) fn trigger_problems(&self) -> Vec<Problem> {
        let triggers = &self.config.triggers;
        let mut problems = Vec::new();
        for alias in &triggers.aliases {
            self.check_command(&alias.at, &alias.command, &mut problems);
        }
        let refused = refused_triggers::refused(triggers, &self.plugins);
        problems.extend(refused.into_iter().map(|(at, message)| Problem { at, message, fix: None }));
        for listen in &triggers.listens {
            let Some(spec) = self.check_command(&listen.at, &listen.command, &mut problems) else { continue };
            if !only_answers(&spec) {
                let message = format!("[[listen]] can start only queries, and `{}` is an action", spec.name);
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

    /// Returns the command of a trigger. If the command does not parse, adds a configuration problem and returns
    /// `None`.
    fn check_command(&self, at: &At, command: &CommandTemplate, problems: &mut Vec<Problem>) -> Option<Arc<Spec>> {
        let vocabulary = self.vocabulary();
        let named = command.placeholders().map(|name| (name.to_owned(), format!("{{{name}}}"))).collect();
        match self.plugins.table().check_words(&command.fill(&named), &vocabulary) {
            Ok(spec) => Some(spec),
            Err(misparse) => {
                let message = format!("`{}` is not a valid command: {}", command.as_str(), misparse.message);
                problems.push(Problem { at: at.clone(), message, fix: misparse.hint });
                None
            }
        }
    }

    /// Reports a schedule or hook whose machine account may not run the command on any app.
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
            let message =
                format!("the machine account `{}` has no role that permits the command `{}`", machine.name, spec.name);
            let fix = format!("members = [\"{}\"]   in a role with commands = [\"{}\"]", machine.name, spec.name);
            problems.push(Problem { at: at.clone(), message, fix: Some(fix) });
        }
    }
}

/// Returns whether a command never changes anything.
fn only_answers(spec: &Spec) -> bool {
    match &spec.target {
        Target::Plugin(_) => spec.kind == CommandKind::Query,
        Target::Host(builtin) => builtin.only_reads(),
    }
}
