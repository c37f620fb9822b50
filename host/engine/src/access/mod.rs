//! Who may do what: patterns, what plugins are granted, roles of people, and the check of a command.
//!
//! Reads the policy that `config` validated, and what is known of groups, rooms and grants in chat. A decision waits for
//! nobody; what is not known then is a right that nobody has.
//!
//! Architecture Invariant: one matcher ([`Limits::permit`]) serves all rules that permit.
//! Architecture Invariant: [`Authorized`] has no public constructor. Holding one *is* the proof.
//! Not here: the check of a call (`capability`), which puts grants, roles and the typed words together.

mod asker;
mod authorize;
mod bots;
mod grant;
mod granted;
mod group;
mod index;
mod limits;
mod machine;
mod pattern;
mod person;
mod policy;
mod role;
mod rooms;
#[cfg(test)]
mod tests;

pub use asker::Asker;
pub use authorize::{Authorized, Refused};
pub use bots::{Bot, Bots};
pub use grant::{Allow, Grants};
pub(crate) use group::is_id;
pub use group::{GroupFile, GroupFiles};
pub use limits::{Limits, Miss};
pub use machine::Machines;
pub use pattern::{Pattern, PatternError};
pub use person::{Named, People};
pub use policy::{Access, Policy};
pub(crate) use role::granting_job;
pub use role::{Held, Member, Rights, Role};

/// What a rule can match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attribute {
    /// An app of the configuration.
    App,
    /// An environment of the configuration.
    Environment,
    /// A version.
    Version,
    /// A pipeline's name, for example `cms/staging`.
    Pipeline,
    /// A parameter of a pipeline that is none of these.
    Parameter,
    /// A key of the plugin's own store.
    Key,
    /// The id of a person.
    Person,
    /// A role of the configuration.
    Role,
}

impl Attribute {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::App,
        Self::Environment,
        Self::Version,
        Self::Pipeline,
        Self::Parameter,
        Self::Key,
        Self::Person,
        Self::Role,
    ];

    /// The word in rules, journal and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Environment => "environment",
            Self::Version => "version",
            Self::Pipeline => "pipeline",
            Self::Parameter => "parameter",
            Self::Key => "key",
            Self::Person => "person",
            Self::Role => "role",
        }
    }

    /// The attribute of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|attribute| attribute.as_str() == word)
    }
}
