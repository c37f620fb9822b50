//! Rights: roles, grants, approval rules, freezes, the promotion order, and the check of a command.
//!
//! Invariant: all allow rules use the same matcher, [`Scope::permit`]. [`Authorized`] has no public constructor, so an
//! [`Authorized`] value proves that the check of the command passed.
//! Not here: the check of a host call ([`crate::hostcall`]).

mod access;
mod approval_rule;
mod authorize;
mod bots;
mod chat_grants;
mod freeze_window;
mod freezes;
mod grant;
mod identity_links;
mod machines;
mod people;
mod promotion_order;
mod request;
mod role;
mod role_index;
mod room_members;
mod scope;
#[cfg(test)]
mod tests;

pub(crate) use access::{Access, ChangeGuard, Policy};
pub(crate) use approval_rule::{Approval, BreakGlass, Need};
pub(crate) use authorize::Authorized;
pub(crate) use bots::{Bot, Bots};
pub(crate) use freeze_window::{Window, WindowEnd};
pub(crate) use freezes::{FreezeGuard, Freezes, Frozen, FrozenBy, freeze_places};
pub(crate) use grant::{Allow, Grants};
pub(crate) use identity_links::ClaimGroup;
pub(crate) use machines::Machines;
pub(crate) use people::{NamedPerson, People};
pub(crate) use promotion_order::{OutOfOrder, unknown_version};
pub(crate) use request::Request;
pub(crate) use role::{HeldRole, Member, Rights, Role, granting_job};
pub(crate) use scope::Scope;
