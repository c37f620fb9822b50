//! The rows of roles that people granted in chat, of freezes, and of people's accounts at identity providers.
//!
//! Not here: the rules of `plugins.toml` that limit the roles that people can grant in chat (`policy`).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::Person;

/// A role on one app that a person granted to another person in chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The unique id: the id of the job that granted the role, and the number of the journal entry of the host call.
    pub id: String,
    /// The person who got the role.
    pub person: Person,
    /// The name of the role, for example `deployer`.
    pub role: String,
    /// The name of the app, for example `cms`.
    pub app: String,
    /// The name of the environment to which the grant is limited; `None` for all environments of the role.
    pub environment: Option<String>,
    /// The person who granted the role.
    pub by: Person,
    /// The name of the bot that received the command. The grant is limited to the environments of this bot.
    pub bot: String,
    /// The time at which the role was granted.
    pub at: Timestamp,
    /// The time at which the grant expires; `None` if the grant does not expire.
    pub until: Option<Timestamp>,
}

/// A freeze of an environment: no job may start an effect in the environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    /// The name of the environment. A second freeze of the same environment replaces the first one.
    pub environment: String,
    /// The time at which the freeze ends; `None` if the freeze lasts until somebody lifts it.
    pub until: Option<Timestamp>,
    /// The reason that the person gave; empty if the person gave none.
    pub reason: String,
    /// The person who set the freeze.
    pub by: Person,
    /// The time at which the person set the freeze.
    pub at: Timestamp,
}

/// The account of a person at an identity provider, which the person proved with the command `link`.
///
/// The row stays after the link has ended: it shows that two ids on chat networks belong to one person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityLink {
    /// The person on the chat network.
    pub person: Person,
    /// The name of the provider in `[identity.NAME]`.
    pub provider: String,
    /// The issuer of the ID token. A subject is unique within an issuer.
    pub issuer: String,
    /// The account: the claim `sub` of the ID token.
    pub subject: String,
    /// The groups of the account, of those that `[group.NAME]` tables name as `claim`, sorted.
    pub groups: Vec<String>,
    /// The time at which the account was proved or unlinked.
    pub at: Timestamp,
    /// The time at which the link ends. If it is not after `at`, the person has unlinked the account.
    pub until: Timestamp,
}

impl IdentityLink {
    /// Returns the unique key of the row as the subject of a [`Link`](super::Link): a JSON object.
    pub fn key(&self) -> String {
        let Self { person, provider, issuer, subject, .. } = self;
        // In alphabetical order, so that the text is the same with sorted and with unsorted objects.
        serde_json::json!({ "issuer": issuer, "person": person.id, "provider": provider, "subject": subject })
            .to_string()
    }
}
