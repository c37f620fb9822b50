//! The attributes of a host call, such as its app and its environment. Grants, approval rules and freezes match these
//! attributes.

use std::collections::BTreeMap;

/// An attribute of a host call, which a rule can limit to certain values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attribute {
    /// An app of the configuration, for example `cms`.
    App,
    /// An environment of the configuration, for example `staging`.
    Environment,
    /// The version to deploy, for example `1.0.2`.
    Version,
    /// The name of a pipeline, for example `cms/staging`.
    Pipeline,
    /// The value of a pipeline parameter that is not the app, environment or version.
    Parameter,
    /// The key of a value that the plugin stores.
    Key,
    /// The id of a person, for example `@bob:example.org`.
    Person,
    /// A role of the configuration, for example `deployer`.
    Role,
    /// An attribute that an embedder defines for its own host calls. The text is the attribute's key in rules.
    Named(&'static str),
}

impl Attribute {
    /// The attributes of the calls in Wardroom's contract, without [`Attribute::Named`].
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

    /// Returns the attribute's name in rules, journals and reports, for example `environment`.
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

    /// Returns the attribute of Wardroom's contract with this name; `None` for any other name, including the names of
    /// attributes that an embedder defines.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|attribute| attribute.as_str() == word)
    }
}

/// The attributes of one host call, each with its values. Where possible, the host takes the values from its own data.
/// It takes all other values from the arguments that the plugin passed.
pub type Attributes = BTreeMap<Attribute, Vec<String>>;
