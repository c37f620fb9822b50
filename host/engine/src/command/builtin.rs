//! The commands that the host itself answers. Most are open to everybody, and show only what the asker may see;
//! those that change something ask for the right that this takes.

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
    /// How the host stands: its connections, the systems that it asks, what is late.
    Status,
    /// How often and how well was deployed lately.
    Stats,
    /// Which jobs there are.
    Jobs,
    /// Where one job stands; and what people say of an effect that nobody knows of.
    Job,
    /// What a job's runs said.
    Logs,
    /// Calls a job off.
    Cancel,
    /// Approves of what a job is about to do.
    Approve,
    /// Says no to it.
    Deny,
    /// Records what others deployed.
    Release,
    /// Whether somebody may run a command, and which rule says so.
    Can,
    /// Shows what is frozen, or freezes an environment.
    Freeze,
    /// Lifts a freeze.
    Unfreeze,
}

impl Builtin {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Help,
        Self::Whoami,
        Self::Can,
        Self::Plugins,
        Self::Status,
        Self::Stats,
        Self::Jobs,
        Self::Job,
        Self::Logs,
        Self::Cancel,
        Self::Approve,
        Self::Deny,
        Self::Freeze,
        Self::Unfreeze,
        Self::Release,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Help => "help",
            Self::Whoami => "whoami",
            Self::Plugins => "plugins",
            Self::Status => "status",
            Self::Stats => "stats",
            Self::Jobs => "jobs",
            Self::Job => "job",
            Self::Logs => "logs",
            Self::Cancel => "cancel",
            Self::Approve => "approve",
            Self::Deny => "deny",
            Self::Release => "release",
            Self::Can => "can",
            Self::Freeze => "freeze",
            Self::Unfreeze => "unfreeze",
        }
    }

    /// Whether it changes something with these arguments.
    pub(crate) fn changes(self, command: &super::parse::Command) -> bool {
        match self {
            Self::Help | Self::Whoami | Self::Plugins | Self::Status | Self::Stats => false,
            Self::Jobs | Self::Logs | Self::Can => false,
            Self::Cancel | Self::Approve | Self::Deny | Self::Release | Self::Unfreeze => true,
            // With an id alone, or nothing, they only show.
            Self::Job => command.arguments().any(|(parameter, _)| parameter.name == "say"),
            Self::Freeze => command.arguments().next().is_some(),
        }
    }

    pub(crate) fn spec(self) -> Spec {
        let parameter = |name: &str, summary: &str, kind: ParameterType| Parameter {
            name: name.to_owned(),
            summary: summary.to_owned(),
            kind,
            required: false,
            named: false,
            choices: Vec::new(),
        };
        let text = |name: &str, summary: &str| parameter(name, summary, ParameterType::Text);
        let needed = |parameter: Parameter| Parameter { required: true, ..parameter };
        let job = || text("id", "the job; in its own thread, and where only one fits, it can be left out");
        let (summary, examples, parameters): (_, &[&str], _) = match self {
            Self::Help => (
                "Shows what you can type here.",
                &["help deploy"],
                vec![parameter("command", "the command to explain", ParameterType::Rest)],
            ),
            Self::Whoami => ("Shows who you are here and what you may do.", &[], vec![]),
            Self::Can => (
                "Tells whether somebody may run a command, and which rule says so.",
                &["can @bob deploy cms production 1.0.2"],
                vec![
                    needed(parameter("user", "who", ParameterType::Person)),
                    needed(parameter("command", "what they would type", ParameterType::Rest)),
                ],
            ),
            Self::Plugins => ("Shows which plugins are loaded and which are not.", &[], vec![]),
            Self::Status => ("Shows whether I hear and speak everywhere, and what is late.", &[], vec![]),
            Self::Stats => (
                "Counts what was deployed lately: how often, how fast, how well.",
                &["stats", "stats cms --since 30d"],
                vec![
                    parameter("app", "only this app", ParameterType::App),
                    Parameter {
                        named: true,
                        ..parameter("since", "for how long back, 7d if left out", ParameterType::Duration)
                    },
                ],
            ),
            Self::Jobs => ("Shows the jobs that are open, and what is left for later.", &[], vec![]),
            Self::Job => (
                "Shows where a job stands. `assume done` and `again` answer a job that asks.",
                &["job 7f3ak", "job 7f3ak assume done", "job 7f3ak again"],
                vec![job(), parameter("say", "`assume done` or `again`", ParameterType::Rest)],
            ),
            Self::Logs => (
                "Shows what a job's runs said last.",
                &["logs 7f3ak", "logs 7f3ak --tail 100"],
                vec![
                    job(),
                    Parameter {
                        named: true,
                        ..parameter("tail", "how many lines of each run, 20 if left out", ParameterType::Integer)
                    },
                ],
            ),
            Self::Cancel => ("Calls a job off.", &["cancel 7f3ak"], vec![job()]),
            Self::Approve => ("Approves of what a job is about to do.", &["approve 7f3ak"], vec![job()]),
            Self::Deny => (
                "Says no to what a job is about to do.",
                &["deny 7f3ak not before the fair"],
                vec![job(), parameter("reason", "why, for everybody to read", ParameterType::Rest)],
            ),
            Self::Release => (
                "Records that a version runs somewhere that others deployed.",
                &["release record cms staging 1.0.2"],
                vec![
                    needed(Parameter {
                        choices: vec!["record".to_owned()],
                        ..text("what", "what to do with it: `record`")
                    }),
                    needed(parameter("app", "the app", ParameterType::App)),
                    needed(parameter("environment", "where it runs", ParameterType::Environment)),
                    needed(parameter("version", "which version", ParameterType::Version)),
                ],
            ),
            Self::Freeze => (
                "Shows what is frozen, or freezes an environment (admins, and roles that name it).",
                &["freeze", "freeze production until 14:00 reason the database moves", "freeze production for 2h"],
                vec![
                    parameter(
                        "environment",
                        "the environment; if left out, what is frozen is shown",
                        ParameterType::Environment,
                    ),
                    parameter(
                        "how",
                        "`until 14:00`, `until 2026-12-01T08:00` or `for 2h`, and `reason ...`",
                        ParameterType::Rest,
                    ),
                ],
            ),
            Self::Unfreeze => (
                "Lifts a freeze.",
                &["unfreeze production"],
                vec![needed(parameter("environment", "the environment", ParameterType::Environment))],
            ),
        };
        let examples: Vec<String> = examples.iter().map(|example| (*example).to_owned()).collect();
        Spec::new(self.name(), vec![], summary, &examples, CommandKind::Query, parameters, Target::Host(self))
            .unwrap_or_else(|error| unreachable!("the host's own commands are well described: {error}"))
    }
}
