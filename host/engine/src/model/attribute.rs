//! Who may do what: patterns, what plugins are granted, roles of people, and the check of a command.
//!
//! Reads the policy that `config` validated, and what is known of groups, rooms and grants in chat. A decision waits for
//! nobody; what is not known then is a right that nobody has.
//!
//! Architecture Invariant: one matcher ([`Limits::permit`]) serves all rules that permit.
//! Architecture Invariant: [`Authorized`] has no public constructor. Holding one *is* the proof.
//! Not here: the check of a call (`capability`), which puts grants, roles and the typed words together.

use std::collections::BTreeMap;

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

/// What the rules see of a call. Values come from the host's knowledge wherever it can know.
pub type Attributes = BTreeMap<Attribute, Vec<String>>;
