//! `[[expect]]`: what somebody must or must not be able to do, as a test of the rules above it.
//!
//! Not here: the answer, which needs the plugins' commands.

use super::members::Members;
use crate::{
    base::{At, Table},
    model::RoomName,
    policy::Member,
};

/// One `[[expect]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expect {
    /// Where it stands.
    pub at: At,
    /// Who types, by id; somebody whom nothing names stands for everybody in the room.
    pub who: String,
    /// What.
    pub command: String,
    /// Where, if that counts.
    pub room: Option<RoomName>,
    /// Whether they may.
    pub answer: bool,
}

/// Reads them, in the order of the file.
pub(crate) fn read(root: &mut Table, members: &Members<'_>) -> Vec<Expect> {
    let mut all = Vec::new();
    for mut table in root.array("expect") {
        let at = table.at().clone();
        let who = table.required_string("who", "\"@bob:example.org\"");
        let command = table.required_string("command", "\"deploy cms production 1.0.2\"");
        let answer = table.required_string("answer", "\"no\"");
        let room = RoomName::read(&mut table, "room", members.networks());
        let who = who.and_then(|text| match members.member(&table, &text)? {
            Member::Person(id) => Some(id),
            Member::Everyone | Member::Group(_) | Member::Room(_) => {
                table.problem(&text.at, "`who` is one person", "who = \"@bob:example.org\"".to_owned());
                None
            }
        });
        let answer = answer.and_then(|text| match text.value.as_str() {
            "yes" => Some(true),
            "no" => Some(false),
            _ => {
                table.problem(&text.at, "`answer` is \"yes\" or \"no\"", "answer = \"no\"".to_owned());
                None
            }
        });
        table.finish();
        if let (Some(who), Some(command), Some(answer)) = (who, command, answer) {
            all.push(Expect { at, who, command: command.value, room, answer });
        }
    }
    all
}
