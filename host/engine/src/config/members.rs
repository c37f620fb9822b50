//! Reads `[person.*]`, `[machine.*]` and `[group.*]`: the members that roles and other rules can name.
//!
//! Invariant: each id belongs to at most one person or machine, and every group in a rule is configured.

use std::collections::{BTreeMap, BTreeSet};

use super::identities::Identities;
use crate::{
    adapter::{GroupFile, is_id},
    base::{Key, Located, Table, TableKeys, nearest},
    model::{Person, RoomName},
    policy::{ClaimGroup, Machines, Member, NamedPerson, People},
};

pub(crate) static PERSON_KEYS: TableKeys = TableKeys {
    path: "person.NAME",
    about: "A person with several ids. All ids have the same rights. Rules can name the person instead of an id.",
    keys: &[Key::strings("ids", "The person's ids. An id belongs to one person or machine.").required()],
};

pub(crate) static MACHINE_KEYS: TableKeys = TableKeys {
    path: "machine.NAME",
    about: "A machine account for schedules and webhooks. A machine has only the roles that name it, not the roles of \
            `everyone`. It cannot approve.",
    keys: &[Key::strings(
        "ids",
        "The machine's accounts on chat networks. Without an account, the machine cannot send commands in chat.",
    )],
};

pub(crate) static GROUP_KEYS: TableKeys = TableKeys {
    path: "group.NAME",
    about: "A group of people. Its members are the ids in a file, or the people whose account at an identity provider has a \
            group. Rules name it as `group:NAME`.",
    keys: &[
        Key::string(
            "identity",
            "The identity provider of the group: the `NAME` of an `[identity.NAME]`. The members are the people who have \
             linked an account that has the group `claim`.",
        )
        .required_unless("with `file`"),
        Key::string("claim", "The name of the group at the identity provider.").required_unless("with `file`"),
        Key::string(
            "file",
            "The file of the members, with one id per line. The path is relative to the main file. The host reads the \
             file again when it changes.",
        )
        .required_unless("with `identity`"),
        Key::duration(
            "max_age",
            "The maximum age of the file. If the file is older, the group has no members. Without this key, the file can \
             have any age.",
        ),
    ],
};

/// The configured people, machine accounts and groups, which rules name as members.
pub(crate) struct Members<'n> {
    pub people: People,
    pub machines: Machines,
    /// The file that lists the members of each group, by the group's name.
    pub groups: BTreeMap<String, GroupFile>,
    /// The groups of identity providers, by the group's name.
    pub claims: BTreeMap<String, ClaimGroup>,
    /// The names of all groups, also of those with problems.
    names: BTreeSet<String>,
    /// The names of the chat networks that this build includes.
    pub networks: &'n [&'n str],
}

impl<'n> Members<'n> {
    /// Reads the tables of people, machine accounts and groups. `networks` are the names of the chat networks that this
    /// build includes.
    pub(crate) fn read(root: &mut Table, networks: &'n [&'n str], identities: &Identities) -> Self {
        let mut named = people(root);
        let machines = machines(root, &mut named);
        let people = People::new(named);
        let mut members = Self {
            people,
            machines,
            groups: BTreeMap::new(),
            claims: BTreeMap::new(),
            names: BTreeSet::new(),
            networks,
        };
        for (name, table) in root.tables("group") {
            members.names.insert(name.value.clone());
            members.group(name.value, table, identities);
        }
        members
    }

    /// Reads a `[group.NAME]`: a group of an identity provider, or the file of its members.
    fn group(&mut self, name: String, mut table: Table, identities: &Identities) {
        if table.has("identity") || table.has("claim") {
            for key in ["file", "max_age"].into_iter().filter(|key| table.has(key)) {
                let message = format!("`{}.{key}` is not allowed with `identity`", table.path());
                table.problem(&table.at_key(key), message, "nothing; remove the key".to_owned());
            }
            let _ = (table.string("file"), table.duration("max_age"));
            let identity = table.required_string("identity", "\"corp\"");
            let claim = table.required_string("claim", "\"team-sre\"");
            if let Some(claim) = claim.as_ref().filter(|claim| claim.value.is_empty()) {
                table.problem(
                    &claim.at,
                    format!("`{}.claim` is empty", table.path()),
                    "claim = \"team-sre\"".to_owned(),
                );
            }
            if let (Some(identity), Some(claim)) = (identity, claim) {
                match identities.get(&identity.value) {
                    Some(Some(provider)) => {
                        let (issuer, keep) = (provider.issuer().to_owned(), provider.keep());
                        let group = ClaimGroup { provider: identity.value, issuer, keep, claim: claim.value };
                        self.claims.insert(name, group);
                    }
                    // The problems of the provider's table are already reported.
                    Some(None) => {}
                    None => {
                        let fix = match nearest(&identity.value, identities.keys().map(String::as_str)) {
                            Some(meant) => format!("identity = \"{meant}\""),
                            None => format!("[identity.{}]", identity.value),
                        };
                        table.problem(&identity.at, format!("there is no [identity.{}]", identity.value), fix);
                    }
                }
            }
        } else {
            let file = table.required_string("file", "\"groups/oncall.txt\"");
            let max_age = table.duration("max_age").map(|age| age.value);
            if let Some(path) = file.map(|file| table.folder().join(file.value)) {
                self.groups.insert(name, GroupFile { path, max_age });
            }
        }
        table.finish();
    }

    /// Resolves one entry of a list of members, such as `@bob:example.org`, `group:oncall` or `everyone`. For an
    /// invalid entry, reports a configuration problem and returns `None`.
    pub(crate) fn member(&self, table: &Table, text: &Located<String>) -> Option<Member> {
        let word = text.value.as_str();
        if word == "everyone" {
            return Some(Member::Everyone);
        }
        if let Some(group) = word.strip_prefix("group:") {
            if self.names.contains(group) {
                return Some(Member::Group(group.to_owned()));
            }
            let fix = match nearest(group, self.names.iter().map(String::as_str)) {
                Some(meant) => format!("\"group:{meant}\""),
                None => format!("[group.{group}]\nfile = \"groups/{group}.txt\""),
            };
            table.problem(&text.at, format!("there is no group `{group}`"), fix);
            return None;
        }
        if let Some(room) = word.strip_prefix("room:") {
            let room = Located { value: room.to_owned(), at: text.at.clone() };
            return self.room(table, &room).map(Member::Room);
        }
        if let Some(first) = self.people.named(word).and_then(|person| person.ids.first()) {
            return Some(Member::Person(first.clone()));
        }
        if !is_id(word) {
            let message = format!("`{}` is not a valid id of a person", crate::base::clean(word));
            table.problem(&text.at, message, "\"@bob:example.org\"".to_owned());
            return None;
        }
        Some(Member::Person(word.to_owned()))
    }

    /// Reads a list of rooms. Returns `None` if the key is missing. Reports and skips empty entries.
    pub(crate) fn rooms(&self, table: &mut Table, key: &str) -> Option<Vec<RoomName>> {
        let rooms = table.strings(key)?.value;
        Some(rooms.iter().filter_map(|room| self.room(table, room)).collect())
    }

    /// Parses one entry of a list of rooms. For an empty entry, reports a configuration problem and returns `None`.
    fn room(&self, table: &Table, text: &Located<String>) -> Option<RoomName> {
        if text.value.trim().is_empty() {
            table.problem(&text.at, "the name of a room is empty", "\"#ops:example.org\"".to_owned());
            return None;
        }
        RoomName::checked(table, text, self.networks)
    }

    /// Reads the required key `as`, whose value is the `NAME` of a `[machine.NAME]`. For a missing or unknown name,
    /// reports a configuration problem and returns `None`.
    pub(crate) fn machine(&self, table: &mut Table) -> Option<Person> {
        let text = table.required_string("as", "\"ci\"")?;
        let name = text.value.as_str();
        if let Some(id) = self.machines.own_id(name) {
            return Some(Person { id: id.to_owned(), name: name.to_owned() });
        }
        let fix = match nearest(name, self.machines.names()) {
            Some(meant) => format!("as = \"{meant}\""),
            None => format!("[machine.{name}]   and add `{name}` to the `members` of its roles"),
        };
        table.problem(&text.at, format!("there is no [machine.{name}]"), fix);
        None
    }
}

fn people(root: &mut Table) -> Vec<NamedPerson> {
    const EXAMPLE: &str = "[\"@bob:example.org\", \"bob2\"]";
    let mut people: Vec<NamedPerson> = Vec::new();
    for (name, mut table) in root.tables("person") {
        table.require("ids", EXAMPLE);
        let mut ids = Vec::new();
        let listed = table.strings("ids");
        if listed.as_ref().is_some_and(|ids| ids.value.is_empty()) {
            let message = format!("the list `ids` of [person.{}] is empty", name.value);
            table.problem(table.at(), message, format!("ids = {EXAMPLE}"));
        }
        for id in listed.map(|ids| ids.value).unwrap_or_default() {
            if !is_id(&id.value) {
                let message = format!("`{}` is not a valid id of a person", crate::base::clean(&id.value));
                table.problem(&id.at, message, format!("ids = {EXAMPLE}"));
            } else if let Some(other) = people.iter().find(|other| other.ids.contains(&id.value)) {
                let message = format!("`{}` is already an id of [person.{}]", id.value, other.name);
                table.problem(&id.at, message, "the id in only one of the two tables".to_owned());
            } else if !ids.contains(&id.value) {
                ids.push(id.value);
            }
        }
        table.finish();
        people.push(NamedPerson { name: name.value, ids });
    }
    people
}

/// Reads the machine accounts, `[machine.*]`. Also adds each machine account to `people`, with the account's own id and
/// the ids of its chat accounts.
fn machines(root: &mut Table, people: &mut Vec<NamedPerson>) -> Machines {
    let mut machines = Machines::default();
    for (name, mut table) in root.tables("machine") {
        if !is_id(&name.value) || people.iter().any(|person| person.name == name.value) {
            let message = format!(
                "the name of [machine.{}] is not valid, or another person or machine already has this name",
                crate::base::clean(&name.value)
            );
            table.problem(table.at(), message, "[machine.ci]".to_owned());
        }
        let mut ids = Vec::new();
        for id in table.strings("ids").map(|ids| ids.value).unwrap_or_default() {
            if !is_id(&id.value) {
                let message = format!("`{}` is not a valid id of a machine", crate::base::clean(&id.value));
                table.problem(&id.at, message, "ids = [\"@ci:example.org\"]".to_owned());
            } else if let Some(other) = people.iter().find(|other| other.ids.contains(&id.value)) {
                let message = format!("`{}` is already an id of the person or machine `{}`", id.value, other.name);
                table.problem(&id.at, message, "the id in only one of the two tables".to_owned());
            } else {
                ids.push(id.value);
            }
        }
        table.finish();
        let own = machines.add(&name.value, &ids);
        people.push(NamedPerson { name: name.value, ids: std::iter::once(own).chain(ids).collect() });
    }
    machines
}
