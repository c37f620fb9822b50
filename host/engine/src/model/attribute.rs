//! The attributes of a call that rules can match.

use std::collections::BTreeMap;

/// An attribute of a call that rules can match.
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
    /// A parameter of a pipeline, other than the ones above.
    Parameter,
    /// A key of the plugin's own values.
    Key,
    /// A person's id.
    Person,
    /// A role of the configuration.
    Role,
    /// An attribute of an embedder's own calls, by its key in rules.
    Named(&'static str),
}

impl Attribute {
    /// The attributes of the contract's calls.
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

    /// The name in rules, journals and reports.
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
            Self::Named(name) => name,
        }
    }

    /// Parses a name.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|attribute| attribute.as_str() == word)
    }
}

/// The attributes of one call. Values come from the host's own data wherever possible, not from the plugin.
pub type Attributes = BTreeMap<Attribute, Vec<String>>;
