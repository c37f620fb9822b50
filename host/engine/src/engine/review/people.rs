//! The table of rights: the commands of each person by app and environment, each with the line of the file or the job
//! that grants it.
//!
//! Invariant: the table is made by the functions that also decide a typed command. Only a network has the member list
//! of a room, so a room has its own rows. The rights of `everyone` are in their own rows too.

use std::collections::BTreeSet;

use super::explain::Explainer;
use crate::{
    command::{Asker, CommandKind, Target},
    policy::{HeldRole, Member},
};

/// The rights of one person on one app in one environment.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct MayRow {
    /// The id of a person, or `everyone`, or `room:` with a room's name.
    pub person: String,
    /// The name in the configuration, if there is one.
    pub name: Option<String>,
    /// The app; `*` for an admin.
    pub app: String,
    /// The environment; `*` for an admin.
    pub environment: String,
    /// The permitted commands, by rule.
    pub runs: Vec<MayRun>,
    /// The roles through which the person can approve effects on the app in the environment.
    pub approves: Vec<String>,
}

/// The commands that one rule permits a person.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct MayRun {
    /// The actions; `*` for all.
    pub actions: Vec<String>,
    /// The queries; `*` for all.
    pub queries: Vec<String>,
    /// The role, or `admin`.
    pub role: String,
    /// The line of the role in the file, or the job that granted it.
    pub from: String,
}

impl Explainer<'_> {
    /// The table, by person, app and environment. `approving` are the roles that the approval rules name.
    pub(crate) fn people(&self, approving: &[&str]) -> Vec<MayRow> {
        let access = self.access;
        let ones: BTreeSet<String> =
            access.known_people().iter().map(|id| access.persons.canonical_id(id).to_owned()).collect();
        let mut rows = Vec::new();
        for id in &ones {
            let name = access.persons.of(id).map(|person| person.name.clone());
            if access.is_admin(id) {
                rows.push(admin(id, name.clone()));
            }
            // A role that is limited to rooms is listed as if its member typed in one of them.
            let held = self.held_somewhere(id);
            // A machine cannot approve.
            let approving = if access.machines.has(id) { &[] } else { approving };
            rows.extend(self.rows(id, name.as_deref(), &held, approving));
        }
        let by_member = |wanted: &dyn Fn(&Member) -> bool| -> Vec<HeldRole> {
            let roles = access.roles.iter().filter(|role| role.members.iter().any(wanted));
            roles.map(|role| HeldRole { role: role.clone(), grant: None, reach: None }).collect()
        };
        // Nobody can approve as a member of `everyone`.
        rows.extend(self.rows("everyone", None, &by_member(&|member| *member == Member::Everyone), &[]));
        let members = access.roles.iter().flat_map(|role| &role.members);
        let rooms: BTreeSet<String> =
            members.filter(|member| matches!(member, Member::Room(_))).map(ToString::to_string).collect();
        for room in rooms {
            rows.extend(self.rows(&room, None, &by_member(&|member| member.to_string() == room), approving));
        }
        rows
    }

    /// The roles that a person has in at least one room, without those of `everyone`.
    fn held_somewhere(&self, id: &str) -> Vec<HeldRole> {
        let mut held = self.access.roles_of(Asker::from(id), false);
        for room in self.access.roles.iter().filter_map(|role| role.rooms.as_ref()).flatten() {
            let asker = Asker { room: Some(self.access.room_of(room)), ..Asker::from(id) };
            for more in self.access.roles_of(asker, false) {
                if held.iter().all(|known| known.rule() != more.rule() || known.source() != more.source()) {
                    held.push(more);
                }
            }
        }
        held
    }

    fn rows(&self, person: &str, name: Option<&str>, held: &[HeldRole], approving: &[&str]) -> Vec<MayRow> {
        let mut rows = Vec::new();
        for app in self.catalog.apps() {
            let deployed = |name: &&String| app.deployments.iter().any(|deployment| deployment.environment == **name);
            for environment in self.environments().iter().filter(deployed) {
                let covers = |held: &&HeldRole| held.covers(Some(&app.name), Some(environment));
                let runs: Vec<MayRun> = held.iter().filter(covers).filter_map(|held| self.run(held)).collect();
                let stands = |role: &&&str| held.iter().filter(covers).any(|held| held.role.name == **role);
                let approves: Vec<String> = approving.iter().filter(stands).map(ToString::to_string).collect();
                if !runs.is_empty() || !approves.is_empty() {
                    rows.push(MayRow {
                        person: person.to_owned(),
                        name: name.map(str::to_owned),
                        app: app.name.clone(),
                        environment: environment.clone(),
                        runs,
                        approves,
                    });
                }
            }
        }
        rows
    }

    /// The environments that at least one bot serves, in the order of the file.
    fn environments(&self) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for environment in self.access.bots.iter().flat_map(|bot| &bot.environments) {
            if !all.contains(environment) {
                all.push(environment.clone());
            }
        }
        all
    }

    /// The existing plugin commands that a role permits; `None` if there are none.
    fn run(&self, held: &HeldRole) -> Option<MayRun> {
        let specs = self.plugins.table().specs().iter();
        let named = specs.filter(|spec| matches!(spec.target, Target::Plugin(_)) && held.role.runs(&spec.name));
        let (actions, queries): (Vec<_>, Vec<_>) = named.partition(|spec| spec.kind == CommandKind::Action);
        let names = |specs: Vec<&std::sync::Arc<crate::command::Spec>>| -> Vec<String> {
            specs.into_iter().map(|spec| spec.name.clone()).collect()
        };
        let run = MayRun {
            actions: names(actions),
            queries: names(queries),
            role: held.role.name.clone(),
            from: held.source(),
        };
        (!run.actions.is_empty() || !run.queries.is_empty()).then_some(run)
    }
}

fn admin(id: &str, name: Option<String>) -> MayRow {
    let all = || "*".to_owned();
    MayRow {
        person: id.to_owned(),
        name,
        app: all(),
        environment: all(),
        runs: vec![MayRun {
            actions: vec![all()],
            queries: vec![all()],
            role: "admin".to_owned(),
            from: "[people] admins".to_owned(),
        }],
        // Being an admin is not enough to approve. An admin needs one of the rule's roles, like other people.
        approves: Vec::new(),
    }
}
