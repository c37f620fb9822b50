//! An index from people, groups and rooms to roles.
//!
//! Invariant: the cost of a lookup depends on the number of the person's roles and on the number of groups and rooms
//! that have roles. The cost does not depend on the total number of roles.

use std::{collections::HashMap, sync::Arc};

use super::{
    people::People,
    role::{Member, Role},
};
use crate::model::RoomName;

/// For each person, group and room, the positions of the roles that have this person, group or room as a member. A
/// position is an index into the roles of the configuration.
#[derive(Debug, Default)]
pub(crate) struct Index {
    by_name: HashMap<String, usize>,
    by_person: HashMap<String, Vec<usize>>,
    by_group: HashMap<String, Vec<usize>>,
    by_room: HashMap<RoomName, Vec<usize>>,
    everyone: Vec<usize>,
}

impl Index {
    pub(crate) fn new(roles: &[Arc<Role>], people: &People) -> Self {
        let mut index = Self::default();
        for (position, role) in roles.iter().enumerate() {
            index.by_name.entry(role.name.clone()).or_insert(position);
            for member in &role.members {
                let list = match member {
                    Member::Everyone => &mut index.everyone,
                    Member::Person(id) => index.by_person.entry(people.canonical_id(id).to_owned()).or_default(),
                    Member::Group(name) => index.by_group.entry(name.clone()).or_default(),
                    Member::Room(name) => index.by_room.entry(name.clone()).or_default(),
                };
                if list.last() != Some(&position) {
                    list.push(position);
                }
            }
        }
        index
    }

    /// Returns the position of the role with this name.
    pub(crate) fn role(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// Returns the positions of a person's roles, in ascending order. `person` is the first id of the person. If
    /// `everyone` is true, the result includes the roles that have `everyone` as a member. `in_group` and `in_room`
    /// return whether the person is in a group or room.
    pub(crate) fn of(
        &self,
        person: &str,
        everyone: bool,
        in_group: impl Fn(&str) -> bool,
        in_room: impl Fn(&RoomName) -> bool,
    ) -> Vec<usize> {
        let mut positions: Vec<usize> = self.by_person.get(person).cloned().unwrap_or_default();
        if everyone {
            positions.extend(&self.everyone);
        }
        let groups = self.by_group.iter().filter(|(name, _)| in_group(name)).flat_map(|(_, positions)| positions);
        positions.extend(groups);
        let rooms = self.by_room.iter().filter(|(name, _)| in_room(name)).flat_map(|(_, positions)| positions);
        positions.extend(rooms);
        positions.sort_unstable();
        positions.dedup();
        positions
    }
}
