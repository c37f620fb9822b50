//! `[person.*]`, `[machine.*]` and `[group.*]`: the members that rules can name.
//!
//! Invariant: an id belongs to one person at most, and a group that a rule names is configured.

use std::collections::BTreeMap;

use crate::{
    adapter::{GroupFile, GroupFiles, is_id},
    base::{Key, Located, Table, TableKeys, nearest},
    model::{Person, RoomName},
    policy::{Machines, Member, NamedPerson, People},
};

/// The keys of `[person.NAME]`.
pub(crate) static PERSON_KEYS: TableKeys = TableKeys {
    path: "person.NAME",
    about: "A person with several ids, which count as one. Rules can use the name in place of an id.",
    keys: &[Key::strings("ids", "The person's ids on all networks. An id belongs to one person or machine.").required()],
};

/// The keys of `[machine.NAME]`.
pub(crate) static MACHINE_KEYS: TableKeys = TableKeys {
    path: "machine.NAME",
    about: "A member without a person, for schedules and webhooks. It has the roles that name it, never those of `everyone`, and \
            approves nothing.",
    keys: &[Key::strings(
        "ids",
        "Its accounts in chats, whose messages are handled as its own. Without it, it has none.",
    )],
};

/// The keys of `[group.NAME]`.
pub(crate) static GROUP_KEYS: TableKeys = TableKeys {
    path: "group.NAME",
    about: "A group whose members something else maintains. Rules use it as `group:NAME`.",
    keys: &[
        Key::string(
            "file",
            "The file with one id a line, relative to the file that names it. It is read again when it changes.",
        )
        .required(),
        Key::duration(
            "max_age",
            "The age of the file from which on nobody is in the group. Without it, the file counts at any age.",
        ),
    ],
};

/// The configured members, for resolving the lists of members in rules.
pub(crate) struct Members<'n> {
    people: People,
    machines: Machines,
    groups: BTreeMap<String, GroupFile>,
    networks: &'n [&'n str],
}

impl<'n> Members<'n> {
    /// Reads people, machines and groups. `networks` are the chat networks of the build.
    pub(crate) fn read(root: &mut Table, networks: &'n [&'n str]) -> Self {
        let mut named = people(root);
        let machines = machines(root, &mut named);
        let people = People::new(named);
        let mut groups = BTreeMap::new();
        for (name, mut table) in root.tables("group") {
            let file = table.required_string("file", "\"groups/oncall.txt\"");
            let max_age = table.duration("max_age").map(|age| age.value);
            let path = file.map(|file| table.folder().join(file.value));
            table.finish();
            if let Some(path) = path {
                groups.insert(name.value, GroupFile { path, max_age });
            }
        }
        Self { people, machines, groups, networks }
    }

    /// The chat networks of the build.
    pub(crate) fn networks(&self) -> &'n [&'n str] {
        self.networks
    }

    /// Resolves one text of a list of members. An invalid text is reported, and gives `None`.
    pub(crate) fn member(&self, table: &Table, text: &Located<String>) -> Option<Member> {
        let word = text.value.as_str();
        if word == "everyone" {
            return Some(Member::Everyone);
        }
        if let Some(group) = word.strip_prefix("group:") {
            if self.groups.contains_key(group) {
                return Some(Member::Group(group.to_owned()));
            }
            let fix = match nearest(group, self.groups.keys().map(String::as_str)) {
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
            let message = format!("`{}` is no id of a person", crate::base::clean(word));
            table.problem(&text.at, message, "\"@bob:example.org\"".to_owned());
            return None;
        }
        Some(Member::Person(word.to_owned()))
    }

    /// Parses one text of a list of rooms. An empty text is reported, and gives `None`.
    pub(crate) fn room(&self, table: &Table, text: &Located<String>) -> Option<RoomName> {
        if text.value.trim().is_empty() {
            table.problem(&text.at, "that names no room", "\"#ops:example.org\"".to_owned());
            return None;
        }
        Some(RoomName::parse(&text.value, self.networks))
    }

    pub(crate) fn machines(&self) -> Machines {
        self.machines.clone()
    }

    /// Reads a required key that names a machine. A missing or unknown name is reported, and gives `None`.
    pub(crate) fn machine(&self, table: &mut Table, key: &str) -> Option<Person> {
        let text = table.required_string(key, "\"ci\"")?;
        let name = text.value.as_str();
        if let Some(id) = self.machines.own_id(name) {
            return Some(Person { id: id.to_owned(), name: name.to_owned() });
        }
        let fix = match nearest(name, self.machines.names()) {
            Some(meant) => format!("{key} = \"{meant}\""),
            None => format!("[machine.{name}]   and its name in the roles that it is to have"),
        };
        table.problem(&text.at, format!("there is no [machine.{name}]"), fix);
        None
    }

    /// Moves the groups out, for their directory.
    pub(crate) fn take_groups(&mut self) -> GroupFiles {
        GroupFiles::new(std::mem::take(&mut self.groups))
    }

    pub(crate) fn into_people(self) -> People {
        self.people
    }
}

/// Reads `[person.*]`.
fn people(root: &mut Table) -> Vec<NamedPerson> {
    const EXAMPLE: &str = "[\"@bob:example.org\", \"bob2\"]";
    let mut people: Vec<NamedPerson> = Vec::new();
    for (name, mut table) in root.tables("person") {
        if !table.has("ids") {
            table.missing("ids", EXAMPLE);
        }
        let mut ids = Vec::new();
        let listed = table.strings("ids");
        if listed.as_ref().is_some_and(|ids| ids.value.is_empty()) {
            let place = table.at_key("ids");
            table.problem(&place, format!("[person.{}] has no id", name.value), format!("ids = {EXAMPLE}"));
        }
        for id in listed.map(|ids| ids.value).unwrap_or_default() {
            if !is_id(&id.value) {
                let message = format!("`{}` is no id of a person", crate::base::clean(&id.value));
                table.problem(&id.at, message, format!("ids = {EXAMPLE}"));
            } else if let Some(other) = people.iter().find(|other| other.ids.contains(&id.value)) {
                let message = format!("`{}` is an id of [person.{}] already", id.value, other.name);
                table.problem(&id.at, message, "the id in one of them".to_owned());
            } else if !ids.contains(&id.value) {
                ids.push(id.value);
            }
        }
        table.finish();
        people.push(NamedPerson { name: name.value, ids });
    }
    people
}

/// Reads `[machine.*]`. Each machine is also added to the people, with its own id and the ids that it has in chat
/// networks.
fn machines(root: &mut Table, people: &mut Vec<NamedPerson>) -> Machines {
    let mut machines = Machines::default();
    for (name, mut table) in root.tables("machine") {
        let at = table.at().clone();
        if !is_id(&name.value) || people.iter().any(|person| person.name == name.value) {
            let message = format!("[machine.{}] needs a name that nobody else has", crate::base::clean(&name.value));
            table.problem(&at, message, "[machine.ci]".to_owned());
        }
        let mut ids = Vec::new();
        for id in table.strings("ids").map(|ids| ids.value).unwrap_or_default() {
            if !is_id(&id.value) {
                let message = format!("`{}` is no id of a machine", crate::base::clean(&id.value));
                table.problem(&id.at, message, "ids = [\"@ci:example.org\"]".to_owned());
            } else if let Some(other) = people.iter().find(|other| other.ids.contains(&id.value)) {
                let message = format!("`{}` is an id of `{}` already", id.value, other.name);
                table.problem(&id.at, message, "the id in one of them".to_owned());
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
