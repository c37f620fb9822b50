//! Checks the `[[expect]]` tables against the rules, and finds roles without members.
//!
//! Invariant: the result depends only on the file. Grants made in chat are ignored, and no network is queried for the
//! members of a room.

use super::reviewed::Reviewed;
use crate::{
    base::{Problem, clean},
    command::Asker,
    config::Expect,
    policy::{Access, Member, Role},
};

/// The expectations that the rules do not meet.
pub(super) fn unmet(reviewed: &Reviewed) -> Vec<Problem> {
    reviewed.config.expectations.iter().filter_map(|expect| miss(reviewed, expect)).collect()
}

fn miss(reviewed: &Reviewed, expect: &Expect) -> Option<Problem> {
    let room = expect.room.as_ref().map(|room| reviewed.access.room_of(room));
    let wrong = |message: String, fix: Option<String>| Some(Problem { at: expect.at.clone(), message, fix });
    match reviewed.explainer().line(Asker { room, ..Asker::from(&expect.who) }, &expect.command, &reviewed.vocabulary())
    {
        Err(why) => wrong(format!("`{}` is no command to expect anything of: {why}", clean(&expect.command)), None),
        Ok(explained) if explained.yes == expect.answer => None,
        Ok(explained) => {
            let (is, expected) = if explained.yes { ("yes", "no") } else { ("no", "yes") };
            let message = format!(
                "`can {} {}` is {is}, and {expected} is expected: {}",
                expect.who,
                clean(&expect.command),
                explained.because
            );
            wrong(message, Some(format!("another rule, or: answer = \"{is}\"")))
        }
    }
}

/// Roles that have no member in the file and cannot be granted in chat, and groups that cannot be read, one line each.
pub(super) fn warnings(access: &Access) -> Vec<String> {
    let empty = |role: &Role| {
        role.members.iter().all(|member| match member {
            Member::Everyone | Member::Person(_) | Member::Room(_) => false,
            Member::Group(group) => access.group(group).map_or(true, |members| members.is_empty()),
        })
    };
    let nobody = access.roles.iter().filter(|role| !role.grant_in_chat && empty(role));
    let roles = nobody.map(|role| format!("nobody has the role {} ({})", role.name, role.at));
    let closed = access.groups().filter_map(|group| {
        let why = access.group(group).err()?;
        Some(format!("nobody is in the group {group}: {why}"))
    });
    roles.chain(closed).collect()
}
