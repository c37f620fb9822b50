//! The table of people: who may run what where, by which line of the file or which job.
//!
//! Invariant: it asks the same functions that decide. Who is in a room only its network knows, so a room stands in the
//! table as such; what all have stands there once, for everyone.

use std::collections::BTreeSet;

use crate::{
    command::{Asker, CommandKind, Target},
    engine::explain::Explainer,
    policy::{HeldRole, Member},
};

/// What somebody may do with one app in one environment.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct MayRow {
    /// The id of a person, or `everyone`, or `room:` with a room's name.
    pub person: String,
    /// What the configuration calls them, where it does.
    pub name: Option<String>,
    /// The app; `*` for an admin.
    pub app: String,
    /// The environment; `*` for an admin.
    pub environment: String,
    /// The commands, each rule that gives some by itself.
    pub runs: Vec<MayRun>,
    /// The roles in whose name they can approve there.
    pub approves: Vec<String>,
}

/// Some commands that one rule lets somebody run.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct MayRun {
    /// The commands that act; `*` for all there are.
    pub actions: Vec<String>,
    /// Those that only answer.
    pub queries: Vec<String>,
    /// The role, or `admin`.
    pub role: String,
    /// Its line in the file, or the job that granted it.
    pub from: String,
}

impl Explainer<'_> {
    /// The table, by person, app and environment. `approving`: the roles that approvals are asked of.
    pub fn census(&self, approving: &[&str]) -> Vec<MayRow> {
        let access = self.access;
        let ones: BTreeSet<String> =
            access.known_people().iter().map(|id| access.persons.canonical_id(id).to_owned()).collect();
        let mut rows = Vec::new();
        for id in &ones {
            let name = access.persons.of(id).map(|person| person.name.clone());
            if access.is_admin(id) {
                rows.push(admin(id, name.clone()));
            }
            // The place where a role counts is not asked here: what it gives it gives somewhere.
            let held = self.held_somewhere(id);
            rows.extend(self.rows(id, name.as_deref(), &held, approving));
        }
        let by_member = |wanted: &dyn Fn(&Member) -> bool| -> Vec<HeldRole> {
            let roles = access.roles.iter().filter(|role| role.members.iter().any(wanted));
            roles.map(|role| HeldRole { role: role.clone(), grant: None, reach: None }).collect()
        };
        // Who is one of everyone can approve nothing.
        rows.extend(self.rows("everyone", None, &by_member(&|member| *member == Member::Everyone), &[]));
        let members = access.roles.iter().flat_map(|role| &role.members);
        let rooms: BTreeSet<String> =
            members.filter(|member| matches!(member, Member::Room(_))).map(ToString::to_string).collect();
        for room in rooms {
            rows.extend(self.rows(&room, None, &by_member(&|member| member.to_string() == room), approving));
        }
        rows
    }

    /// The roles that somebody has in some room, without those of everyone.
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

    /// What may be touched through any identity, in the order of the file.
    fn environments(&self) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for environment in self.access.bots.iter().flat_map(|bot| &bot.environments) {
            if !all.contains(environment) {
                all.push(environment.clone());
            }
        }
        all
    }

    /// The commands that there are and that a role names.
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
        // An admin approves in the name of a role, like anybody.
        approves: Vec::new(),
    }
}
