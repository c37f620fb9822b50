//! `[[expect]]`: tests of the access rules. Each one states whether a person may run a command.
//!
//! Not here: the evaluation, which needs the plugins' commands.

use super::members::Members;
use crate::{
    base::{At, Key, Table, TableKeys},
    model::RoomName,
    policy::Member,
};

/// The keys of `[[expect]]`.
pub(crate) static EXPECT_KEYS: TableKeys = TableKeys {
    path: "expect",
    about: "A test of the rules, which `wardroom check` runs: whether somebody can run a command.",
    keys: &[
        Key::string("who", "One person, by id or by the name of a `[person.NAME]`.").required(),
        Key::string("command", "The command as it is typed, without the prefix.").required(),
        Key::choice("answer", &["yes", "no"], "Whether the person may run it.").required(),
        Key::string(
            "room",
            "The room where the command is typed, for roles with `rooms`. Without it, no particular room.",
        ),
    ],
};

/// One test: a `[[expect]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expect {
    /// The position of its table.
    pub at: At,
    /// The id of the person. An id that no rule names has the rights of everybody in the room.
    pub who: String,
    /// The command, without the prefix.
    pub command: String,
    /// The room of the command; `None` for no particular room.
    pub room: Option<RoomName>,
    /// Whether the person must be allowed to run it.
    pub answer: bool,
}

/// Reads all tests, in the order of the file.
pub(crate) fn read(root: &mut Table, members: &Members<'_>) -> Vec<Expect> {
    let mut all = Vec::new();
    for mut table in root.array("expect") {
        let at = table.at().clone();
        let who = table.required_string("who", "\"@bob:example.org\"");
        let command = table.required_string("command", "\"deploy cms production 1.0.2\"");
        if !table.has("answer") {
            table.missing("answer", "\"no\"");
        }
        let answer = table.choice("answer").map(|answer| answer.value == "yes");
        let room = RoomName::read(&mut table, "room", members.networks());
        let who = who.and_then(|text| match members.member(&table, &text)? {
            Member::Person(id) => Some(id),
            Member::Everyone | Member::Group(_) | Member::Room(_) => {
                table.problem(&text.at, "`who` is one person", "who = \"@bob:example.org\"".to_owned());
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
