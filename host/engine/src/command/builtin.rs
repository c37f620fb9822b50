//! The host's own commands. Most are open to everybody and show only what the person may see. The commands that change
//! something require a right.

use super::spec::{CommandKind, Parameter, ParameterType, Spec, Target};

/// A command of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Builtin {
    /// Lists the commands, or explains one.
    Help,
    /// The sender's id and rights.
    Whoami,
    /// The plugins, with those that failed to load.
    Plugins,
    /// Connection health, backends, overdue jobs.
    Status,
    /// Deployment statistics.
    Stats,
    /// The open jobs.
    Jobs,
    /// One job's status; also the answer about an effect in doubt.
    Job,
    /// The output of a job's runs.
    Logs,
    /// Cancels a job.
    Cancel,
    /// Approves a job's plan.
    Approve,
    /// Denies a job's plan.
    Deny,
    /// Records a deployment that was made by other means.
    Release,
    /// Whether a person may run a command, and by which rule.
    Can,
    /// Lists freezes, or freezes an environment.
    Freeze,
    /// Lifts a freeze.
    Unfreeze,
}

impl Builtin {
    /// All commands, in the order of `help`.
    pub(crate) const ALL: [Self; 15] = [
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

    /// The command's name.
    pub(crate) fn name(self) -> &'static str {
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

    /// Whether a command changes something with the given arguments.
    pub(crate) fn changes(self, command: &super::parse::Command) -> bool {
        match self {
            Self::Help | Self::Whoami | Self::Plugins | Self::Status | Self::Stats => false,
            Self::Jobs | Self::Logs | Self::Can => false,
            Self::Cancel | Self::Approve | Self::Deny | Self::Release | Self::Unfreeze => true,
            // With only an id, or no argument, these two only show something.
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
        let job = || text("id", "the job; optional in the job's thread, or if only one job matches");
        let (summary, examples, parameters): (_, &[&str], _) = match self {
            Self::Help => (
                "Shows what you can type here.",
                &["help deploy"],
                vec![parameter("command", "the command to explain", ParameterType::Rest)],
            ),
            Self::Whoami => ("Shows who you are here and what you may do.", &[], vec![]),
            Self::Can => (
                "Checks whether a person may run a command, and by which rule.",
                &["can @bob deploy cms production 1.0.2"],
                vec![
                    needed(parameter("user", "the person", ParameterType::Person)),
                    needed(parameter("command", "the command that the person would type", ParameterType::Rest)),
                ],
            ),
            Self::Plugins => ("Shows which plugins are loaded and which are not.", &[], vec![]),
            Self::Status => ("Connection health and overdue jobs.", &[], vec![]),
            Self::Stats => (
                "Shows deployment statistics: frequency, duration, success rate.",
                &["stats", "stats cms --since 30d"],
                vec![
                    parameter("app", "only this app", ParameterType::App),
                    Parameter {
                        named: true,
                        ..parameter("since", "the period up to now, 7d by default", ParameterType::Duration)
                    },
                ],
            ),
            Self::Jobs => ("Shows the open and scheduled jobs.", &[], vec![]),
            Self::Job => (
                "Shows a job's status. `assume done` and `again` answer a job that waits for an answer.",
                &["job 7f3ak", "job 7f3ak assume done", "job 7f3ak again"],
                vec![job(), parameter("say", "`assume done` or `again`", ParameterType::Rest)],
            ),
            Self::Logs => (
                "Shows the last output of a job's runs.",
                &["logs 7f3ak", "logs 7f3ak --tail 100"],
                vec![
                    job(),
                    Parameter {
                        named: true,
                        ..parameter("tail", "the number of lines of each run, 20 by default", ParameterType::Integer)
                    },
                ],
            ),
            Self::Cancel => ("Cancels a job.", &["cancel 7f3ak"], vec![job()]),
            Self::Approve => ("Approves a job's plan.", &["approve 7f3ak"], vec![job()]),
            Self::Deny => (
                "Denies a job's plan.",
                &["deny 7f3ak not before the fair"],
                vec![job(), parameter("reason", "the reason; everybody can read it", ParameterType::Rest)],
            ),
            Self::Release => (
                "Records a version that was deployed by other means.",
                &["release record cms staging 1.0.2"],
                vec![
                    needed(Parameter { choices: vec!["record".to_owned()], ..text("what", "always `record`") }),
                    needed(parameter("app", "the app", ParameterType::App)),
                    needed(parameter("environment", "the environment", ParameterType::Environment)),
                    needed(parameter("version", "the version", ParameterType::Version)),
                ],
            ),
            Self::Freeze => (
                "Shows the freezes, or freezes an environment (admins, and roles with the command).",
                &["freeze", "freeze production until 14:00 reason the database moves", "freeze production for 2h"],
                vec![
                    parameter(
                        "environment",
                        "the environment; without it, the freezes are shown",
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
            .unwrap_or_else(|error| unreachable!("the description of a built-in command is invalid: {error}"))
    }
}
