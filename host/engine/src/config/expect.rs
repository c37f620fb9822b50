//! Reads `[[expect]]`: tests of the access rules. A test states whether a person may run a command.
//!
//! Not here: the evaluation of the tests (`engine::review`), which needs the loaded plugins.

use super::members::Members;
use crate::{
    base::{At, Key, Table, TableKeys},
    model::RoomName,
    policy::Member,
};

pub(crate) static EXPECT_KEYS: TableKeys = TableKeys {
    path: "expect",
    about: "A test of the access rules: whether a person can run a command. `wardroom check` runs the tests.",
    keys: &[
        Key::string("who", "The person: an id, or the name of a `[person.NAME]`.").required(),
        Key::string("command", "The command without the prefix, for example `deploy cms production 1.0.2`.").required(),
        Key::choice("answer", &["yes", "no"], "Whether the person may run the command.").required(),
        Key::string("room", "The room of the command. Without this key, roles with `rooms` do not apply."),
    ],
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expect {
    pub at: At,
    /// The id of the person whose rights are tested. A person whose id no rule names has only the rights of `everyone`.
    pub who: String,
    /// The command without the prefix, for example `deploy cms production 1.0.2`.
    pub command: String,
    /// The room in which the person would type the command. `None` means that roles with `rooms` do not apply.
    pub room: Option<RoomName>,
    /// The expected result of the test: `true` if the person may run the command, `false` if the host refuses the
    /// command.
    pub answer: bool,
}

pub(crate) fn read(root: &mut Table, members: &Members<'_>) -> Vec<Expect> {
    let mut all = Vec::new();
    for mut table in root.array("expect") {
        let at = table.at().clone();
        let who = table.required_string("who", "\"@bob:example.org\"");
        let command = table.required_string("command", "\"deploy cms production 1.0.2\"");
        table.require("answer", "\"no\"");
        let answer = table.choice("answer").map(|answer| answer.value == "yes");
        let room = RoomName::read(&mut table, "room", members.networks);
        let who = who.and_then(|text| match members.member(&table, &text)? {
            Member::Person(id) => Some(id),
            Member::Everyone | Member::Group(_) | Member::Room(_) => {
                let message = "`who` must be a person, not a group, a room or `everyone`";
                table.problem(&text.at, message, "who = \"@bob:example.org\"".to_owned());
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
