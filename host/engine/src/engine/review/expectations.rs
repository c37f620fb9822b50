//! Checks the `[[expect]]` tests of a configuration (a person, a command and the required answer), and finds roles
//! without members.
//!
//! Invariant: the result depends only on the configuration. Grants made in chat are ignored, and no network is queried
//! for the members of a room.

use super::{Review, texts::unavailable_group};
use crate::{
    base::{Problem, clean},
    command::Asker,
    config::Expect,
    policy::{Access, Member, Role},
};

/// Returns a configuration problem for each `[[expect]]` test that fails.
pub(super) fn unmet(review: &Review) -> Vec<Problem> {
    review.config.expectations.iter().filter_map(|expect| failure(review, expect)).collect()
}

fn failure(review: &Review, expect: &Expect) -> Option<Problem> {
    let room = expect.room.as_ref().map(|room| review.access.room_of(room));
    let problem = |message: String, fix: Option<String>| Some(Problem { at: expect.at.clone(), message, fix });
    match review.explainer().line(Asker { room, ..Asker::from(&expect.who) }, &expect.command, &review.vocabulary()) {
        Err(why) => problem(format!("`{}` is not a valid command: {why}", clean(&expect.command)), None),
        Ok(explained) if explained.yes == expect.answer => None,
        Ok(explained) => {
            let (is, expected) = if explained.yes { ("yes", "no") } else { ("no", "yes") };
            let message = format!(
                "`can {} {}` answers {is}, but `[[expect]]` requires {expected}: {}",
                expect.who,
                clean(&expect.command),
                explained.because
            );
            problem(message, Some(format!("roles or grants that lead to the answer {expected}, or: answer = \"{is}\"")))
        }
    }
}

/// Returns a warning for each role that has no members in the configuration and cannot be granted in chat, and for each
/// group that cannot be read.
pub(super) fn warnings(access: &Access) -> Vec<String> {
    let empty = |role: &Role| {
        role.members.iter().all(|member| match member {
            Member::Everyone | Member::Person(_) | Member::Room(_) => false,
            Member::Group(group) => access.group(group).map_or(true, |members| members.is_empty()),
        })
    };
    let nobody = access.roles.iter().filter(|role| !role.grant_in_chat && empty(role));
    let roles = nobody.map(|role| format!("role {} has no members ({})", role.name, role.at));
    let closed = access.groups().filter_map(|group| unavailable_group(access, group));
    roles.chain(closed).collect()
}
