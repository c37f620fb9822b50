//! The rights of all people, from the configuration, the directory, the members of rooms and the roles that were
//! granted in chat.
//!
//! Invariant: rights are read from memory. Only [`Access::refresh`] sends requests to a chat network.
//! Not here: the check of a command (`authorize`).

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::{Arc, OnceLock},
};

use jiff::Timestamp;
use parking_lot::RwLock;

use super::{
    approval_rule::Need,
    bots::Bots,
    chat_grants::Granted,
    identity_links::{ClaimGroup, IdentityLinks},
    machines::Machines,
    people::People,
    role::{HeldRole, Member, Rights, Role},
    role_index::Index,
    room_members::Rooms,
};
use crate::{
    adapter::{Accounts, Clock, Directory, GroupFiles, MonotonicClock},
    command::{Asker, Target, Visibility},
    model::RoomName,
    store::{Grant, IdentityLink, Write},
};

/// Prevents that two changes of the roles that were granted in chat happen at the same time. Each change depends on the
/// grants that exist before it.
pub(crate) type ChangeGuard = tokio::sync::OwnedMutexGuard<()>;

/// The rights of all people: the people and roles of the configuration, the current members of groups and rooms, and
/// the roles that were granted in chat.
pub(crate) struct Access {
    /// The ids of the admins, as the configuration lists them.
    pub admins: Vec<String>,
    /// The roles, in the order of the configuration.
    pub roles: Vec<Arc<Role>>,
    pub bots: Bots,
    pub machines: Machines,
    pub persons: People,
    /// The owners of each app, by the name of the app. An owner can grant roles on the app in chat.
    pub owners: BTreeMap<String, Vec<Member>>,
    /// The room that is notified of each role that is granted or revoked in chat; `None` for no notification.
    pub tell: Option<RoomName>,
    /// The accounts at identity providers that people have proved, and the groups that they give.
    pub identities: IdentityLinks,
    apps: HashSet<String>,
    admin_ids: HashSet<String>,
    index: Index,
    granted: Granted,
    rooms: Rooms,
    directory: RwLock<Arc<dyn Directory>>,
    clocks: OnceLock<(MonotonicClock, Arc<dyn Clock>)>,
    changes: Arc<tokio::sync::Mutex<()>>,
}

/// The people, roles and rights that the configuration defines: the input of [`Access::new`].
#[derive(Debug, Default)]
pub(crate) struct Policy {
    pub admins: Vec<String>,
    pub roles: Vec<Arc<Role>>,
    pub bots: Bots,
    pub machines: Machines,
    pub persons: People,
    pub owners: BTreeMap<String, Vec<Member>>,
    pub tell: Option<RoomName>,
    pub groups: GroupFiles,
    /// The groups of identity providers.
    pub claims: BTreeMap<String, ClaimGroup>,
    pub apps: HashSet<String>,
    /// The default chat network. A room that the configuration names without a network is on this network.
    pub network: String,
}

impl Access {
    pub(crate) fn new(policy: Policy) -> Self {
        let Policy { admins, roles, bots, machines, persons, owners, tell, groups, claims, apps, network } = policy;
        let members = roles.iter().flat_map(|role| &role.members).chain(owners.values().flatten());
        let with_members = members.filter_map(|member| match member {
            Member::Room(name) => Some(name.clone()),
            Member::Everyone | Member::Person(_) | Member::Group(_) => None,
        });
        let named = roles.iter().filter_map(|role| role.rooms.as_ref()).flatten().cloned();
        Self {
            admin_ids: admins.iter().map(|id| persons.canonical_id(id).to_owned()).collect(),
            index: Index::new(&roles, &persons),
            rooms: Rooms::new(with_members, named, network),
            granted: Granted::default(),
            identities: IdentityLinks::new(claims),
            directory: RwLock::new(Arc::new(groups)),
            clocks: OnceLock::new(),
            changes: Arc::default(),
            admins,
            roles,
            bots,
            machines,
            persons,
            owners,
            tell,
            apps,
        }
    }

    /// Returns the rights of a person to run a command. Does not check the app and the environment of the command.
    pub(crate) fn rights<'a>(&self, who: impl Into<Asker<'a>>, command: &str, target: Target) -> Rights {
        let who = who.into();
        if target.is_open() {
            Rights::Open
        } else if self.is_admin(who.id) {
            Rights::Admin
        } else if target.is_for_admins() {
            Rights::Roles(Vec::new())
        } else {
            Rights::Roles(self.roles_of(who, true).into_iter().filter(|held| held.role.runs(command)).collect())
        }
    }

    /// Returns the roles of a person, from the configuration and from grants in chat. Leaves out roles that do not
    /// count in the room of the message, and roles that were granted through another bot. If `everyone` is true, the
    /// result includes the roles that have `everyone` as a member.
    pub(crate) fn roles_of<'a>(&self, who: impl Into<Asker<'a>>, everyone: bool) -> Vec<HeldRole> {
        let who = who.into();
        let canonical_id = self.persons.canonical_id(who.id);
        // The member `everyone` stands for every person, but for no machine.
        let everyone = everyone && !self.machines.has(who.id);
        let positions = self.index.of(
            canonical_id,
            everyone,
            |group| self.in_group(group, who.id),
            |room| self.rooms.has(room, self.persons.ids(who.id)),
        );
        let named = positions.into_iter().map(|position| HeldRole {
            role: self.roles[position].clone(),
            grant: None,
            reach: None,
        });
        let now = self.now();
        let through_bot = |grant: &Arc<Grant>| who.bot.is_none_or(|bot| self.same_bot(bot, &grant.bot));
        let granted =
            self.granted.of(canonical_id).into_iter().filter(through_bot).filter_map(|grant| self.in_force(grant, now));
        named.chain(granted).filter(|held| self.counts_in(&held.role, who)).collect()
    }

    /// Returns the role that a person has through a grant in chat. Returns `None` if the grant has expired, or if the
    /// configuration no longer allows the grant.
    fn in_force(&self, grant: Arc<Grant>, now: Timestamp) -> Option<HeldRole> {
        let role = self.role(&grant.role)?;
        let counts = grant.until.is_none_or(|until| now < until) && self.conflict(&grant, role).is_none();
        let reach = counts.then(|| self.bots.environments(&grant.bot).into())?;
        Some(HeldRole { role: role.clone(), grant: Some(grant), reach: Some(reach) })
    }

    /// Returns the reason why the configuration no longer allows a grant in chat; `None` if the grant is allowed.
    fn conflict(&self, grant: &Grant, role: &Role) -> Option<String> {
        if !role.grant_in_chat {
            Some(format!("role `{}` has no `grant_in_chat = true`", role.name))
        } else if !self.apps.contains(&grant.app) {
            Some(format!("the configuration has no app `{}`", grant.app))
        } else if !role.covers(Some(&grant.app), grant.environment.as_deref()) {
            Some(format!("role `{}` does not cover `{}`", role.name, target(grant)))
        } else if self.bots.get(&grant.bot).is_none() {
            Some(format!("the role was granted through bot `{}`, which is no longer in the configuration", grant.bot))
        } else {
            None
        }
    }

    /// Returns whether two names mean the same bot. An empty name means the first bot in the configuration.
    fn same_bot(&self, one: &str, other: &str) -> bool {
        let name = |name| self.bots.get(name).map(|bot| &bot.name);
        name(one).is_some() && name(one) == name(other)
    }

    /// Returns whether a role counts in the room of the asker's message. A role with the key `rooms` counts only in
    /// these rooms.
    fn counts_in(&self, role: &Role, who: Asker<'_>) -> bool {
        let Some(rooms) = &role.rooms else { return true };
        who.room.is_some_and(|room| rooms.iter().any(|name| self.rooms.is(name, room)))
    }

    fn in_group(&self, group: &str, person: &str) -> bool {
        if let Some(group) = self.identities.group(group) {
            return self.identities.has(group, self.persons.ids(person), self.now());
        }
        let members = self.group(group);
        members.is_ok_and(|members| self.persons.ids(person).any(|id| members.contains(id)))
    }

    /// Returns the network and name of a room in the configuration. Sends no request to the network.
    pub(crate) fn room_of<'a>(&'a self, room: &'a RoomName) -> (&'a str, &'a str) {
        (self.rooms.network_of(room), &room.name)
    }

    /// Returns the default chat network. A room that the configuration names without a network is on this network.
    pub(crate) fn network(&self) -> &str {
        self.rooms.network()
    }

    /// Returns whether `room`, a pair of network and room id, is the room that the configuration calls `name`.
    pub(crate) fn is_room(&self, name: &RoomName, room: (&str, &str)) -> bool {
        self.rooms.is(name, room)
    }

    /// Returns the current members of a group.
    ///
    /// # Errors
    /// The reason why the group's members are unknown. The group then counts as empty.
    pub(crate) fn group(&self, group: &str) -> Result<Arc<HashSet<String>>, crate::adapter::GroupUnavailable> {
        if let Some(group) = self.identities.group(group) {
            return Ok(Arc::new(self.identities.members(group, self.now())));
        }
        let directory = self.directory.read().clone();
        directory.members(group)
    }

    /// Returns whether a list of members includes a person: by an id, through a group or a room, or as `everyone`.
    pub(crate) fn is_among<'a>(&self, members: &[Member], who: impl Into<Asker<'a>>) -> bool {
        let who = who.into();
        members.iter().any(|member| match member {
            Member::Everyone => !self.machines.has(who.id),
            Member::Person(id) => self.same_person(id, who.id),
            Member::Group(group) => self.in_group(group, who.id),
            Member::Room(room) => self.rooms.has(room, self.persons.ids(who.id)),
        })
    }

    pub(crate) fn owns<'a>(&self, who: impl Into<Asker<'a>>, app: &str) -> bool {
        self.owners.get(app).is_some_and(|owners| self.is_among(owners, who))
    }

    /// Returns whether a person has any right on an app and an environment. `None` stands for any app or environment.
    /// Messages to a person do not name an app or environment on which the person has no right.
    pub(crate) fn sees<'a>(&self, who: impl Into<Asker<'a>>, app: Option<&str>, environment: Option<&str>) -> bool {
        let who = who.into();
        self.is_admin(who.id) || self.roles_of(who, true).iter().any(|held| held.covers(app, environment))
    }

    pub(crate) fn same_person(&self, one: &str, other: &str) -> bool {
        self.persons.same(one, other)
    }

    /// Returns whether two ids are one person for an approval: by the configuration, or because both ids have proved the
    /// same account at an identity provider. Rights do not follow the account: only its groups do.
    pub(crate) fn same_principal(&self, one: &str, other: &str) -> bool {
        self.identities.same(&self.persons, one, other)
    }

    pub(crate) fn role(&self, name: &str) -> Option<&Arc<Role>> {
        self.index.role(name).map(|position| &self.roles[position])
    }

    /// Returns whether a person has a role on an app and an environment, for the check of an approval. `None` stands
    /// for any app or environment. A role that the person has only through `everyone` does not count. Returns `false`
    /// for a machine, because machines cannot approve.
    pub(crate) fn holds_role<'a>(
        &self,
        role: &str,
        who: impl Into<Asker<'a>>,
        app: Option<&str>,
        environment: Option<&str>,
    ) -> bool {
        let who = who.into();
        !self.machines.has(who.id)
            && self.roles_of(who, false).iter().any(|held| held.role.name == role && held.covers(app, environment))
    }

    /// Returns whether a room is a member of the role `role`. If so, [`Self::known_members`] does not return all
    /// members of the role.
    pub(crate) fn has_room_members(&self, role: &str) -> bool {
        let room = |member: &Member| matches!(member, Member::Room(_));
        self.role(role).is_some_and(|role| role.members.iter().any(room))
    }

    /// Returns the ids of a role's members: the members in the configuration, the members of its groups, and the people
    /// to whom the role was granted in chat. Does not include the members of rooms. For a person with several ids, the
    /// result has only the first id.
    pub(crate) fn known_members(&self, role: &str) -> Vec<String> {
        let mut ids = Vec::new();
        for member in self.role(role).map(|role| role.members.as_slice()).unwrap_or_default() {
            match member {
                Member::Person(id) => ids.push(id.clone()),
                Member::Group(group) => {
                    let members = self.group(group);
                    let mut members: Vec<String> = members.iter().flat_map(|ids| ids.iter().cloned()).collect();
                    members.sort();
                    ids.extend(members);
                }
                Member::Everyone | Member::Room(_) => {}
            }
        }
        let granted = self.grants().into_iter().filter(|held| held.role.name == role);
        ids.extend(granted.filter_map(|held| held.grant).map(|grant| grant.person.id.clone()));
        let mut seen = HashSet::new();
        let canonical_ids = ids.iter().map(|id| self.persons.canonical_id(id).to_owned());
        canonical_ids.filter(|id| seen.insert(id.clone())).collect()
    }

    /// Returns whether the person with the id `person` is an admin. A person with several ids is an admin if any of
    /// these ids is in the configuration's list of admins.
    pub(crate) fn is_admin(&self, person: &str) -> bool {
        self.admin_ids.contains(self.persons.canonical_id(person))
    }

    /// Returns whether a person has a role that can give the required approval `need`. The person must have the role for
    /// all apps and environments of the approval.
    pub(crate) fn may_give(&self, need: &Need, who: Asker<'_>) -> bool {
        let in_role = |role: &String| {
            need.targets
                .iter()
                .all(|(app, environment)| self.holds_role(role, who, app.as_deref(), environment.as_deref()))
        };
        need.from.iter().any(in_role)
    }

    /// Returns whether a person has a role that can give the required approval `need` neither through a group nor through
    /// a room: the configuration names the person, or the role was granted to the person in chat.
    pub(crate) fn may_give_directly(&self, need: &Need, who: Asker<'_>) -> bool {
        let is_named = |role: &Arc<Role>| {
            role.members.iter().any(|member| matches!(member, Member::Person(id) if self.same_person(id, who.id)))
        };
        let granted = self.roles_of(who, false).into_iter().filter(|held| held.grant.is_some());
        let granted: Vec<Arc<Role>> = granted.map(|held| held.role).collect();
        let roles = self.roles.iter().filter(|role| is_named(role)).chain(&granted);
        roles.into_iter().any(|role| need.from.contains(&role.name)) && self.may_give(need, who)
    }

    /// Returns whether the members of all these roles are known. They are unknown while a group or the members of a room
    /// cannot be read.
    pub(crate) fn knows_members(&self, roles: &[String]) -> bool {
        let is_known = |member: &Member| match member {
            Member::Everyone | Member::Person(_) => true,
            Member::Group(group) => self.group(group).is_ok(),
            Member::Room(room) => self.rooms.is_readable(room),
        };
        let roles = self.roles.iter().filter(|role| roles.contains(&role.name));
        roles.flat_map(|role| &role.members).all(is_known)
    }

    /// Returns whether a person is an admin or has a role that not everybody has.
    pub(crate) fn has_role<'a>(&self, who: impl Into<Asker<'a>>) -> bool {
        let who = who.into();
        self.is_admin(who.id) || !self.roles_of(who, false).is_empty()
    }

    /// Returns whether a person may run a command on at least one app and environment.
    pub(crate) fn may_run<'a>(&self, who: impl Into<Asker<'a>>, command: &str, target: Target) -> bool {
        match self.rights(who, command, target) {
            Rights::Open | Rights::Admin => true,
            Rights::Roles(roles) => !roles.is_empty(),
        }
    }

    /// Returns the ids of all admins. For an admin with several ids, the result has each id.
    pub(crate) fn admin_ids(&self) -> Vec<String> {
        let all = self.admins.iter().flat_map(|admin| self.persons.ids(admin));
        all.map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Returns the ids of all people that the configuration names.
    pub(crate) fn people(&self) -> Vec<String> {
        let members = self.roles.iter().flat_map(|role| &role.members).chain(self.owners.values().flatten());
        let named = members.filter_map(|member| match member {
            Member::Person(id) => Some(id.as_str()),
            Member::Everyone | Member::Group(_) | Member::Room(_) => None,
        });
        let several = self.persons.iter().flat_map(|person| &person.ids).map(String::as_str);
        let all = self.admins.iter().map(String::as_str).chain(named).chain(several);
        all.map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Returns the ids of all people that the configuration names, all current members of its groups, and all people to
    /// whom a role was granted in chat.
    pub(crate) fn known_people(&self) -> Vec<String> {
        let mut all: BTreeSet<String> = self.people().into_iter().collect();
        for group in self.groups() {
            all.extend(self.group(group).iter().flat_map(|members| members.iter().cloned()));
        }
        all.extend(self.granted.all().iter().map(|grant| grant.person.id.clone()));
        all.into_iter().collect()
    }

    /// Returns the names of the groups that are members of roles or owners of apps.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &str> {
        let members = self.roles.iter().flat_map(|role| &role.members).chain(self.owners.values().flatten());
        let groups = members.filter_map(|member| match member {
            Member::Group(name) => Some(name.as_str()),
            Member::Everyone | Member::Person(_) | Member::Room(_) => None,
        });
        groups.collect::<BTreeSet<_>>().into_iter()
    }

    /// Returns the roles that were granted in chat and are in force, the oldest grant first.
    pub(crate) fn grants(&self) -> Vec<HeldRole> {
        let now = self.now();
        self.granted.all().into_iter().filter_map(|grant| self.in_force(grant, now)).collect()
    }

    /// Returns all grants in chat to a person, the oldest first, including grants that are not in force.
    pub(crate) fn all_grants_of(&self, person: &str) -> Vec<Arc<Grant>> {
        self.granted.of(self.persons.canonical_id(person))
    }

    /// Adds the grants in chat that were read from the store. Returns one warning for each grant that the configuration
    /// no longer allows.
    pub(crate) fn restore(&self, grants: Vec<Grant>) -> Vec<String> {
        let mut warnings = Vec::new();
        for grant in grants {
            let conflict = match self.role(&grant.role) {
                None => Some(format!("the configuration has no role `{}`", grant.role)),
                Some(role) => self.conflict(&grant, role),
            };
            if let Some(why) = conflict {
                warnings.push(format!(
                    "the grant of role `{}` on `{}` to {} by {} is not in force: {why}",
                    grant.role,
                    target(&grant),
                    grant.person.id,
                    grant.by.id
                ));
            }
            self.granted.add(self.persons.canonical_id(&grant.person.id), grant.clone());
        }
        warnings
    }

    /// Adds the accounts at identity providers that were read from the store.
    pub(crate) fn restore_identities(&self, links: Vec<IdentityLink>) {
        links.into_iter().for_each(|link| self.identities.apply(link));
    }

    /// Waits until no other change of the roles that were granted in chat is in progress. A change holds the guard from
    /// its first read of the grants until [`Self::changed`].
    pub(crate) async fn begin_change(&self) -> ChangeGuard {
        self.changes.clone().lock_owned().await
    }

    /// Updates the roles that were granted in chat, after the store committed a transaction. `writes` are the changes in
    /// the transaction; changes other than a grant or a revocation of a role, or of an account at an identity provider, are
    /// ignored.
    pub(crate) fn changed(&self, writes: &[Write]) {
        for write in writes {
            match write {
                Write::Grant(grant) => self.granted.add(self.persons.canonical_id(&grant.person.id), grant.clone()),
                Write::Revoke(id) => self.granted.remove(id),
                Write::LinkIdentity(link) => self.identities.apply(link.clone()),
                _ => {}
            }
        }
    }

    /// Requests the members of the configured rooms from the chat networks, and caches them. Skips rooms that were
    /// requested in the last 5 seconds. Takes at most a few seconds.
    pub(crate) async fn refresh(&self, accounts: &dyn Accounts) {
        self.rooms.refresh(accounts).await;
    }

    /// Replaces the group files of the configuration by `directory`, another source of the members of groups.
    pub(crate) fn use_directory(&self, directory: Arc<dyn Directory>) {
        *self.directory.write() = directory;
    }

    /// Sets the clocks by which grants expire. Only the first call has an effect.
    pub(crate) fn set_clocks(&self, clock: MonotonicClock, wall: Arc<dyn Clock>) {
        let _ = self.clocks.set((clock, wall));
    }

    /// Returns the current time by which grants expire: the later time of the two clocks. The wall clock can have been
    /// wrong when the process started.
    pub(crate) fn now(&self) -> Timestamp {
        self.clocks.get().map_or_else(Timestamp::now, |(clock, wall)| clock.now().max(wall.now()))
    }
}

/// Returns the app and the environment of a grant in chat: `cms/staging`, or `cms` for all environments.
fn target(grant: &Grant) -> String {
    grant.environment.as_ref().map_or_else(|| grant.app.clone(), |name| format!("{}/{name}", grant.app))
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").field("bots", &self.bots).field("roles", &self.roles.len()).finish_non_exhaustive()
    }
}

impl Visibility for Access {
    fn sees(&self, person: Asker<'_>, app: Option<&str>, environment: Option<&str>) -> bool {
        Access::sees(self, person, app, environment)
    }

    fn roles_given_in_chat(&self) -> Vec<&str> {
        self.roles.iter().filter(|role| role.grant_in_chat).map(|role| role.name.as_str()).collect()
    }
}
