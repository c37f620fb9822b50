//! Who may do what: patterns, what plugins are granted, roles of people, and the check of a command.
//!
//! Reads the policy that `config` validated; asks nobody, does no I/O, cannot fail for outside reasons.
//!
//! Architecture Invariant: one matcher ([`Limits::permit`]) serves all rules that permit.
//! Architecture Invariant: [`Authorized`] has no public constructor. Holding one *is* the proof.
//! Not here: the check of a call (`capability`), which puts grants, roles and the typed words together.

mod authorize;
mod grant;
mod limits;
mod pattern;
mod role;

pub use authorize::{Access, Authorized, Refused};
pub use grant::{Allow, Grants};
pub use limits::{Limits, Miss};
pub use pattern::{Pattern, PatternError};
pub use role::{Member, Rights, Role};

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
}

impl Attribute {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::App, Self::Environment, Self::Version, Self::Pipeline, Self::Parameter, Self::Key];

    /// The word in rules, journal and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Environment => "environment",
            Self::Version => "version",
            Self::Pipeline => "pipeline",
            Self::Parameter => "parameter",
            Self::Key => "key",
        }
    }

    /// The attribute of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|attribute| attribute.as_str() == word)
    }
}
