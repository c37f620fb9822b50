//! The table of rights: the commands that each person may run, by app and environment, with the rule or grant that
//! permits them.
//!
//! Invariant: the table is built with the same functions that check a command in a room. `everyone` has its own row.
//! Each room that is a member of a role has its own row too, because only the chat network knows the members of the
//! room.

use std::{collections::BTreeSet, fmt};

use serde::Serialize;

use super::explain::Explainer;
use crate::{
    command::{Asker, CommandKind, Target},
    policy::{HeldRole, Member},
};

#[derive(Serialize)]
pub(super) struct PeopleReport {
    pub(super) people: Vec<MayRow>,
    pub(super) warnings: Vec<String>,
}

/// The rights on one app in one environment. They belong to one person, to `everyone`, or to the members of one room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct MayRow {
    /// The id of a person, `everyone`, or a room such as `room:#ops:example.org`.
    person: String,
    /// The name in `[person.NAME]` or `[machine.NAME]`, if there is one.
    name: Option<String>,
    /// The other ids of the same person or machine account.
    other_ids: Vec<String>,
    /// The app, or `*` for an admin.
    app: String,
    /// The environment, or `*` for an admin.
    environment: String,
    runs: Vec<MayRun>,
    /// The roles through which the person can approve effects on the app and environment.
    approves: Vec<String>,
}

/// The commands that one rule permits to a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct MayRun {
    /// The names of the actions, or `*` for all.
    actions: Vec<String>,
    /// The names of the queries, or `*` for all.
    queries: Vec<String>,
    /// The name of the role, or `admin`.
    role: String,
    /// The position of the role in the configuration, or the job that granted the role.
    from: String,
}

impl Explainer<'_> {
    /// Returns the table of rights, ordered by person, app and environment. `approving` are the names of the roles that
    /// approval rules require.
    pub(super) fn people(&self, approving: &[&str]) -> Vec<MayRow> {
        let access = self.access;
        let ids: BTreeSet<String> =
            access.known_people().iter().map(|id| access.persons.canonical_id(id).to_owned()).collect();
        let mut rows = Vec::new();
        for id in &ids {
            if access.is_admin(id) {
                rows.push(self.admin(id));
            }
            // Include roles that apply only in some rooms.
            let held = self.held_somewhere(id);
            // A machine account cannot approve.
            let approving = if access.machines.has(id) { &[] } else { approving };
            rows.extend(self.rows(id, &held, approving));
        }
        let by_member = |wanted: &dyn Fn(&Member) -> bool| -> Vec<HeldRole> {
            let roles = access.roles.iter().filter(|role| role.members.iter().any(wanted));
            roles.map(|role| HeldRole { role: role.clone(), grant: None, reach: None }).collect()
        };
        // `everyone` cannot approve.
        rows.extend(self.rows("everyone", &by_member(&|member| *member == Member::Everyone), &[]));
        let members = access.roles.iter().flat_map(|role| &role.members);
        let rooms: BTreeSet<String> =
            members.filter(|member| matches!(member, Member::Room(_))).map(ToString::to_string).collect();
        for room in rooms {
            rows.extend(self.rows(&room, &by_member(&|member| member.to_string() == room), approving));
        }
        rows
    }

    /// Returns the roles that a person has in at least one room. Does not return the roles that `everyone` has.
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

    fn rows(&self, person: &str, held: &[HeldRole], approving: &[&str]) -> Vec<MayRow> {
        let mut rows = Vec::new();
        for app in self.catalog.apps() {
            let deployed = |name: &&String| app.deployments.iter().any(|deployment| deployment.environment == **name);
            for environment in self.environments().iter().filter(deployed) {
                let covers = |held: &&HeldRole| held.covers(Some(&app.name), Some(environment));
                let runs: Vec<MayRun> = held.iter().filter(covers).filter_map(|held| self.run(held)).collect();
                let is_held = |role: &&&str| held.iter().filter(covers).any(|held| held.role.name == **role);
                let approves: Vec<String> = approving.iter().filter(is_held).map(ToString::to_string).collect();
                if !runs.is_empty() || !approves.is_empty() {
                    rows.push(MayRow {
                        app: app.name.clone(),
                        environment: environment.clone(),
                        runs,
                        approves,
                        ..self.row(person)
                    });
                }
            }
        }
        rows
    }

    fn admin(&self, id: &str) -> MayRow {
        let all = || "*".to_owned();
        let run = MayRun {
            actions: vec![all()],
            queries: vec![all()],
            role: "admin".to_owned(),
            from: "[people] admins".to_owned(),
        };
        // Only the roles of an approval rule can approve. An admin without such a role cannot.
        MayRow { app: all(), environment: all(), runs: vec![run], ..self.row(id) }
    }

    /// Returns a row of a person without rights.
    fn row(&self, person: &str) -> MayRow {
        let persons = &self.access.persons;
        MayRow {
            person: person.to_owned(),
            name: persons.of(person).map(|person| person.name.clone()),
            other_ids: persons.ids(person).skip(1).map(str::to_owned).collect(),
            app: String::new(),
            environment: String::new(),
            runs: Vec::new(),
            approves: Vec::new(),
        }
    }

    /// Returns the environments of all bots, in the order of the configuration file.
    fn environments(&self) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for environment in self.access.bots.iter().flat_map(|bot| &bot.environments) {
            if !all.contains(environment) {
                all.push(environment.clone());
            }
        }
        all
    }

    /// Returns the plugin commands that a role permits; `None` if the role permits no plugin command.
    fn run(&self, held: &HeldRole) -> Option<MayRun> {
        let names = |kind: CommandKind| -> Vec<String> {
            let specs = self.plugins.table().specs().iter().filter(|spec| spec.kind == kind);
            let named = specs.filter(|spec| matches!(spec.target, Target::Plugin(_)) && held.role.runs(&spec.name));
            named.map(|spec| spec.name.clone()).collect()
        };
        let (actions, queries) = (names(CommandKind::Action), names(CommandKind::Query));
        let run = MayRun { actions, queries, role: held.role.name.clone(), from: held.source() };
        (!run.actions.is_empty() || !run.queries.is_empty()).then_some(run)
    }
}

impl fmt::Display for PeopleReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last_person = None;
        for row in &self.people {
            if last_person != Some(&row.person) {
                let name = row.name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
                let others = match row.other_ids.as_slice() {
                    [] => String::new(),
                    ids => format!(", also {}", ids.join(", ")),
                };
                writeln!(f, "{}{name}{others}", row.person)?;
                last_person = Some(&row.person);
            }
            let target = format!("{} {}", row.app, row.environment);
            for run in &row.runs {
                writeln!(f, "  {target:24} may run {run}")?;
            }
            if !row.approves.is_empty() {
                writeln!(f, "  {target:24} may approve as {}", row.approves.join(", "))?;
            }
        }
        self.warnings.iter().try_for_each(|warning| writeln!(f, "warning: {warning}"))
    }
}

impl fmt::Display for MayRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut commands: Vec<&str> = self.actions.iter().chain(&self.queries).map(String::as_str).collect();
        commands.dedup();
        let role = if self.role == "admin" { "admin".to_owned() } else { format!("role {}", self.role) };
        write!(f, "{} | {role}, {}", commands.join(", "), self.from)
    }
}
