//! The built-in commands of the host. Everybody may run a built-in command that only reads; its reply contains only
//! what the sender may see. A built-in command that changes something requires a right.

use super::spec::{CommandKind, Parameter, ParameterType, Spec, Target};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Builtin {
    Help,
    Whoami,
    Plugins,
    Status,
    Stats,
    Jobs,
    /// Shows a job's status, stores a person's decision about an effect with an unknown result, or retries a job that
    /// the host stopped.
    Job,
    Logs,
    Cancel,
    Approve,
    Deny,
    /// Stores a release, which is the record of a deployment, for a deployment that was made without Wardroom.
    Release,
    Can,
    /// Lists the freezes, or freezes an environment.
    Freeze,
    Unfreeze,
    /// Lets the newest delivery of a webhook start its command again.
    Hook,
    /// Links the person's account at an identity provider.
    Link,
    /// Ends the link to the person's account at an identity provider.
    Unlink,
}

impl Builtin {
    /// The built-in commands of every host, in the order in which `help` lists them. [`Self::Hook`] exists only on a host
    /// with hooks, and [`Self::Link`] and [`Self::Unlink`] only on a host with identity providers.
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

    /// Returns whether `command`, a parsed line of this built-in command, changes something. Some built-in commands
    /// change something only if they have arguments.
    pub(crate) fn changes(self, command: &super::parsed::Command) -> bool {
        match self {
            _ if self.only_reads() => false,
            // `job` changes something only with `assume done` or `again`, and `freeze` only with an environment.
            Self::Job => command.arguments().any(|(parameter, _)| parameter.name == "say"),
            Self::Freeze => command.arguments().next().is_some(),
            _ => true,
        }
    }

    /// Returns whether the built-in command changes nothing, whatever its arguments are.
    pub(crate) fn only_reads(self) -> bool {
        match self {
            Self::Help
            | Self::Whoami
            | Self::Can
            | Self::Plugins
            | Self::Status
            | Self::Stats
            | Self::Jobs
            | Self::Logs => true,
            Self::Job
            | Self::Freeze
            | Self::Cancel
            | Self::Approve
            | Self::Deny
            | Self::Release
            | Self::Unfreeze
            | Self::Hook
            | Self::Link
            | Self::Unlink => false,
        }
    }

    pub(crate) fn spec(self) -> Spec {
        let parameter = |name: &str, summary: &str, kind: ParameterType| Parameter {
            name: name.to_owned(),
            summary: summary.to_owned(),
            kind,
            required: false,
            named: false,
            source: false,
            choices: Vec::new(),
        };
        let text = |name: &str, summary: &str| parameter(name, summary, ParameterType::Text);
        let flag = |name: &str, summary: &str, kind| Parameter { named: true, ..parameter(name, summary, kind) };
        let needed = |parameter: Parameter| Parameter { required: true, ..parameter };
        let about_id = "the id of the job; optional in the job's thread, or if the command fits only one job";
        let job = || parameter("id", about_id, ParameterType::Job);
        let (name, summary, examples, parameters): (_, _, &[&str], _) = match self {
            Self::Help => (
                "help",
                "Lists the commands that you may run, or explains one command.",
                &["help deploy"],
                vec![parameter("command", "the command to explain", ParameterType::Rest)],
            ),
            Self::Whoami => ("whoami", "Shows your id, your roles and the commands that you may run.", &[], vec![]),
            Self::Can => (
                "can",
                "Shows whether a person may run a command, and the rule that decides.",
                &["can @bob deploy cms production 1.0.2"],
                vec![
                    needed(parameter("user", "the person", ParameterType::Person)),
                    needed(parameter("command", "the command that the person would type", ParameterType::Rest)),
                ],
            ),
            Self::Plugins => ("plugins", "Lists the loaded plugins, and the plugins that failed to load.", &[], vec![]),
            Self::Status => ("status", "Shows the health of connections and backends, and overdue jobs.", &[], vec![]),
            Self::Stats => (
                "stats",
                "Shows deployment statistics: frequency, duration, success rate.",
                &["stats", "stats cms --since 30d"],
                vec![
                    parameter("app", "only this app", ParameterType::App),
                    flag("since", "how far back the statistics go, 7d by default", ParameterType::Duration),
                ],
            ),
            Self::Jobs => ("jobs", "Lists the jobs that have not ended, and the scheduled jobs.", &[], vec![]),
            Self::Job => (
                "job",
                "Shows a job's status. If it is unknown whether an effect happened, `assume done` counts the \
                 effect as done, and `again` repeats it. `again` also retries a held job.",
                &["job 7f3ak", "job 7f3ak assume done", "job 7f3ak again"],
                vec![
                    job(),
                    parameter("say", "the way to continue the job: `assume done` or `again`", ParameterType::Rest),
                ],
            ),
            Self::Logs => (
                "logs",
                "Shows the last output lines of a job's pipeline runs.",
                &["logs 7f3ak", "logs 7f3ak --tail 100"],
                vec![
                    job(),
                    flag("tail", "the number of lines per pipeline run, 20 by default", ParameterType::Integer),
                ],
            ),
            Self::Cancel => ("cancel", "Cancels a job.", &["cancel 7f3ak"], vec![job()]),
            Self::Approve => ("approve", "Approves a job's plan.", &["approve 7f3ak"], vec![job()]),
            Self::Deny => (
                "deny",
                "Denies a job's plan.",
                &["deny 7f3ak not before the fair"],
                vec![job(), parameter("reason", "the reason, shown to everybody in the room", ParameterType::Rest)],
            ),
            Self::Release => (
                "release",
                "Records a version that was deployed without Wardroom.",
                &["release record cms staging 1.0.2"],
                vec![
                    needed(Parameter { choices: vec!["record".to_owned()], ..text("what", "the word `record`") }),
                    needed(parameter("app", "the app", ParameterType::App)),
                    needed(parameter("environment", "the environment", ParameterType::Environment)),
                    needed(parameter("version", "the version", ParameterType::Version)),
                ],
            ),
            Self::Freeze => (
                "freeze",
                "Lists the freezes, or freezes an environment. Only admins and roles with `freeze` may freeze.",
                &["freeze", "freeze production until 14:00 reason the database moves", "freeze production for 2h"],
                vec![
                    parameter(
                        "environment",
                        "the environment to freeze; without it, the command lists the freezes",
                        ParameterType::Environment,
                    ),
                    parameter(
                        "how",
                        "the end (`until 14:00`, `until 2026-12-01T08:00` or `for 2h`) and the reason (`reason ...`)",
                        ParameterType::Rest,
                    ),
                ],
            ),
            Self::Unfreeze => (
                "unfreeze",
                "Lifts a freeze.",
                &["unfreeze production"],
                vec![needed(parameter("environment", "the environment", ParameterType::Environment))],
            ),
            Self::Link => (
                "link",
                "Links your account at an identity provider, whose groups give you roles.",
                &["link"],
                vec![text("provider", "the name of the provider; optional if there is only one")],
            ),
            Self::Unlink => (
                "unlink",
                "Ends the link to your account at an identity provider.",
                &["unlink"],
                vec![text("provider", "the name of the provider; optional if there is only one")],
            ),
            Self::Hook => (
                "hook",
                "Lets the newest delivery of a webhook start its command again.",
                &["hook build again"],
                vec![
                    needed(text("name", "the name of the hook")),
                    needed(Parameter { choices: vec!["again".to_owned()], ..text("what", "the word `again`") }),
                ],
            ),
        };
        let examples: Vec<String> = examples.iter().map(|example| (*example).to_owned()).collect();
        Spec::new(name, vec![], summary, &examples, CommandKind::Query, parameters, Target::Host(self))
            .unwrap_or_else(|error| unreachable!("the description of a built-in command is not valid: {error}"))
    }
}
