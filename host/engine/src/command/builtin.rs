//! The commands that the host itself answers. All of them are open to everybody, and show only what the asker may see.

use super::spec::{CommandKind, Parameter, ParameterType, Spec, Target};

/// A command of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Builtin {
    /// What can be typed.
    Help,
    /// Who the asker is here and what they may do.
    Whoami,
    /// Which plugins there are and which did not load.
    Plugins,
}

impl Builtin {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Help, Self::Whoami, Self::Plugins];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Help => "help",
            Self::Whoami => "whoami",
            Self::Plugins => "plugins",
        }
    }

    pub(super) fn spec(self) -> Spec {
        let parameter = |name: &str, summary: &str| Parameter {
            name: name.to_owned(),
            summary: summary.to_owned(),
            kind: ParameterType::Text,
            required: false,
            named: false,
            choices: Vec::new(),
        };
        let (summary, examples, parameters): (_, &[&str], _) = match self {
            Self::Help => (
                "Shows what you can type here.",
                &["help deploy"],
                vec![parameter("command", "the command to explain")],
            ),
            Self::Whoami => ("Shows who you are here and what you may do.", &[], vec![]),
            Self::Plugins => ("Shows which plugins are loaded and which are not.", &[], vec![]),
        };
        let examples: Vec<String> = examples.iter().map(|example| (*example).to_owned()).collect();
        Spec::new(self.name(), vec![], summary, &examples, CommandKind::Query, parameters, Target::Host(self))
            .unwrap_or_else(|error| unreachable!("the host's own commands are well described: {error}"))
    }
}
