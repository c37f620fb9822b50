//! What a guest can ask the host for: the table of all calls, and the one function that every call goes through.
//!
//! To add a call: its function in `wit/`, a type that implements [`HostCall`] in the folder of its
//! interface, and its row in [`TABLE`]. A function of the contract without a row fails a test.
//!
//! Architecture Invariant: `call::through` is the only way from a guest to an effect: check, do, record.

mod access;
mod approve;
mod call;
mod catalog;
mod chat;
mod clock;
mod invocation;
mod jobs;
mod journaling;
mod judge;
mod log;
mod oblige;
mod pipelines;
mod settings;
mod store;
mod tally;
#[cfg(test)]
mod tests;

pub(crate) use approve::Unapproved;
pub use call::{Attributes, HostCall};
pub(crate) use call::{Recover, Recovered};
pub(crate) use clock::{instant as clock_instant, later as clock_later};
pub use invocation::Invocation;
pub(crate) use invocation::{Life, Past, Purpose, Rehearsal, Shared, Stop, Timer};
pub(crate) use journaling::working;
pub(crate) use judge::NO_RULE;
pub use judge::Reason;
pub(crate) use pipelines::{RUN, Ready, Timers, WaitError, Waitable, ending, reached, ready, until};
pub use tally::{Denied, Tally};

use futures_util::future::BoxFuture;
use wasmtime::component::Linker;

use crate::{
    access::Attribute,
    port::store::{Entry, JobRow},
};

/// What a call can do, and so how it is checked and recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Changes nothing. In a job its answer is journaled, in a query it is counted.
    Reads,
    /// Log lines and words in the job's own thread. Needs no rule.
    Notes,
    /// The operator's own words for this plugin, or the time. Reads, and needs no rule.
    Given,
    /// Changes the plugin's own keys. Denied in a query.
    Keeps,
    /// Waits. Denied in a query.
    Waits,
    /// Changes something outside. Denied in a query; its intent is on disk before it happens.
    Acts,
}

impl Kind {
    /// The word for it in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reads => "reads",
            Self::Notes => "notes",
            Self::Given => "given",
            Self::Keeps => "keeps",
            Self::Waits => "waits",
            Self::Acts => "acts",
        }
    }

    /// Whether a call of this kind needs an `allow` that names it.
    pub fn needs_rule(self) -> bool {
        !matches!(self, Self::Notes | Self::Given)
    }

    /// Whether a query may make it.
    pub fn in_query(self) -> bool {
        matches!(self, Self::Reads | Self::Notes | Self::Given)
    }
}

/// Where the environment that a call touches comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnvironmentFrom {
    /// What the host knows of the target.
    Target,
    /// What was typed.
    Command,
    /// It touches none.
    Nothing,
}

/// One host function.
pub struct Row {
    /// `interface.function`, as in rules, journal and reports.
    pub name: &'static str,
    /// What it can do.
    pub kind: Kind,
    /// The attributes that a rule can match.
    pub attributes: &'static [Attribute],
    /// Where its environment comes from.
    pub environment: EnvironmentFrom,
    /// What it does, for reports.
    pub summary: &'static str,
    /// How an effect is recovered that a crash left without a result; `None` for what does not act.
    pub(crate) recovery: Option<Recovery>,
    register: fn(&mut Linker<Invocation>, usize) -> wasmtime::Result<()>,
}

/// How an effect is recovered that a crash left without a result.
pub(crate) struct Recovery {
    /// Asks whether it happened.
    pub(crate) recover: for<'a> fn(&'a Shared, &'a JobRow, &'a Entry) -> BoxFuture<'a, Recovered>,
    /// The answer where people say that it did.
    pub(crate) assumed: fn(&JobRow, &Entry) -> serde_json::Value,
}

impl Recovery {
    const fn of<R: Recover>() -> Self {
        Self { recover: R::recover, assumed: R::assumed }
    }
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Row {
    /// Defines this function, and no other, in a plugin's linker.
    pub(crate) fn register(&'static self, linker: &mut Linker<Invocation>) -> wasmtime::Result<()> {
        let index = TABLE.iter().position(|row| std::ptr::eq(row, self)).unwrap_or(usize::MAX);
        (self.register)(linker, index)
    }

    /// The interface's name in the contract.
    pub fn interface(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(interface, _)| interface)
    }

    /// Whether an effect of it takes the place that it touches. What is left for later takes its place when it begins, and
    /// rights can change while something is deployed.
    pub(crate) fn takes_place(&self) -> bool {
        self.kind == Kind::Acts && !matches!(self.interface(), "jobs" | "access")
    }

    /// The function's name in its interface.
    pub fn function(&self) -> &'static str {
        self.name.split_once('.').map_or("", |(_, function)| function)
    }
}

/// The package and version of the contract.
pub const CONTRACT: &str = "wardroom:plugin@0.1.0";

use Attribute::{App, Environment, Key, Parameter, Person, Pipeline, Role, Version};

/// All host functions there are.
pub static TABLE: [Row; 20] = [
    Row {
        name: "access.grant",
        kind: Kind::Acts,
        attributes: &[Person, Role, App, Environment],
        environment: EnvironmentFrom::Command,
        summary: "adds a person to a role on an app, as it was typed",
        recovery: Some(Recovery::of::<call::WithItsResult>()),
        register: call::register::<access::Grant>,
    },
    Row {
        name: "access.list",
        kind: Kind::Reads,
        attributes: &[Person, App],
        environment: EnvironmentFrom::Command,
        summary: "reads what was granted in chat",
        recovery: None,
        register: call::register::<access::List>,
    },
    Row {
        name: "access.revoke",
        kind: Kind::Acts,
        attributes: &[Person, Role, App, Environment],
        environment: EnvironmentFrom::Command,
        summary: "takes back what was granted in chat, as it was typed",
        recovery: Some(Recovery::of::<call::WithItsResult>()),
        register: call::register::<access::Revoke>,
    },
    Row {
        name: "catalog.apps",
        kind: Kind::Reads,
        attributes: &[App],
        environment: EnvironmentFrom::Command,
        summary: "reads the configured apps and how each is deployed",
        recovery: None,
        register: call::register::<catalog::Apps>,
    },
    Row {
        name: "catalog.releases",
        kind: Kind::Reads,
        attributes: &[App, Environment],
        environment: EnvironmentFrom::Target,
        summary: "reads which versions ran where, since when and by whom",
        recovery: None,
        register: call::register::<catalog::Releases>,
    },
    Row {
        name: "chat.say",
        kind: Kind::Notes,
        attributes: &[],
        environment: EnvironmentFrom::Command,
        summary: "says something in the job's own thread",
        recovery: None,
        register: call::register::<chat::Say>,
    },
    Row {
        name: "chat.stage",
        kind: Kind::Notes,
        attributes: &[],
        environment: EnvironmentFrom::Command,
        summary: "puts a word on the job's status card",
        recovery: None,
        register: call::register::<chat::Stage>,
    },
    Row {
        name: "clock.after",
        kind: Kind::Given,
        attributes: &[],
        environment: EnvironmentFrom::Nothing,
        summary: "sets a timer that can be waited for",
        recovery: None,
        register: call::register::<clock::After>,
    },
    Row {
        name: "clock.now",
        kind: Kind::Given,
        attributes: &[],
        environment: EnvironmentFrom::Nothing,
        summary: "reads the time",
        recovery: None,
        register: call::register::<clock::Now>,
    },
    Row {
        name: "jobs.cancel",
        kind: Kind::Acts,
        attributes: &[App, Environment],
        environment: EnvironmentFrom::Target,
        summary: "calls off work that the plugin left for later",
        recovery: Some(Recovery::of::<call::WithItsResult>()),
        register: call::register::<jobs::Cancel>,
    },
    Row {
        name: "jobs.later",
        kind: Kind::Acts,
        attributes: &[App, Environment, Version, Parameter],
        environment: EnvironmentFrom::Target,
        summary: "leaves work of the plugin's own for later",
        recovery: Some(Recovery::of::<call::WithItsResult>()),
        register: call::register::<jobs::Later>,
    },
    Row {
        name: "jobs.list",
        kind: Kind::Reads,
        attributes: &[],
        environment: EnvironmentFrom::Nothing,
        summary: "reads what the plugin left for later",
        recovery: None,
        register: call::register::<jobs::List>,
    },
    Row {
        name: "log.write",
        kind: Kind::Notes,
        attributes: &[],
        environment: EnvironmentFrom::Nothing,
        summary: "writes a line to the operator's log",
        recovery: None,
        register: call::register::<log::Write>,
    },
    Row {
        name: "pipelines.trigger",
        kind: Kind::Acts,
        attributes: &[Pipeline, App, Environment, Version, Parameter],
        environment: EnvironmentFrom::Target,
        summary: "starts a pipeline",
        recovery: Some(Recovery::of::<pipelines::Trigger>()),
        register: call::register::<pipelines::Trigger>,
    },
    Row {
        name: "pipelines.wait",
        kind: Kind::Waits,
        attributes: &[Pipeline, App, Environment],
        environment: EnvironmentFrom::Target,
        summary: "waits for runs of the same job, and for times",
        recovery: None,
        register: call::register::<pipelines::Wait>,
    },
    Row {
        name: "settings.all",
        kind: Kind::Given,
        attributes: &[],
        environment: EnvironmentFrom::Nothing,
        summary: "reads the plugin's own settings",
        recovery: None,
        register: call::register::<settings::All>,
    },
    Row {
        name: "store.delete",
        kind: Kind::Keeps,
        attributes: &[Key],
        environment: EnvironmentFrom::Nothing,
        summary: "forgets one of the plugin's own values",
        recovery: None,
        register: call::register::<store::Delete>,
    },
    Row {
        name: "store.get",
        kind: Kind::Reads,
        attributes: &[Key],
        environment: EnvironmentFrom::Nothing,
        summary: "reads one of the plugin's own values",
        recovery: None,
        register: call::register::<store::Get>,
    },
    Row {
        name: "store.list",
        kind: Kind::Reads,
        attributes: &[],
        environment: EnvironmentFrom::Nothing,
        summary: "reads the plugin's own values",
        recovery: None,
        register: call::register::<store::List>,
    },
    Row {
        name: "store.set",
        kind: Kind::Keeps,
        attributes: &[Key],
        environment: EnvironmentFrom::Nothing,
        summary: "keeps a value of the plugin's own",
        recovery: None,
        register: call::register::<store::Set>,
    },
];

/// The row of a name.
pub fn row(name: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.name == name)
}
